"""Submitting, healing, refreshing, cancelling and retrying runs: what the database says after each."""

import importlib
import threading
from datetime import timedelta
from typing import Any

import pytest

from tests.unit import projections_people as people
from tests.unit import projections_site

database = projections_site.database
compute = people.compute
services = importlib.import_module("covid.services")
errors = importlib.import_module("covid.errors")
models = importlib.import_module("covid.models")
runner = importlib.import_module("covid.runner")
covid_people = importlib.import_module("covid.people")
timezone = importlib.import_module("django.utils.timezone")
db = importlib.import_module("django.db")


def submit(**changes: Any) -> Any:
    run, _ = services.submit(covid_people.Operator(), {**people.INPUTS, **changes})
    return run


def row(run: Any) -> Any:
    return models.SimulationRun.objects.get(pk=run.pk)


def later(run: Any, seconds: float) -> Any:
    """Let time pass for the run: what was tried is that much longer ago. The run as read again."""
    back = timedelta(seconds=seconds)
    for name in ("tried_at", "refreshed_at"):
        value = getattr(row(run), name)
        if value:
            models.SimulationRun.objects.filter(pk=run.pk).update(**{name: value - back})
    return row(run)


def test_a_run_is_named_by_its_inputs_whatever_their_order(compute: people.Compute) -> None:
    first = submit()
    again, created = services.submit(None, {**people.INPUTS, "county": ["Addison", "Windham", "Addison"]})
    assert (again.pk, created) == (first.pk, False)
    inputs = importlib.import_module("projections_inputs").ModelInput.model_validate(
        {**people.INPUTS, "data_hash": people.HASH}
    )
    assert str(first.pk) == inputs.run_id(0)
    assert first.input_hash == inputs.input_hash(0)
    assert first.model_input == inputs.as_dict()
    assert compute.calls == ["start"]


def test_many_identical_requests_at_once_are_one_run_and_one_start(compute: people.Compute) -> None:
    barrier, made, failures = threading.Barrier(12), [], []

    def ask() -> None:
        try:
            barrier.wait(timeout=30)
            made.append(services.submit(None, people.INPUTS))
        except Exception as error:
            failures.append(error)
        finally:
            db.connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failures == []
    assert len({run.pk for run, _ in made}) == 1
    assert sum(created for _, created in made) == 1
    assert compute.calls == ["start"]
    assert models.SimulationRun.objects.count() == 1


def test_nothing_starts_before_the_row_is_committed(compute: people.Compute) -> None:
    with db.transaction.atomic():
        submit()
        assert compute.calls == []
        db.transaction.set_rollback(True)
    assert compute.calls == []
    assert models.SimulationRun.objects.count() == 0


def test_an_identical_request_costs_two_queries(compute: people.Compute) -> None:
    submit()
    test_utils = importlib.import_module("django.test.utils")
    with test_utils.CaptureQueriesContext(db.connection) as queries:
        services.submit(None, people.INPUTS)
    assert len(queries) == 2, [query["sql"] for query in queries]
    plans = [query["sql"] for query in queries if "covid_simulationrun" in query["sql"]]
    with db.connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {plans[0]}")
        plan = " ".join(str(line) for line in cursor.fetchall())
    assert "USING INDEX" in plan
    assert "SCAN" not in plan


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"county": ["Atlantis"]}, "county: Atlantis not in Vermont"),
        ({"state": "Ohio"}, "state: 'Ohio' has no data"),
        ({"nDraws": 7}, "nDraws: must be a whole number 100..200000, got 7"),
        ({"sim_length": "x"}, "sim_length: "),
        ({"colour": "red"}, "colour"),
        ({"data_hash": "1" * 40}, "is not loaded"),
        ({"data_hash": "x"}, "data_hash: must be a commit id"),
    ],
)
def test_wrong_inputs_leave_nothing_behind(
    compute: people.Compute, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(errors.InvalidInputs) as caught:
        submit(**changes)
    assert words in caught.value.message
    assert "\n" not in caught.value.message
    assert models.SimulationRun.objects.count() == 0
    assert compute.calls == []


def test_without_data_the_message_says_what_to_run(compute: people.Compute) -> None:
    models.HashValue.objects.all().delete()
    with pytest.raises(errors.NoData, match=r"addhashes --all"):
        submit()


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ((), "fargate"),
        (("Fargate Spot",), "fargate-spot"),
        (("Onboard",), "onboard"),
        (("Onboard", "Fargate Spot"), "fargate-spot"),
    ],
)
def test_the_group_decides_once_at_creation(
    compute: people.Compute, groups: tuple[str, ...], expected: str
) -> None:
    user = people.person("planner")
    user.groups.set(people.auth_models.Group.objects.filter(name__in=groups))
    run, _ = services.submit(user, people.INPUTS)
    assert run.compute == expected
    user.groups.set(people.auth_models.Group.objects.filter(name="Fargate"))
    again, created = services.submit(user, people.INPUTS)
    assert (again.compute, created) == (expected, False)


def test_only_operators_choose_compute_and_replicate(compute: people.Compute) -> None:
    user = people.person("planner")
    with pytest.raises(errors.NotAllowed):
        services.submit(user, people.INPUTS, compute="onboard")
    with pytest.raises(errors.NotAllowed):
        services.submit(user, people.INPUTS, replicate=1)
    ids = set()
    for number, name in enumerate(("fargate", "fargate-spot", "onboard")):
        run, created = services.submit(covid_people.Operator(), people.INPUTS, compute=name, replicate=number)
        assert (run.compute, created) == (name, True)
        ids.add(run.pk)
    assert len(ids) == 3
    with pytest.raises(errors.InvalidInputs, match="compute: 'moon'"):
        services.submit(people.person("boss", staff=True), people.INPUTS, compute="moon")
    with pytest.raises(errors.InvalidInputs, match="replicate"):
        services.submit(covid_people.Operator(), people.INPUTS, replicate=-1)


def test_a_start_that_failed_is_healed_by_the_next_identical_request(compute: people.Compute) -> None:
    compute.down = True
    run = submit()
    assert row(run).started_at is None
    assert row(run).status == "queued"
    compute.down = False
    submit()  # too early: the first may still be at it
    assert compute.calls == ["start"]
    later(run, 60)
    submit()
    submit()
    assert compute.calls == ["start", "start"]
    assert row(run).started_at is not None


def test_a_crash_between_commit_and_start_is_healed_by_a_look(
    compute: people.Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "_start", lambda run: None)  # the process dies here
    run = submit()
    monkeypatch.undo()
    monkeypatch.setattr(runner, "get", lambda: compute)
    services.refresh(later(run, 60))
    assert compute.calls == ["start", "look"]


def test_refresh_saves_what_the_compute_says(compute: people.Compute) -> None:
    run = submit()
    compute.seen = {
        "status": "running",
        "progress": 0.4,
        "attempt": 2,
        "interruptions": 1,
        "history": [{"at": "t"}],
    }
    services.refresh(run)
    saved = row(run)
    assert (saved.status, saved.progress, saved.attempt, saved.interruptions) == ("running", 0.4, 2, 1)
    compute.seen |= {"progress": 0.2}
    assert (
        services.refresh(later(run, 5)).progress == 0.4
    )  # a checkpoint is behind what was seen: no step back
    compute.seen = {"status": "succeeded", "progress": 1.0, "attempt": 2, "output": people.output_document()}
    services.refresh(later(run, 5))
    saved = row(run)
    assert (saved.status, saved.progress, saved.history) == ("succeeded", 1.0, [{"at": "t"}])
    assert saved.output == people.output_document()
    assert saved.completed_at is not None
    calls = list(compute.calls)
    services.refresh(later(run, 5))
    assert compute.calls == calls  # an ended run is never asked for again


def test_many_watchers_are_one_look_a_second(compute: people.Compute) -> None:
    run = submit()
    for _ in range(10):
        services.refresh(row(run))
    assert compute.calls == ["start", "look"]


def test_a_compute_that_is_down_leaves_the_run_as_it_was(compute: people.Compute) -> None:
    run = submit()
    compute.down = True
    assert services.refresh(run).status == "queued"


def test_a_late_look_never_overwrites_an_end(compute: people.Compute) -> None:
    run = submit()
    done = runner.Seen(status="succeeded", attempt=1, progress=1.0, output=people.output_document())
    stale = row(run)
    services.report(row(run), done)
    compute.seen = {"status": "running", "progress": 0.5, "attempt": 1}
    assert services.refresh(stale).status == "succeeded"
    assert row(run).output == people.output_document()


def test_a_run_that_the_compute_forgot_is_handed_over_again_once(compute: people.Compute) -> None:
    run = submit()
    compute.seen = {"status": "queued", "lost": True}
    services.refresh(later(run, 60))
    services.refresh(later(run, 5))
    assert compute.calls.count("start") == 2
    assert row(run).interruptions == 0  # it had never begun: nothing was interrupted


def test_a_run_that_is_forgotten_at_work_was_interrupted(compute: people.Compute) -> None:
    run = submit()
    compute.seen = {"status": "running", "progress": 0.5}
    services.refresh(later(run, 5))
    compute.seen = {"status": "running", "lost": True}
    services.refresh(later(row(run), 60))
    assert compute.calls.count("start") == 2
    assert row(run).interruptions == 1


def test_cancel_is_for_the_one_who_asked_and_operators(compute: people.Compute) -> None:
    owner, other, boss = people.person("ada"), people.person("bob"), people.person("boss", staff=True)
    run, _ = services.submit(owner, people.INPUTS)
    with pytest.raises(errors.NotAllowed):
        services.cancel(row(run), other)
    services.cancel(row(run), owner)
    assert (row(run).status, row(run).reason) == ("failed", "cancelled by ada")
    with pytest.raises(errors.Conflict, match="ended already"):
        services.cancel(row(run), boss)


def test_a_run_that_ended_before_the_cancel_keeps_its_result(compute: people.Compute) -> None:
    run = submit()
    compute.seen = {"status": "succeeded", "attempt": 1, "output": people.output_document()}
    with pytest.raises(errors.Conflict, match="succeeded"):
        services.cancel(row(run), covid_people.Operator())
    assert row(run).output == people.output_document()


def test_retry_waits_for_the_new_attempt_and_repeats_a_lost_message(compute: people.Compute) -> None:
    run = submit()
    compute.seen = {"status": "failed", "attempt": 1, "reason": "boom"}
    services.refresh(run)
    assert (row(run).status, row(run).reason) == ("failed", "boom")
    with pytest.raises(errors.NotAllowed):
        services.retry(row(run), people.person("bob"))
    services.retry(row(run), covid_people.Operator())
    assert (row(run).status, row(run).reason, row(run).completed_at) == ("queued", "", None)
    services.refresh(later(run, 5))  # the table still says failed: nobody has read the message yet
    assert row(run).status == "queued"
    assert compute.calls.count("retry") == 1
    services.refresh(later(run, 120))
    assert compute.calls.count("retry") == 2
    compute.seen = {"status": "running", "attempt": 2, "progress": 0.1}
    services.refresh(later(run, 5))
    assert (row(run).status, row(run).attempt) == ("running", 2)
    with pytest.raises(errors.Conflict, match="only failed runs"):
        services.retry(row(run), covid_people.Operator())


def test_existing_finds_the_newest_run_within_the_age(compute: people.Compute) -> None:
    assert services.existing(people.INPUTS) is None
    old = submit(data_hash=people.OLDER)
    assert services.existing(people.INPUTS).pk == old.pk
    assert services.existing(people.INPUTS, max_age=0) is None
    assert services.existing(people.INPUTS, max_age=30) is None
    assert services.existing(people.INPUTS, max_age=31).pk == old.pk
    new = submit()
    assert services.existing(people.INPUTS, max_age=31).pk == new.pk
    assert models.SimulationRun.objects.count() == 2
