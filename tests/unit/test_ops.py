"""Rules of the operators' command line that need no cloud."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions as boto
from typer.testing import CliRunner

from lambdas.quetzal_api.history import FAILED, PENDING, RUNNING, STOPPED, SUCCESS, Failure, Step
from lambdas.quetzal_api.runs import Run
from ops.app import app
from ops.common import errors, sessions, stack
from ops.common.errors import ExitCode, OpsError
from ops.quetzal import follow, params, runs, target

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


# --- parameters of a run ---------------------------------------------------------------------------


def test_params_are_json_where_they_look_so_and_nest_by_dots() -> None:
    assert params.parse(
        ["a.b=1", "a.c=true", "name=am", "t=07:30", "list=[1, 2]", 'text="1"', "empty=", "n=null"]
    ) == {
        "a": {"b": 1, "c": True},
        "name": "am",
        "t": "07:30",
        "list": [1, 2],
        "text": "1",
        "empty": "",
        "n": None,
    }
    assert params.parse(["x=1", "x=2", "eq=a=b", "not_json=NaN"]) == {"x": 2, "eq": "a=b", "not_json": "NaN"}
    assert params.flat({"a": {"b": 1}, "c": {}}) == {"a.b": 1, "c": {}}


@pytest.mark.parametrize("pairs", [["novalue"], ["=1"], ["a..b=1"], ["a=1", "a.b=2"], ["a.b=2", "a=1"]])
def test_params_that_make_no_sense_are_usage_errors(pairs: list[str]) -> None:
    with pytest.raises(OpsError, match="--param") as caught:
        params.parse(pairs)
    assert caught.value.code is ExitCode.USAGE


# --- which stack, model, endpoint ------------------------------------------------------------------

MODEL = {"bucket": "b", "function_name": "f", "log_group": "/l", "state_machine_arn": "arn", "groups": ["g"]}


def test_the_only_model_is_the_default_and_several_must_be_named() -> None:
    assert target.choose({"models": {"one": MODEL}}, None, "s").name == "one"
    two = {"models": {"one": MODEL, "two": {**MODEL, "bucket": "b2"}}}
    assert target.choose(two, "two", "s").bucket == "b2"
    with pytest.raises(OpsError, match="--model \\(one, two\\)") as caught:
        target.choose(two, None, "s")
    assert caught.value.code is ExitCode.USAGE
    with pytest.raises(OpsError, match="no model 'three'; it has: one, two") as caught:
        target.choose(two, "three", "s")
    assert caught.value.code is ExitCode.NOT_FOUND


def test_an_output_that_lacks_something_is_named() -> None:
    with pytest.raises(OpsError, match="lacks log_group"):
        target.choose({"models": {"one": {**MODEL, "log_group": ""}}}, None, "quetzal-paris")
    with pytest.raises(OpsError, match="not a quetzal stack"):
        target.choose({"other": 1}, None, "dtbase-prod")


@pytest.mark.parametrize(
    ("url", "local_one"),
    [
        ("http://127.0.0.1:4566", True),
        ("http://localhost:4566", True),
        ("http://172.17.0.1:4566", True),
        ("http://x.execute-api.localhost:1", True),
        ("http://[::1]:1", True),
        ("https://s3.amazonaws.com", False),
        ("http://169.254.169.254", False),
        ("http://127.0.0.1.evil.org", False),
        ("http://8.8.8.8", False),
        ("", False),
    ],
)
def test_what_counts_as_this_machine(url: str, local_one: bool) -> None:
    assert sessions.is_local(url) is local_one


def test_a_sandbox_stack_never_uses_a_real_endpoint() -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        environ = {
            "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
            "PULUMI_BACKEND_URL": "file:///x",
            name: "https://aws.example",
        }
        with pytest.raises(OpsError, match="never touches a real account") as caught:
            sessions.prepare("quetzal-sandbox", environ)
        assert caught.value.code is ExitCode.REFUSED


def test_a_sandbox_stack_loads_the_sandbox_and_drops_a_real_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHTOP_SANDBOX", str(tmp_path))
    environ = {"AWS_PROFILE": "production", "AWS_SESSION_TOKEN": "real", "AWS_ACCESS_KEY_ID": "real"}
    sessions.prepare("quetzal-sandbox", environ)
    assert sessions.is_local(environ["AWS_ENDPOINT_URL"])
    assert environ["AWS_ACCESS_KEY_ID"] != "real"
    assert environ["PULUMI_BACKEND_URL"].startswith(tmp_path.as_uri())
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN"} & set(environ)


def test_another_stack_keeps_the_environment_as_it_is() -> None:
    environ = {"AWS_PROFILE": "production"}
    sessions.prepare("quetzal-paris", environ)
    assert environ == {"AWS_PROFILE": "production"}


# --- errors and exit codes -------------------------------------------------------------------------


def client_error(
    code: str, message: str, operation: str = "GetObject", status: int = 400
) -> boto.ClientError:
    return boto.ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},
        operation,
    )


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            client_error("AccessDenied", "User: x is not authorized to perform: s3:GetObject on resource: y"),
            ExitCode.REFUSED,
            "permission denied for s3:GetObject",
        ),
        (client_error("AccessDeniedException", "no"), ExitCode.REFUSED, "permission denied for GetObject"),
        (client_error("ExpiredToken", "expired"), ExitCode.UNREACHABLE, "credentials"),
        (client_error("NoSuchBucket", "gone"), ExitCode.NOT_FOUND, "GetObject: gone"),
        (client_error("InternalError", "oops", status=500), ExitCode.UNREACHABLE, "service failed"),
        (client_error("Strange", "two\nlines"), ExitCode.UNEXPECTED, "Strange: two lines"),
        (boto.NoCredentialsError(), ExitCode.UNREACHABLE, "./dev up"),
        (boto.EndpointConnectionError(endpoint_url="http://127.0.0.1:1/"), ExitCode.UNREACHABLE, "./dev up"),
        (
            boto.ConnectTimeoutError(endpoint_url="http://h/"),
            ExitCode.UNREACHABLE,
            "http://h/ does not answer",
        ),
    ],
)
def test_aws_errors_become_one_line(error: Exception, code: ExitCode, said: str) -> None:
    clear = errors.from_aws(error)
    assert clear.code is code
    assert said in clear.message
    assert "\n" not in clear.message


def test_every_exit_code_is_in_help_and_in_the_guide() -> None:
    help_text = " ".join(CliRunner().invoke(app, ["quetzal", "--help"]).output.split())
    guide = (stack.ROOT / "docs" / "ops-quetzal.md").read_text()
    for code in ExitCode:
        assert f"{code.value} {errors.MEANING[code]}" in help_text
        assert f"| {code.value} |" in guide


def commands(group: Any, prefix: str = "") -> list[str]:
    found = [f"{prefix}{info.name}" for info in group.registered_commands]
    for inner in group.registered_groups:
        found += commands(inner.typer_instance, f"{prefix}{inner.name} ")
    return found


SHARED_OPTIONS = {"quetzal": ("--stack", "--model", "--json"), "projections": ("--stack", "--json")}


@pytest.mark.parametrize("system", [group.name for group in app.registered_groups])
def test_the_guide_names_every_command_and_each_takes_the_common_options(system: str) -> None:
    guide = (stack.ROOT / "docs" / f"ops-{system}.md").read_text()
    names = [name for name in commands(app) if name.startswith(f"{system} ")]
    assert len(names) >= 10
    for name in names:
        assert f"`{name.removeprefix(f'{system} ')}" in guide, name
        shown = CliRunner().invoke(app, [*name.split(), "--help"])
        assert shown.exit_code == 0, shown.output
        assert all(option in shown.output for option in SHARED_OPTIONS[system]), name


def test_the_engines_complaints_become_clear_lines() -> None:
    def said(text: str, name: str = "quetzal-paris") -> OpsError:
        return stack._engine_error(text, name)

    assert said("error: no stack named 'quetzal-paris' found").code is ExitCode.NOT_FOUND
    assert "`./dev up quetzal`" in said("error: no stack named 'x' found", "quetzal-sandbox").message
    assert said("error: PULUMI_ACCESS_TOKEN must be set for login").code is ExitCode.UNREACHABLE
    assert "pulumi cancel" in said("error: the stack is currently locked by 1 lock(s)").message
    assert said("warning: x\nerror: something odd").message == "pulumi: something odd"


# --- what a run's end means ------------------------------------------------------------------------


def a_run(status: str, error: Failure | None = None, steps: tuple[Step, ...] = ()) -> Run:
    return Run(
        id="t_20261121T090000Z_aaaaaa",
        scenario="t",
        status=status,
        started=NOW,
        ended=NOW,
        error=error,
        steps=steps,
    )


@pytest.mark.parametrize(
    ("run", "code"),
    [
        (a_run(SUCCESS), ExitCode.OK),
        (a_run(FAILED, Failure(type="NotebookError", message="m")), ExitCode.RUN_FAILED),
        (a_run(FAILED, Failure(type="DeadlineExceeded", message="m")), ExitCode.RUN_STOPPED),
        (a_run(FAILED, Failure(type="States.Timeout", message="m")), ExitCode.RUN_STOPPED),
        (a_run(STOPPED), ExitCode.RUN_STOPPED),
    ],
)
def test_exit_code_of_a_run(run: Run, code: ExitCode) -> None:
    assert runs.exit_code_of(run) is code


def test_following_prints_a_step_once_with_its_lines_between() -> None:
    shown: dict[str, tuple[str, int]] = {}
    logs = {"import": "import_gtfs", "results": "results"}

    def look(first: Step, second: Step, *lines: tuple[str, str]) -> list[str]:
        return [text for text, _ in follow.events((first, second), shown, lines, logs)]

    waiting = Step(name="results")
    running = Step(name="import", status=RUNNING, started=NOW, attempts=1)
    assert look(Step(name="import"), waiting) == []
    assert look(running, waiting, ("import_gtfs", "one")) == ["[1/2] import started", "  one"]
    assert look(running, waiting) == []
    again = Step(name="import", status=RUNNING, started=NOW, attempts=2)
    assert look(again, waiting) == ["[1/2] import is tried again (attempt 2)"]
    done = Step(name="import", status=SUCCESS, started=NOW, ended=NOW + timedelta(seconds=62), attempts=2)
    failed = Step(name="results", status=FAILED, started=NOW, ended=NOW + timedelta(seconds=3), attempts=1)
    assert look(done, failed, ("import_gtfs", "two"), ("results", "boom"), ("other", "x")) == [
        "  two",
        "[1/2] import done in 1 min 02 s",
        "[2/2] results started",
        "  boom",
        "[2/2] results failed in 3.0 s",
        "  other: x",
    ]
    assert look(done, failed) == []
    assert shown["results"] == (FAILED, 1)
    assert PENDING not in {status for status, _ in shown.values()}
