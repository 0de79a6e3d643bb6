"""The light random provider: what it refuses, how passwords are made of, when they are replaced."""

import asyncio
import ctypes
from typing import Any

import pytest
from pulumi.provider.experimental.provider import PropertyDiffKind

from sandbox.providers.random import password
from sandbox.providers.random.provider import ID, PASSWORD_TYPE, RandomProvider
from sandbox.providers.server import CheckResult, Naming, ProviderError
from sandbox.providers.wire import UNKNOWN, Properties

URN = f"urn:pulumi:t::tests::{PASSWORD_TYPE}::key"
PROVIDER = RandomProvider()


def check(**inputs: Any) -> CheckResult:
    return asyncio.run(PROVIDER.light_check(URN, Properties(), Properties(inputs), Naming()))


def create(preview: bool = False, **inputs: Any) -> Properties:
    resource_id, state = asyncio.run(PROVIDER.light_create(URN, Properties(inputs), preview))
    assert resource_id == ("" if preview else ID)
    return state


def changes(state: Properties, **news: Any) -> dict[str, PropertyDiffKind]:
    found = asyncio.run(PROVIDER.light_diff(URN, ID, Properties(), state, Properties(news)))
    assert sorted(found.changes) == sorted(found.replaces), "every change replaces"
    return found.changes


@pytest.mark.parametrize(
    ("inputs", "where", "says"),
    [
        ({}, "length", "is required"),
        ({"length": 0}, "length", "at least 1"),
        ({"length": "16"}, "length", "must be a whole number, not str"),
        ({"length": True}, "length", "must be a whole number, not bool"),
        ({"length": 8, "lenght": 9}, "lenght", "no such property; it has: length"),
        ({"length": 8, "minUpper": 5, "minNumeric": 4}, "length", "at least 9"),
        ({"length": 8, "minLower": -1}, "minLower", "at least 0"),
        ({"length": 8, "keepers": {"a": 1}}, "keepers.a", "must be a string, not int"),
        ({"length": 8, "number": False, "numeric": True}, "number", "old name of numeric"),
        (
            {"length": 8, "upper": False, "lower": False, "number": False, "special": False},
            "",
            "one of upper, lower, numeric, special",
        ),
    ],
)
def test_wrong_inputs_are_refused_at_preview(inputs: dict[str, Any], where: str, says: str) -> None:
    found = {failure.property: failure.reason for failure in check(**inputs).failures}
    assert says in found[where]


def test_values_that_are_not_known_yet_pass() -> None:
    assert not check(length=UNKNOWN, minUpper=UNKNOWN, special=UNKNOWN, keepers={"a": UNKNOWN}).failures
    assert not check(length=UNKNOWN, keepers=UNKNOWN, overrideSpecial=UNKNOWN).failures


def test_a_password_has_the_characters_that_were_asked_for() -> None:
    for _ in range(50):
        made = create(length=12, minUpper=2, minSpecial=3, overrideSpecial="~", lower=False).values["result"]
        kinds = [sum(made.count(c) for c in characters) for characters in password.CLASSES.values()]
        assert len(made) == 12
        assert kinds[0] >= 2
        assert made.count("~") >= 3
        assert kinds[1] == kinds[3] == 0, "no lower-case letters, none of the usual special characters"


def test_every_character_is_drawn_everywhere() -> None:
    every = "".join(password.CLASSES.values())
    drawn = [password.draw(password.completed({"length": 20, "minUpper": 1})) for _ in range(2000)]
    assert {made[0] for made in drawn} == {made[-1] for made in drawn} == set(every)
    assert len(set(drawn)) == len(drawn)


def test_the_hash_is_a_bcrypt_hash_of_the_password() -> None:
    state = create(length=90)
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    known = crypt(b"U*U", b"$2a$05$CCCCCCCCCCCCCCCCCCCCC.")
    assert known == b"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", (
        "crypt_blowfish's own test"
    )
    made, found = state.values["result"].encode(), state.values["bcryptHash"].encode()
    assert found.startswith(b"$2a$10$")
    assert len(found) == 60
    assert crypt(made, found) == found
    assert crypt(made[:71], found) != found
    assert password.bcrypt("a") != password.bcrypt("a"), "salted"


def test_outputs_are_secret_and_unknown_at_preview() -> None:
    state = create(preview=True, length=8)
    assert state.values["result"] is state.values["bcryptHash"] is UNKNOWN
    for made in (state, create(length=8)):
        assert {("result",), ("bcryptHash",)} <= made.secrets
        assert made.values["special"] is made.values["number"] is made.values["numeric"] is True
        assert made.values["minUpper"] == 0


def test_every_change_of_an_input_replaces_and_nothing_else_does() -> None:
    state = create(length=8, keepers={"version": "1"})
    same = {"length": 8, "keepers": {"version": "1"}}
    assert changes(state, **same) == {}
    assert changes(state, **same, special=True, minUpper=0, number=True, overrideSpecial="") == {}
    assert set(changes(state, **{**same, "length": 9})) == {"length"}
    assert set(changes(state, **{**same, "keepers": {"version": "2"}})) == {"keepers"}
    assert set(changes(state, **{**same, "keepers": {"version": UNKNOWN}})) == {"keepers"}
    assert changes(state, length=8) == {"keepers": PropertyDiffKind.DELETE_REPLACE}
    assert set(changes(state, **same, numeric=False)) == {"number", "numeric"}
    assert changes(state, **same, overrideSpecial="!") == {"overrideSpecial": PropertyDiffKind.ADD_REPLACE}


def test_a_refresh_keeps_the_password() -> None:
    state = create(length=8)
    found = asyncio.run(PROVIDER.light_read(URN, ID, Properties({"length": 8}), state))
    assert found is not None
    assert found[1].values == state.values
    assert ("result",) in found[1].secrets


def test_an_import_takes_the_password_itself() -> None:
    found = asyncio.run(PROVIDER.light_read(URN, "correct-horse", Properties(), Properties()))
    assert found is not None
    resource_id, state, inputs = found
    assert resource_id == ID, "the id isn't encrypted in the state"
    assert state.values["result"] == "correct-horse"
    assert ("result",) in state.secrets
    assert inputs.values == {"length": 13}
    assert changes(state, length=13) == {}


def test_other_types_and_functions_are_refused() -> None:
    other = URN.replace("randomPassword:RandomPassword", "randomPet:RandomPet")
    with pytest.raises(ProviderError, match=r"RandomPet.*it has: random:index/randomPassword:RandomPassword"):
        asyncio.run(PROVIDER.light_check(other, Properties(), Properties(), Naming()))
    with pytest.raises(ProviderError, match="no function"):
        asyncio.run(PROVIDER.light_invoke("random:index:x", Properties()))
