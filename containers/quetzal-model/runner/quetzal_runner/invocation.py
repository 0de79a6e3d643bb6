"""One invocation: scenario in, notebook run, results and log out, next event returned."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from quetzal_runner import errors, process, scenario, tracebacks
from quetzal_runner import event as events
from quetzal_runner.deadline import Deadline
from quetzal_runner.notebook import END_OF_NOTEBOOK
from quetzal_runner.output import Lines, Log
from quetzal_runner.storage import Storage

_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_LAMBDA_RUNTIME_API",
)


@dataclass(frozen=True)
class Settings:
    """Where the runner finds and puts things on this machine."""

    code: Path = field(default_factory=lambda: Path(os.environ.get("LAMBDA_TASK_ROOT") or "/var/task"))
    """The model: its notebooks' scripts, and the working folder of every notebook."""
    scratch: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    """The only place written to; training folders must be in it."""
    model_tag: str = field(default_factory=lambda: os.environ.get("MODEL_TAG", ""))
    """Which image this is, noted in ``info.json``."""
    log_interval_s: float = 3.0


def invoke(
    raw: object, storage: Storage, deadline: Deadline, settings: Settings | None = None
) -> dict[str, Any]:
    """Run the step that ``raw`` asks for and return the next step's event.

    What the user can do something about is raised as a :class:`~quetzal_runner.errors.RunnerError`.
    """
    settings = settings or Settings()
    event = events.parse(raw)
    script = settings.code / PurePosixPath(event.notebook).with_suffix(".py")
    if not script.is_file():
        known = ", ".join(sorted(_notebooks(settings.code))) or "none"
        raise errors.InvalidEvent(f"notebook_path: no {event.notebook!r} in this model; there are: {known}")
    folder = scenario.run_folder(event.training_folder, settings.scratch)
    try:
        return _Step(event, storage, deadline, settings, script, folder).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Step:
    def __init__(
        self,
        event: events.Event,
        storage: Storage,
        deadline: Deadline,
        settings: Settings,
        script: Path,
        folder: Path,
    ) -> None:
        self.event = event
        self.storage = storage
        self.deadline = deadline
        self.settings = settings
        self.script = script
        self.files = folder / "scenario"
        self.log_file = folder / "log.txt"
        self.files.mkdir()
        name = PurePosixPath(event.notebook).stem
        self.log_key = f"{event.scenario}/{scenario.LOGS}/{name}.txt"

    def run(self) -> dict[str, Any]:
        started = datetime.now(UTC)
        before = scenario.download(self.storage, self.event.scenario, self.files)
        _say(
            f"{self.event.notebook}: {len(before)} files of scenario {self.event.scenario!r} downloaded "
            f"in {self.deadline.elapsed():.1f} s"
        )
        failure: errors.RunnerError | None = None
        result: dict[str, Any] = {}
        try:
            result = self._notebook()
        except errors.RunnerError as error:
            failure = error
        stored: list[str] = []
        try:
            stored = scenario.upload(self.storage, self.event.scenario, self.files, before)
            self._write_info(started, failure, known=scenario.INFO in before)
        except errors.RunnerError as error:
            failure = failure or error  # the notebook's own failure says more
        _say(f"{self.event.notebook}: {len(stored)} files stored, {self.deadline.elapsed():.1f} s in all")
        if failure is not None:
            raise failure
        return result

    def _notebook(self) -> dict[str, Any]:
        argument = {**(self.event.raw.get("launcher_arg") or {}), "training_folder": str(self.files)}
        log = Log(
            self.log_file,
            lambda path: self.storage.upload(path, self.log_key),
            interval_s=self.settings.log_interval_s,
        )
        failure: errors.RunnerError | None = None
        try:
            lines = Lines(log.line)
            ended = process.run(
                [sys.executable, str(self.script), json.dumps(argument)],
                folder=self.settings.code,
                environment=child_environment(os.environ, self.settings),
                feed=lines.feed,
                remaining=self.deadline.remaining,
            )
            lines.close()
            failure = self._judge(ended, "\n".join(log.tail))
            if failure is not None and ended.timed_out:
                log.line(str(failure))
        finally:
            try:
                log.close()
            except errors.RunnerError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return events.merge(self.event.raw, (events.parse_return(text) for text in log.returned))

    def _judge(self, ended: process.Ended, tail: str) -> errors.RunnerError | None:
        notebook = self.event.notebook
        if ended.timed_out:
            return errors.DeadlineExceeded(
                f"{notebook} was stopped after {self.deadline.elapsed():.0f} s: the time limit is "
                f"{self.deadline.limit_s:.0f} s and its last {self.deadline.margin_s:.0f} s are kept for "
                f"storing the log and what was written so far"
            )
        if ended.exit_code == 0:
            return None
        last = next((line for line in reversed(tail.splitlines()) if line.strip()), "")
        if END_OF_NOTEBOOK in last:
            return None
        if ended.exit_code < 0:
            hint = " (out of memory?)" if ended.exit_code == -9 else ""
            return errors.NotebookError(f"{notebook} was ended by signal {-ended.exit_code}{hint}\n{last}")
        mapped = tracebacks.to_cells(tracebacks.extract(tail), self.script, notebook)
        return errors.NotebookError(f"{notebook} failed\n{tracebacks.shorten(mapped)}")

    def _write_info(self, started: datetime, failure: errors.RunnerError | None, known: bool) -> None:
        """Note in ``info.json`` what ran last, and the last run of each notebook under ``steps``."""
        ended = datetime.now(UTC)
        key = f"{self.event.scenario}/{scenario.INFO}"
        step: dict[str, Any] = {
            "notebook": self.event.notebook,
            "status": "FAILED" if failure else "SUCCESS",
            "started_at": _iso(started),
            "ended_at": _iso(ended),
            "duration_s": round((ended - started).total_seconds(), 3),
            "model_tag": self.settings.model_tag,
            "user_email": self.event.user_email,
        }
        if failure is not None:
            step["error"] = {"type": type(failure).__name__, "message": str(failure).splitlines()[0]}
        steps = _steps(self.files / scenario.INFO) if known else {}
        steps[self.event.notebook] = step
        content = json.dumps({**step, "steps": steps}, indent=2).encode()
        self.storage.write(key, content, "application/json")


def child_environment(environment: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """The notebook's environment: caches in scratch, no credentials (only the runner uses the storage)."""
    kept = {name: value for name, value in environment.items() if name not in _CREDENTIALS}
    cache = settings.scratch / "quetzal-cache"
    shared = Path(environment.get("MODEL_CACHE") or settings.code / ".cache")
    if shared.is_dir() and not cache.exists():
        shutil.copytree(shared, cache, copy_function=shutil.copyfile)
    cache.mkdir(parents=True, exist_ok=True)
    package = str(Path(__file__).resolve().parent.parent)
    path = [str(settings.code), package, *filter(None, [environment.get("PYTHONPATH")])]
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)),
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
        "HOME": str(settings.scratch),
        "XDG_CACHE_HOME": str(cache),
        "MPLCONFIGDIR": str(cache / "matplotlib"),
        "MPLBACKEND": "Agg",
        "NUMBA_CACHE_DIR": str(cache / "numba"),
        "JUPYTER_PLATFORM_DIRS": "1",
    }


def _notebooks(code: Path) -> list[str]:
    scripts = (path.relative_to(code) for path in code.glob("notebooks/**/*.py"))
    return [path.with_suffix(".ipynb").as_posix() for path in scripts]


def _steps(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8")).get("steps", {})
    except (ValueError, OSError, AttributeError):
        return {}  # written by something else; this run's entry replaces it
    return known if isinstance(known, dict) else {}


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _say(text: str) -> None:
    print(f"[quetzal-runner] {text}", flush=True)
