"""Who gets in: tokens of users and operators, passwords, sessions, and users made by operators."""

import importlib
import uuid
from typing import Any

import pytest

from tests.unit import projections_people as people
from tests.unit import projections_site
from tests.unit.projections_people import HASH, INPUTS, SIMULATIONS, Caller, operator, user_caller

database = projections_site.database
compute = people.compute
run_id = people.run_id
models = importlib.import_module("covid.models")
django_test = importlib.import_module("django.test")


# --- who gets in -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        SIMULATIONS, f"{SIMULATIONS}{uuid.uuid4()}/", f"{SIMULATIONS}{uuid.uuid4()}/output.json",
        "/covid/api/status/",
        "/covid/api/get_states_counties/", "/covid/api/county_resources/", "/covid/api/hash_resources/",
        "/covid/api/hash_files/", f"/covid/api/hash_files/{HASH}/deaths.csv", "/covid/api/meta/",
        "/covid/api/model/health", f"/covid/api/model/runs/{uuid.uuid4()}", "/covid/api/users/",
    ],
)  # fmt: skip
def test_nothing_is_open_without_a_token(database: None, path: str) -> None:
    answer = Caller().get(path)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("life_s", "changes"),
    [
        (-60, {}),
        (3600, {}),
        (300, {"aud": "projections-webhook"}),
        (300, {"iss": "projections-model"}),
        (300, {"role": "user"}),
        (300, {"sub": "admin"}),
        (300, {"sub": 5}),
    ],
)
def test_a_token_that_is_no_operators_is_refused(
    database: None, life_s: int, changes: dict[str, Any]
) -> None:
    assert Caller(people.operator_token(life_s, **changes)).get(SIMULATIONS).status_code == 401


def test_a_token_signed_by_another_key_or_not_at_all_is_refused(database: None) -> None:
    jwt = importlib.import_module("jwt")
    claims = jwt.decode(people.operator_token(), options={"verify_signature": False})
    other = jwt.encode(claims, projections_site.ENVIRONMENT["WEBHOOK_SIGNING_KEY"], algorithm="HS256")
    bare = jwt.encode(claims, "", algorithm="none")
    for token in (other, bare, "x", "é".encode().decode("latin-1"), "a" * 10_000):
        assert Caller(token).get(SIMULATIONS).status_code == 401


def test_users_get_a_token_that_ends_with_their_password(compute: people.Compute) -> None:
    caller = user_caller("ada")
    assert caller.get("/covid/api/meta/").json()["compute"] == "onboard"
    user = people.auth_models.User.objects.get(username="ada")
    user.set_password("another-long-password")
    user.save()
    answer = caller.get("/covid/api/meta/")
    assert answer.status_code == 401
    assert "password has changed" in answer.json()["detail"]


def test_an_inactive_users_token_is_refused(compute: people.Compute) -> None:
    caller = user_caller("ada")
    people.auth_models.User.objects.update(is_active=False)
    assert caller.get("/covid/api/meta/").status_code == 401


def test_guessing_a_password_stops_after_ten_tries_of_one_address(database: None) -> None:
    people.person("ada")
    wrong, right = {"username": "ada", "password": "x"}, {"username": "ada", "password": people.PASSWORD}
    for _ in range(10):
        assert Caller().post("/users/api/token/", wrong).status_code == 401
    assert Caller().post("/users/api/token/", right).status_code == 401
    assert Caller(address="192.0.2.2").post("/users/api/token/", right).status_code == 200
    page = people.django_test.Client(headers={"X-Forwarded-For": "192.0.2.1"})
    assert page.post("/accounts/login/", right).status_code != 302  # the page shares the limit


def test_right_passwords_are_not_counted_as_failures(database: None) -> None:
    people.person("ada")
    right = {"username": "ada", "password": people.PASSWORD}
    assert [Caller().post("/users/api/token/", right).status_code for _ in range(15)] == [200] * 15


def test_the_token_endpoint_is_throttled_by_address(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = importlib.import_module("covid.limits")
    monkeypatch.setattr(limits.time, "time", lambda: 1_000_000_020.0)
    codes = [Caller().post("/users/api/token/", {}).status_code for _ in range(31)]
    assert codes == [400] * 30 + [429]
    assert Caller(address="192.0.2.9").post("/users/api/token/", {}).status_code == 400


def test_a_browsers_session_needs_its_csrf_token(compute: people.Compute) -> None:
    client = django_test.Client(enforce_csrf_checks=True)
    client.force_login(people.person("ada"))
    assert client.get(SIMULATIONS).status_code == 200
    assert client.post(SIMULATIONS, INPUTS, content_type="application/json").status_code == 403
    assert models.SimulationRun.objects.count() == 0


def test_no_other_site_may_read_the_answers(run_id: str) -> None:
    answer = operator().client.get(
        SIMULATIONS, headers={"Origin": "https://evil.example", **operator().headers}
    )
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


# --- users -----------------------------------------------------------------------------------------


def test_an_operator_makes_a_user_who_chooses_a_password_once(compute: people.Compute) -> None:
    made = operator().post("/covid/api/users/", {"username": "ada", "group": "Fargate Spot"})
    assert made.status_code == 201
    link = made.json()["link"]
    assert link.startswith("http://testserver/accounts/set-password/")
    browser = django_test.Client()
    form = browser.get(link, follow=True)
    assert form.status_code == 200
    passwords = {"new_password1": people.PASSWORD, "new_password2": people.PASSWORD}
    assert browser.post(form.redirect_chain[-1][0], passwords).status_code == 302
    answer = Caller().post("/users/api/token/", {"username": "ada", "password": people.PASSWORD})
    assert answer.status_code == 200
    assert Caller(answer.json()["access_token"]).get("/covid/api/meta/").json()["compute"] == "fargate-spot"
    again = django_test.Client().get(link, follow=True)
    assert b"new_password1" not in again.content  # the link has been used


def test_only_operators_make_users_and_staff_are_out_of_reach(database: None) -> None:
    body = {"username": "eve", "group": "Fargate"}
    assert user_caller("ada").post("/covid/api/users/", body).status_code == 403
    people.person("root", staff=True)
    assert operator().post("/covid/api/users/", {**body, "username": "root"}).status_code == 403
    for wrong in (
        {**body, "group": "Moon"},
        {**body, "username": "a b"},
        {"group": "Fargate"},
        {"username": 5},
    ):
        assert operator().post("/covid/api/users/", wrong).status_code == 400
    assert not people.auth_models.User.objects.filter(username="eve").exists()
