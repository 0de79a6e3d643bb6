"""``ops quetzal test-local``: the model's image on this machine, on a local scenario, without a cloud.

The image is built as a deployment builds it (nothing is built when a deployment, or an earlier test,
already did). The container serves the protocol of Lambda's emulator, on a read-only file system as on
Lambda, and works on a copy of the scenario, so that the folder given stays as it is.
"""

import json
import os
import shutil
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import typer

from lambdas.quetzal_api.history import FAILED, SUCCESS, read_failure
from lambdas.quetzal_api.runs import BASE, SCENARIO
from ops.common import stack
from ops.common.errors import ExitCode, OpsError, not_found, usage
from ops.common.output import Output, duration
from ops.quetzal import params as parameters
from ops.quetzal import sync, workflow
from ops.quetzal.results import read_indicators, show
from ops.quetzal.runs import TIMEOUTS
from ops.quetzal.target import Place, choose

INVOCATIONS = "/2015-03-31/functions/function/invocations"
INSIDE = "/scenarios"
PLATFORM = "linux/amd64"
START_S = 60
RESULTS = ("outputs/", "logs/")


def run_locally(
    place: Place,
    scenario: Annotated[
        Path, typer.Option("--scenario", help="Scenario folder (holds inputs/).", metavar="FOLDER")
    ],
    source: Annotated[
        str | None, typer.Option("--source", help="Model source; default: the only one, or the model's.")
    ] = None,
    notebook: Annotated[
        str | None, typer.Option("--notebook", help="Only this notebook; default: every step in order.")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param", "-p", help="name=value; JSON values, dots nest; repeatable.", metavar="NAME=VALUE"
        ),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=1024, max=65535, help="Port on 127.0.0.1.")] = 9000,
    to: Annotated[Path | None, typer.Option("--to", help="Results; default: ./SCENARIO-local.")] = None,
    timeout: Annotated[int, typer.Option("--timeout", min=1, help="Seconds a notebook may take.")] = 900,
) -> None:
    """Build the image and run the steps on a local scenario; a failing notebook shows its traceback."""
    files = sync.local_files(scenario)
    folder = _source(place, source)
    steps = _notebooks(folder, notebook)
    name = scenario.resolve().name
    name = name if SCENARIO.fullmatch(name) and name != BASE else "local"
    results = (to if to is not None else Path(f"{scenario.resolve().name}-local")).resolve()
    event: dict[str, Any] = {
        "scenario_path_S3": f"{name}/",
        "launcher_arg": {"training_folder": "/tmp", "params": parameters.parse(param or [])},
        "metadata": {"user_email": ""},
    }
    image = build(folder, place.out)
    done: list[dict[str, Any]] = []
    work = Path(tempfile.mkdtemp(prefix="quetzal-local-"))
    try:
        for path, file in files.items():
            (work / name / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, work / name / path)
        with container(image, work, port, place.out) as url:
            for path in steps:
                place.out.say(f"{path} started", style="bold")
                began = time.monotonic()
                answer, failed = post(url, {**event, "notebook_path": path}, timeout)
                done.append(_step(path, time.monotonic() - began, answer, failed))
                ended = "failed" if failed else "done"
                place.out.say(
                    f"{path} {ended} in {duration(done[-1]['seconds'])}", style="red" if failed else "green"
                )
                if failed:
                    break
                event = answer
    finally:
        made = _keep_results(work / name, results)
        shutil.rmtree(work, ignore_errors=True)
    place.out.result(
        {
            "source": folder.name, "image": image, "scenario": name, "steps": done, "event": event,
            "folder": results, "files": made, "status": done[-1]["status"],
        }
    )  # fmt: skip
    outputs = results / "outputs"
    show(place.out, read_indicators(outputs / "indicators.json"), outputs)
    place.out.say(f"{len(made)} files in {results}")
    error = done[-1]["error"]
    if error is not None:
        place.out.say(f"{error['type']}:", style="bold red")
        place.out.say(error["message"])
        raise typer.Exit(int(ExitCode.RUN_STOPPED if error["type"] in TIMEOUTS else ExitCode.RUN_FAILED))
    place.out.note(json.dumps(event))


def _source(place: Place, named: str | None) -> Path:
    """The source to test: the one named, else that of the stack's ``--model``, else the only one."""
    there = workflow.sources()
    if named is not None:
        return workflow.source_folder(named)
    if place.model is not None:
        return workflow.model_folder(choose(stack.outputs(place.stack), place.model, place.stack))
    if len(there) != 1:
        raise usage(f"name what to test with --source; there are: {', '.join(there) or 'none'}")
    return workflow.source_folder(there[0])


def _notebooks(folder: Path, only: str | None) -> list[str]:
    """Paths of the notebooks to run: those of the steps in order, or the one named by path or by stem."""
    if only is None:
        return [step.notebook for step in workflow.steps(workflow.in_file(folder / workflow.FILE))]
    there = sorted(path.relative_to(folder).as_posix() for path in folder.glob("notebooks/**/*.ipynb"))
    found = [path for path in there if only in (path, PurePosixPath(path).stem)]
    if not found:
        raise not_found(f"{folder} has no notebook {only!r}; it has: {', '.join(there) or 'none'}")
    return found[:1]


def _step(path: str, seconds: float, answer: dict[str, Any], failed: bool) -> dict[str, Any]:
    failure = read_failure("Unknown", json.dumps(answer)) if failed else None
    return {
        "notebook": path, "status": FAILED if failed else SUCCESS, "seconds": round(seconds, 1),
        "error": {"type": failure.type, "message": failure.message} if failure else None,
    }  # fmt: skip


def _keep_results(work: Path, results: Path) -> list[str]:
    """Copy what the run made out of the scratch folder; returns relative paths."""
    made = [
        path.relative_to(work).as_posix()
        for path in sorted(work.rglob("*"))
        if path.is_file() and sync.is_run_made(path.relative_to(work).as_posix())
    ]
    for path in made:
        (results / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(work / path, results / path)
    return made


def post(url: str, event: dict[str, Any], timeout_s: int) -> tuple[dict[str, Any], bool]:
    """Post an event; the answer and whether it tells of a failure, as Lambda's emulator reports one."""
    request = urllib.request.Request(
        url + INVOCATIONS, data=json.dumps(event).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            body = json.loads(response.read())
            failed = response.headers.get("Lambda-Runtime-Function-Error-Type") is not None
    except TimeoutError:
        return {
            "errorType": "Sandbox.Timedout",
            "errorMessage": f"no answer within {timeout_s} s (--timeout)",
        }, True
    except urllib.error.HTTPError as error:
        return {
            "errorType": f"HTTP {error.code}",
            "errorMessage": error.read().decode("utf-8", "replace"),
        }, True
    except (urllib.error.URLError, ConnectionError) as error:
        return {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"the container stopped answering: {error}",
        }, True
    return body if isinstance(body, dict) else {"result": body}, failed


# --- docker ----------------------------------------------------------------------------------------


def build(folder: Path, out: Output) -> str:
    """The id of the model's image, built by the code that deployments build it with."""
    from sandbox.providers.docker import recipe
    from sandbox.providers.docker.builder import Builder
    from sandbox.providers.docker.report import EngineLog, Report
    from sandbox.providers.server import ProviderError

    class Notes(EngineLog):
        def status(self, urn: str, message: str) -> None:
            if message.startswith(("Step ", "Pulling ")):
                out.note(message)

        def info(self, urn: str, message: str) -> None:
            out.note(message, style=None)

        def warning(self, urn: str, message: str) -> None:
            out.note(message, style="yellow")

    root = workflow.MODELS.parent
    with tempfile.TemporaryDirectory(prefix="quetzal-build-") as scratch:
        report = Report(Notes(""), "test-local", Path(scratch) / "build.log")
        wanted = {
            "context": str(root),
            "dockerfile": str(root / "Dockerfile"),
            "args": {"MODEL": folder.name},
            "platform": PLATFORM,
        }
        try:
            with out.status(f"building the image of {folder.name}"):
                return recipe.make(Builder(), wanted, report).image_id
        except ProviderError as error:
            code = ExitCode.UNREACHABLE if "no Docker engine" in str(error) else ExitCode.UNEXPECTED
            raise OpsError(code, str(error)) from error


@contextmanager
def container(image: str, scenarios: Path, port: int, out: Output) -> Iterator[str]:
    """The image running on ``scenarios``; gives its URL, shows its log, and removes it at the end."""
    import docker.errors

    from sandbox.images.client import DockerUnavailable, connect, engine_reason

    try:
        client = connect(timeout_s=3600)
    except DockerUnavailable as error:
        raise OpsError(ExitCode.UNREACHABLE, str(error)) from error
    settings = client.create_host_config(
        binds={str(scenarios): {"bind": INSIDE, "mode": "rw"}},
        port_bindings={8080: ("127.0.0.1", port)},
        read_only=True,
        tmpfs={"/tmp": "exec,mode=1777"},
    )
    made = client.create_container(
        image,
        environment={"LOCAL_SCENARIOS": INSIDE},
        ports=[8080],
        host_config=settings,
        user=f"{os.getuid()}:{os.getgid()}",
    )["Id"]
    try:
        try:
            client.start(made)
        except docker.errors.APIError as error:
            reason = engine_reason(error)
            hint = (
                f": port {port} is taken, choose another with --port"
                if "allocated" in reason or "in use" in reason
                else ""
            )
            raise OpsError(ExitCode.UNEXPECTED, f"the container did not start{hint} ({reason})") from error
        log = _Lines(client.logs(made, stream=True, follow=True), out)
        log.start()
        url = f"http://127.0.0.1:{port}"
        _wait_until_up(url, lambda: bool(client.inspect_container(made)["State"]["Running"]), log)
        yield url
    finally:
        client.remove_container(made, force=True)
        client.close()


class _Lines(threading.Thread):
    """Shows a container's log as it comes and keeps its last lines."""

    def __init__(self, stream: Any, out: Output) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._out = out
        self.text = ""

    def run(self) -> None:
        pending = b""
        for chunk in self._stream:
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                shown = line.decode("utf-8", "replace")
                self.text = (self.text + shown + "\n")[-4000:]
                self._out.say(f"  {shown}")


def _wait_until_up(url: str, running: Any, log: _Lines) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return
        except (OSError, urllib.error.URLError) as error:
            if not running():
                raise OpsError(ExitCode.RUN_FAILED, "the container ended at once", log.text) from error
            if time.monotonic() > until:
                raise OpsError(
                    ExitCode.RUN_FAILED, f"the container did not answer within {START_S} s", log.text
                ) from error
            time.sleep(0.1)
