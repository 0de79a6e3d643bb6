"""``ops quetzal run|status|runs|stop``: runs of the workflow, by the same rules as the HTTP API's."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from components.parts import asl
from lambdas.quetzal_api.history import FAILED, STOPPED, SUCCESS
from lambdas.quetzal_api.runs import RUN_ID, Run, Runs
from ops.common.errors import ExitCode, OpsError, not_found
from ops.common.output import Output, duration
from ops.quetzal import params as parameters
from ops.quetzal import workflow
from ops.quetzal.target import Target

RunId = Annotated[str, typer.Argument(help="Run id.", metavar="RUN")]

TIMEOUTS = {"States.Timeout", "DeadlineExceeded", "Sandbox.Timedout"}
"""Error types of runs that ran out of time: the workflow's, the runner's, Lambda's own."""


def core_of(target: Target, with_steps: bool = False) -> Runs:
    """The shared core on this model; ``with_steps`` makes it know steps that haven't begun."""
    steps = asl.steps(workflow.deployed(target)) if with_steps else ()
    return Runs(
        sfn=target.client("stepfunctions"), s3=target.client("s3"), bucket=target.model.bucket,
        state_machine_arn=target.model.state_machine_arn, steps=steps,
    )  # fmt: skip


def all_runs(core: Runs, limit: int | None = None, scenario: str | None = None) -> Iterator[Run]:
    """Runs newest first over all pages, at most ``limit``."""
    after, count = None, 0
    while True:
        page = core.list(limit=100, after=after, scenario=scenario)
        for run in page.runs:
            if limit is not None and count >= limit:
                return
            count += 1
            yield run
        after = page.next
        if after is None:
            return


def latest_runs(target: Target) -> dict[str, Run]:
    """The latest run of each scenario."""
    latest: dict[str, Run] = {}
    for run in all_runs(core_of(target)):
        latest.setdefault(run.scenario, run)
    return latest


def latest_of(core: Runs, scenario: str | None, model: str) -> Run:
    """The latest run (of a scenario), with its steps; NOT_FOUND when there was none."""
    run = next(all_runs(core, limit=1, scenario=scenario), None)
    if run is None:
        raise not_found(f"model {model} has no run{f' of scenario {scenario}' if scenario else ''} yet")
    return core.get(run.id) if RUN_ID.fullmatch(run.id) else run


def find_run(core: Runs, name: str, model: str) -> Run:
    """The run with that id, or the latest run of the scenario with that name."""
    return core.get(name) if RUN_ID.fullmatch(name) else latest_of(core, name, model)


def seconds_of(run: Run) -> float:
    """How long a run took, or takes so far."""
    return max(0.0, ((run.ended or datetime.now(UTC)) - run.started).total_seconds())


def document(run: Run) -> dict[str, Any]:
    """A run for ``--json``: the HTTP API's form, its id as ``run_id``, and ``elapsed_s``."""
    form = {key: value for key, value in run.as_dict().items() if key != "id"}
    return {"run_id": run.id, **form, "elapsed_s": round(seconds_of(run), 1)}


def exit_code_of(run: Run) -> ExitCode:
    """The exit code that a finished run gives to whoever waits for it.

    A failure for lack of time counts as a timeout, whether the workflow's or the runner's deadline.
    """
    if run.status == STOPPED:
        return ExitCode.RUN_STOPPED
    if run.status == FAILED:
        return ExitCode.RUN_STOPPED if run.error and run.error.type in TIMEOUTS else ExitCode.RUN_FAILED
    return ExitCode.OK


def show(out: Output, run: Run) -> None:
    """A run for people: a line, the steps, and why it failed."""
    out.say(f"{run.id}  {run.status}  {duration(seconds_of(run))}", style=None)
    if run.params:
        out.say(
            "params  " + ", ".join(f"{key}={value}" for key, value in parameters.flat(run.params).items())
        )
    if run.steps:
        out.table(
            ("STEP", "STATUS", "TIME", "ATTEMPTS"),
            [
                (step.name, step.status,
                 duration(((step.ended or run.ended or datetime.now(UTC)) - step.started).total_seconds())
                 if step.started else "", step.attempts or "")
                for step in run.steps
            ],
        )  # fmt: skip
    show_error(out, run)


def show_error(out: Output, run: Run) -> None:
    """Why a run failed: the step, the kind of error and the notebook's traceback."""
    if run.error is not None and run.status != SUCCESS:
        where = f" in step {run.error.step}" if run.error.step else ""
        out.say(f"{run.error.type}{where}:", style="bold red")
        out.say(run.error.message)


def run(
    target: Target,
    scenario: Annotated[
        str, typer.Argument(help="Scenario to run on; base is read-only.", metavar="SCENARIO")
    ],
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param", "-p", help="name=value; JSON values, dots nest; repeatable.", metavar="NAME=VALUE"
        ),
    ] = None,
    choice: Annotated[str | None, typer.Option("--choice", help="For workflows with a Choice state.")] = None,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Wait, showing steps and log.")] = True,
) -> None:
    """Start the workflow on a scenario; Ctrl-C stops the showing, not the run."""
    from ops.quetzal.follow import left_going, watch

    params = parameters.parse(param or [])
    core = core_of(target, with_steps=follow)
    started = core.start(scenario, params, choice=choice, user_email=operator(target))
    with left_going(target, started):
        for key, value in parameters.flat(params).items():
            target.out.note(f"param {key} = {value!r}")
        target.out.note(f"run {started.id} has started")
        if not follow:
            target.out.result(document(started))
            target.out.say(started.id)
            target.out.note(f"follow it with `{target.again(f'logs {started.id} --follow')}`")
            return
        finished = watch(target, core, started)
    target.out.result(document(finished))
    end_with(target.out, finished)


def end_with(out: Output, finished: Run) -> None:
    """Leave with the finished run's exit code, having said why."""
    show_error(out, finished)
    code = exit_code_of(finished)
    if code is not ExitCode.OK:
        raise typer.Exit(int(code))


def operator(target: Target) -> str:
    """Who operates, for the run's metadata: the AWS identity, for operators aren't in the user pool."""
    return str(target.client("sts").get_caller_identity()["Arn"])


def status(
    target: Target,
    name: Annotated[
        str | None, typer.Argument(help="Run or scenario; default: the latest run.", metavar="[RUN|SCENARIO]")
    ] = None,
) -> None:
    """Show a run with its steps, and why it failed."""
    core = core_of(target, with_steps=True)
    found = (
        latest_of(core, None, target.model.name) if name is None else find_run(core, name, target.model.name)
    )
    target.out.result(document(found))
    show(target.out, found)


def runs(
    target: Target,
    scenario: Annotated[str | None, typer.Option("--scenario", help="Only runs of this scenario.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 20,
) -> None:
    """List runs, newest first."""
    found = list(all_runs(core_of(target), limit, scenario))
    keys = ("run_id", "scenario", "status", "started", "ended", "elapsed_s")
    documents: Sequence[dict[str, Any]] = [document(item) for item in found]
    target.out.result(
        {"model": target.model.name, "runs": [{key: d[key] for key in keys} for d in documents]}
    )
    if not found:
        target.out.say(f"no run yet: `{target.again('run SCENARIO')}`")
        return
    target.out.table(
        ("RUN", "SCENARIO", "STATUS", "STARTED", "TIME"),
        [(item.id, item.scenario, item.status, item.started, duration(seconds_of(item))) for item in found],
    )


def stop(target: Target, name: RunId) -> None:
    """Stop a run; the step being computed goes on to its end, but no further step begins."""
    core = core_of(target)
    found = find_run(core, name, target.model.name)
    if found.is_final:
        raise OpsError(ExitCode.REFUSED, f"run {found.id} has ended already: {found.status}")
    stopped = core.stop(found.id, user_email=operator(target))
    target.out.result(document(stopped))
    target.out.say(f"{stopped.id} {stopped.status}")
