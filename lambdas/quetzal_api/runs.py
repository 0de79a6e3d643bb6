"""Runs of one Quetzal model: start, follow, list, stop.

The core of the HTTP API and of the operators' tool. A run is one execution of the model's Step
Functions state machine on one scenario (a folder of the model's bucket); its id is the execution's
name, ``<scenario>_<YYYYmmddTHHMMSSZ>_<6 hex>``. Nothing is kept elsewhere: Step Functions and the
bucket are asked each time.

Wrong or impossible requests raise a subclass of ``ApiError`` with one line; refusals by AWS stay
``botocore.exceptions.ClientError``.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from .errors import Conflict, Forbidden, InvalidRequest, Locked, NotFound
from .history import FINAL, PREPARING, STOPPING, Failure, Step, failure_of, status_of, steps_of

BASE = "base"
"""The scenario that everybody starts from; read-only for users and for the runner."""

SCENARIO = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}")
SCENARIO_RULE = "1 to 41 letters, digits, - or _, beginning with a letter or digit"
RUN_ID = re.compile(
    r"(?P<scenario>[A-Za-z0-9][A-Za-z0-9_-]{0,40})_(?P<time>\d{8}T\d{6}Z)_(?P<token>[0-9a-f]{6})"
)

MAX_PARAMS_BYTES = 64_000
"""Step Functions carries 256 KiB between states; the params share that with what steps return."""
TOKEN_HOURS = 24
"""How long a client token finds the run it started."""
MAX_LISTED = 100


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run. Times are aware UTC; ``steps`` and ``error`` are filled by ``Runs.get`` only."""

    id: str
    scenario: str
    status: str
    started: datetime
    ended: datetime | None = None
    user_email: str | None = None
    params: Mapping[str, Any] | None = None
    steps: tuple[Step, ...] = ()
    error: Failure | None = None

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form, times as ISO 8601 UTC."""
        return {
            "run_id": self.id,
            "scenario": self.scenario,
            "status": self.status,
            "started": iso(self.started),
            "ended": iso(self.ended),
            "user_email": self.user_email,
            "params": dict(self.params) if self.params is not None else None,
            "steps": [
                {
                    "name": step.name,
                    "status": step.status,
                    "started": iso(step.started),
                    "ended": iso(step.ended),
                    "attempts": step.attempts,
                }
                for step in self.steps
            ],
            "error": None
            if self.error is None
            else {"type": self.error.type, "message": self.error.message, "step": self.error.step},
        }


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some runs, newest first, and the token that continues the list (None at its end)."""

    runs: tuple[Run, ...]
    next: str | None = None


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A folder of the model's bucket."""

    name: str
    locked: bool
    read_only: bool


def iso(time: datetime | None) -> str | None:
    """ISO 8601 in UTC to the second, with Z.

    >>> iso(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    '2026-01-02T03:04:05Z'
    """
    return None if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_scenario(name: object) -> str:
    """A scenario's name, or ``InvalidRequest``."""
    if not isinstance(name, str) or not SCENARIO.fullmatch(name):
        raise InvalidRequest(f"scenario {name!r} is no scenario name: {SCENARIO_RULE}")
    return name


def check_params(params: object) -> dict[str, Any]:
    """Parameters of a run: a JSON object of at most ``MAX_PARAMS_BYTES``; None is no parameters."""
    if params is None:
        return {}
    if not isinstance(params, Mapping) or not all(isinstance(key, str) and key for key in params):
        raise InvalidRequest('params must be a JSON object with names as keys, like {"headway_factor": 0.5}')
    try:
        size = len(json.dumps(dict(params), allow_nan=False).encode())
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"params can't be written as JSON: {error}") from error
    if size > MAX_PARAMS_BYTES:
        raise InvalidRequest(f"params take {size} bytes; at most {MAX_PARAMS_BYTES} are allowed")
    return dict(params)


def scenario_of(run_id: str) -> str | None:
    """The scenario in a run's id, None when the execution was not started by this module.

    >>> scenario_of("more_buses_20260102T030405Z_0a1b2c")
    'more_buses'
    """
    match = RUN_ID.fullmatch(run_id)
    return match["scenario"] if match else None


def execution_arn(state_machine_arn: str, run_id: str) -> str:
    """ARN of a STANDARD execution.

    >>> execution_arn("arn:aws:states:eu-west-3:1:stateMachine:m", "r")
    'arn:aws:states:eu-west-3:1:execution:m:r'
    """
    return f"{state_machine_arn.replace(':stateMachine:', ':execution:', 1)}:{run_id}"


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The runs of one model, on boto3 clients of Step Functions (``sfn``) and S3 (``s3``).

    ``steps`` are the names of the workflow's steps in order; without them only those entered are known.
    """

    sfn: Any
    s3: Any
    bucket: str
    state_machine_arn: str
    steps: Sequence[str] = ()
    now: Callable[[], datetime] = field(default=_now, repr=False)

    # --- scenarios ---------------------------------------------------------------------------------

    def scenarios(self) -> tuple[Scenario, ...]:
        """The model's scenarios by name; folders like ``_common/`` are none."""
        names = []
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Delimiter="/"):
            names += [item["Prefix"].rstrip("/") for item in page.get("CommonPrefixes", [])]
        return tuple(
            Scenario(name=name, locked=self.is_locked(name), read_only=name == BASE)
            for name in sorted(names)
            if SCENARIO.fullmatch(name)
        )

    def is_locked(self, scenario: str) -> bool:
        """Whether ``<scenario>/.lock`` exists."""
        try:
            self.s3.head_object(Bucket=self.bucket, Key=f"{scenario}/.lock")
        except ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
                return False
            raise
        return True

    def check_can_run(self, scenario: object) -> str:
        """The scenario's name when a run may start on it, else the ``ApiError`` that says why not."""
        name = check_scenario(scenario)
        if name == BASE:
            raise Forbidden(f"scenario {BASE} is read-only: copy it to another scenario and run that")
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=f"{name}/", MaxKeys=1)
        if not found.get("KeyCount"):
            raise NotFound(f"there is no scenario {name} in bucket {self.bucket}: upload it first")
        if self.is_locked(name):
            raise Locked(f"scenario {name} is locked ({name}/.lock exists): unlock it or run another")
        return name

    # --- runs --------------------------------------------------------------------------------------

    def start(
        self,
        scenario: str,
        params: Mapping[str, Any] | None = None,
        *,
        choice: str | None = None,
        user_email: str | None = None,
        client_token: str | None = None,
    ) -> Run:
        """Start the workflow on ``scenario``; one run a scenario at a time.

        ``params`` reach the notebooks; ``choice`` is for workflows with a Choice state. The same
        ``client_token`` within a day returns the run that it started. Raises ``InvalidRequest``,
        ``Forbidden`` (base), ``NotFound``, ``Locked`` or ``Conflict`` (already running).
        """
        checked = check_params(params)
        name = check_scenario(scenario)
        token = secrets.token_hex(3)
        if client_token is not None:
            token = hashlib.sha256(f"{name}\n{client_token}".encode()).hexdigest()[:6]
            earlier = self._started_with(name, token)
            if earlier is not None:
                return earlier
        self.check_can_run(name)
        running = self._running(name)
        if running:
            raise Conflict(f"scenario {name} is already running as {running[0].id}: wait for it or stop it")
        run_id = f"{name}_{self.now().astimezone(UTC):%Y%m%dT%H%M%SZ}_{token}"
        event: dict[str, Any] = {
            "scenario_path_S3": f"{name}/",
            "launcher_arg": {"training_folder": "/tmp", "params": checked},
            "metadata": {"user_email": user_email or ""},
        }
        if choice is not None:
            event["choice"] = choice
        made = self.sfn.start_execution(
            stateMachineArn=self.state_machine_arn, name=run_id, input=json.dumps(event, allow_nan=False)
        )
        self._yield_to_earlier(name, run_id)
        return Run(
            id=run_id, scenario=name, status=PREPARING, started=made["startDate"],
            user_email=user_email, params=checked,
        )  # fmt: skip

    def get(self, run_id: str) -> Run:
        """One run with its steps and, when it failed, the reason. Raises ``NotFound``."""
        arn = self._arn(run_id)
        try:
            found = self.sfn.describe_execution(executionArn=arn)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
                raise NotFound(f"there is no run {run_id}") from error
            raise
        events = list(self._history(arn))
        status = status_of(found["status"])
        steps = steps_of(events, self.steps, status)
        event = _read_input(found.get("input"))
        return Run(
            id=run_id,
            scenario=scenario_of(run_id) or str(event.get("scenario_path_S3", "")).rstrip("/"),
            status=status,
            started=found["startDate"],
            ended=found.get("stopDate"),
            user_email=(event.get("metadata") or {}).get("user_email") or None,
            params=(event.get("launcher_arg") or {}).get("params"),
            steps=steps,
            error=failure_of(events, found.get("error"), found.get("cause")),
        )

    def list(self, *, limit: int = 20, after: str | None = None, scenario: str | None = None) -> Page:
        """Runs newest first, at most ``limit`` (1..100); ``after`` is the ``next`` of the page before.

        With ``scenario`` only its runs; a page may then hold fewer than ``limit`` and still have a next.
        """
        if not 1 <= limit <= MAX_LISTED:
            raise InvalidRequest(f"limit is {limit}; allowed: 1 to {MAX_LISTED}")
        if scenario is not None:
            check_scenario(scenario)
        arguments: dict[str, Any] = {"stateMachineArn": self.state_machine_arn, "maxResults": limit}
        if after:
            arguments["nextToken"] = after
        try:
            found = self.sfn.list_executions(**arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] == "InvalidToken":
                raise InvalidRequest(
                    "next is no continuation of this list, or is older than a day"
                ) from error
            raise
        runs = [_listed(item) for item in found["executions"]]
        if scenario is not None:
            runs = [run for run in runs if run.scenario == scenario]
        return Page(runs=tuple(runs), next=found.get("nextToken"))

    def stop(self, run_id: str, *, user_email: str | None = None) -> Run:
        """Ask a run to stop; it answers ``STOPPING``. Raises ``NotFound``, or ``Conflict`` when it has ended.

        The step that is being computed goes on to its end or limit: Lambda has no way to interrupt it.
        """
        run = self.get(run_id)
        if run.is_final:
            raise Conflict(f"run {run_id} has ended already: {run.status}")
        self.sfn.stop_execution(
            executionArn=self._arn(run_id), error="Stopped", cause=f"stopped by {user_email or 'an operator'}"
        )
        return Run(
            id=run.id, scenario=run.scenario, status=STOPPING, started=run.started,
            user_email=run.user_email, params=run.params, steps=run.steps,
        )  # fmt: skip

    # --- details -----------------------------------------------------------------------------------

    def _arn(self, run_id: object) -> str:
        if not isinstance(run_id, str) or not RUN_ID.fullmatch(run_id):
            raise InvalidRequest(f"{run_id!r} is no run id: they look like test_20260102T030405Z_0a1b2c")
        return execution_arn(self.state_machine_arn, run_id)

    def _history(self, arn: str) -> Iterator[dict[str, Any]]:
        """Events oldest first, without the inputs and outputs of the states: they may be large."""
        pages = self.sfn.get_paginator("get_execution_history").paginate(
            executionArn=arn, includeExecutionData=False
        )
        for page in pages:
            yield from page["events"]

    def _executions(self, **filters: Any) -> Iterator[Run]:
        pages = self.sfn.get_paginator("list_executions").paginate(
            stateMachineArn=self.state_machine_arn, **filters
        )
        for page in pages:
            for item in page["executions"]:
                yield _listed(item)

    def _running(self, scenario: str) -> Sequence[Run]:
        """Runs of the scenario that have not ended, the first started first."""
        found = [run for run in self._executions(statusFilter="RUNNING") if run.scenario == scenario]
        return sorted(found, key=lambda run: (run.started, run.id))

    def _started_with(self, scenario: str, token: str) -> Run | None:
        oldest = self.now() - timedelta(hours=TOKEN_HOURS)
        for run in self._executions():  # newest first
            if run.started < oldest:
                return None
            if run.scenario == scenario and run.id.endswith(f"_{token}"):
                return run
        return None

    def _yield_to_earlier(self, scenario: str, run_id: str) -> None:
        """Stop the run just started when another began at the same moment.

        Step Functions has no start-unless-running, so both of two simultaneous requests may pass the
        check before it. Each then looks again, and all but the first by (start, id) step back.
        """
        running = self._running(scenario)
        if running and running[0].id != run_id and any(run.id == run_id for run in running):
            self.sfn.stop_execution(
                executionArn=self._arn(run_id), error="Conflict", cause=f"{running[0].id} was first"
            )
            raise Conflict(
                f"scenario {scenario} is already running as {running[0].id}: wait for it or stop it"
            )


def _listed(item: Mapping[str, Any]) -> Run:
    name = str(item["name"])
    return Run(
        id=name,
        scenario=scenario_of(name) or "",
        status=status_of(item["status"]),
        started=item["startDate"],
        ended=item.get("stopDate"),
    )


def _read_input(text: str | None) -> dict[str, Any]:
    """The event a run was started with; empty for executions started by hand with something else."""
    try:
        event = json.loads(text or "{}")
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
