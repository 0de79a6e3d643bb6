"""``./dev status`` and ``./dev doctor``: what runs, what is there, what is missing and how to get it."""

import json
import platform
import shutil
import subprocess
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from typing import Any

from sandbox import environment, paths
from sandbox.bootstrap import debian, docker_engine, engine, stacks, venv
from sandbox.bootstrap.errors import MISSING, OK, Missing

_NEEDED_GIB = 8
"""Free disk that a first run takes: packages, engine sources and build, base images, the model's image."""


def _emulator() -> dict[str, Any]:
    """What ``python -m sandbox status`` says, or why there is nothing to ask."""
    if not venv.PYTHON.exists() or not environment.settings_path().exists():
        return {"state": "not set up", "endpoint": None}
    try:
        answer = subprocess.run(
            [str(venv.PYTHON), "-m", "sandbox", "status", "--json"],
            cwd=paths.ROOT, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(answer.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        return {"state": f"unknown ({type(error).__name__})", "endpoint": None}
    return found


def status(as_json: bool) -> int:
    """Show the emulator, the stacks, versions and where things are."""
    chosen = engine.installed()
    docker = docker_engine.ask(docker_engine.address())
    report: dict[str, Any] = {
        "emulator": _emulator(),
        "docker": {
            "address": docker_engine.address(),
            "version": docker.version,
            "error": docker.error or None,
        },
        "engine": None if chosen is None else {"version": chosen.version, "source": chosen.source},
        "python_packages": "installed" if venv.ready() else "not installed, or older than requirements.txt",
        "stacks": [asdict(stack) for stack in stacks.all_stacks()],
        "state": str(paths.state()),
        "logs": str(paths.logs()),
    }
    if as_json:
        print(json.dumps(report, indent=2))
        return OK
    emulator = report["emulator"]
    rows = [
        (
            "AWS emulator",
            emulator["state"] + (f" at {emulator['endpoint']}" if emulator["state"] == "running" else ""),
        ),
        (
            "Docker engine",
            f"{docker.version} at {docker_engine.address()}" if docker.version else docker.error,
        ),
        ("Pulumi engine", f"{chosen.version} ({chosen.source})" if chosen else "not set up"),
        ("Python packages", report["python_packages"]),
    ]
    for stack in stacks.all_stacks():
        line = f"{stack.resources} resources, last update {stack.updated or 'never'}"
        if stack.pending:
            line += f", {len(stack.pending)} operations interrupted (the next ./dev up recovers them)"
        rows.append((f"stack {stack.name}", line))
    rows += [("state", str(paths.state())), ("logs", str(paths.logs()))]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
    return OK


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that ``./dev`` needs or can use."""

    name: str
    state: str
    """``ok``, ``will come`` (``./dev up`` brings it), ``missing`` or ``optional``."""
    found: str
    how: str = ""
    """How to get it, when it isn't there."""


def _reachable(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except (urllib.error.URLError, OSError, ValueError):
        return False


def findings() -> list[Finding]:
    """Everything that ``doctor`` looks at."""
    return [
        Finding(name="Python", state="ok", found=f"{platform.python_version()}"),
        _venv_finding(),
        *_engine_findings(),
        _docker_finding(),
        _debootstrap_finding(),
        _node_finding(),
        _disk_finding(),
        _port_finding(),
    ]


def _venv_finding() -> Finding:
    if venv.ready():
        return Finding(name="Python packages", state="ok", found=str(paths.VENV))
    if not venv.can_create():
        return Finding(
            name="Python packages", state="missing", found="this Python has no venv module",
            how="Debian: apt-get install python3-venv",
        )  # fmt: skip
    return Finding(name="Python packages", state="will come", found="not installed", how="./dev up")


def _engine_findings() -> list[Finding]:
    go = engine.find_go()
    version = engine.go_version(go) if go else None
    chosen = engine.installed() or engine.on_path() or engine.downloaded() or engine.built()
    wanted = engine.wanted_version()
    go_how = "https://go.dev/dl; Debian: apt-get install golang"
    if chosen is not None:
        go_finding = Finding(
            name="Go", state="ok" if go else "optional", found=version or "not there", how=go_how
        )
        return [
            Finding(
                name="Pulumi engine", state="ok", found=f"{chosen.version} ({chosen.source}: {chosen.pulumi})"
            ),
            go_finding,
        ]
    can_download = _reachable("https://get.pulumi.com/")
    if go or can_download:
        way = "downloaded" if can_download else "built with Go"
        return [
            Finding(
                name="Pulumi engine", state="will come", found=f"will be {way}",
                how=f"./dev up, or install Pulumi {wanted} or newer",
            ),
            Finding(name="Go", state="ok" if go else "optional", found=version or "not there", how=go_how),
        ]  # fmt: skip
    return [
        Finding(
            name="Pulumi engine", state="missing", found=f"none from {wanted} on; its download is refused",
            how="https://www.pulumi.com/docs/install/, or install Go to build it",
        ),
        Finding(name="Go", state="missing", found="not there", how=go_how),
    ]  # fmt: skip


def _docker_finding() -> Finding:
    answer = docker_engine.ask(docker_engine.address())
    if answer.version:
        return Finding(
            name="Docker engine", state="ok", found=f"{answer.version} at {docker_engine.address()}"
        )
    try:
        docker_engine.check_can_start(answer)
    except Missing as error:
        return Finding(name="Docker engine", state="missing", found=answer.error, how=str(error))
    return Finding(name="Docker engine", state="will come", found=answer.error, how="./dev up")


def _debootstrap_finding() -> Finding:
    found = debian.find("debootstrap")
    if found:
        return Finding(name="debootstrap", state="ok", found=found)
    if debian.is_debian() and debian.is_root():
        return Finding(
            name="debootstrap", state="will come", found="not there",
            how="./dev up installs it where Docker Hub can't be reached",
        )  # fmt: skip
    return Finding(
        name="debootstrap", state="optional", found="not there",
        how="only needed where Docker Hub can't be reached; Debian: apt-get install debootstrap",
    )  # fmt: skip


def _node_finding() -> Finding:
    node = shutil.which("node")
    return Finding(
        name="Node.js", state="ok" if node else "optional", found=node or "not there",
        how="only for the comparison with the AWS CDK in benchmarks/: https://nodejs.org",
    )  # fmt: skip


def _disk_finding() -> Finding:
    free = shutil.disk_usage(paths.ROOT).free / 2**30
    return Finding(
        name="disk space", state="ok" if free >= _NEEDED_GIB else "missing", found=f"{free:.0f} GiB free",
        how=f"a first run needs {_NEEDED_GIB} GiB in {paths.ROOT}, {paths.cache()} and /var/lib/docker",
    )  # fmt: skip


def _port_finding() -> Finding:
    settings = environment.settings_path()
    port = environment.aws_settings().port if settings.exists() else environment.DEFAULT_PORT
    if environment.port_is_free(port):
        return Finding(name=f"port {port}", state="ok", found="free")
    if _emulator()["state"] == "running":
        return Finding(name=f"port {port}", state="ok", found="the AWS emulator listens there")
    return Finding(name=f"port {port}", state="ok", found="taken by something else: another one will be used")


def doctor(as_json: bool) -> int:
    """Show what is there and what is missing; 3 when something is missing that ``./dev`` can't bring."""
    found = findings()
    code = MISSING if any(finding.state == "missing" for finding in found) else OK
    if as_json:
        print(json.dumps({"ready": code == OK, "findings": [asdict(finding) for finding in found]}, indent=2))
        return code
    marks = {"ok": "✓", "will come": "…", "missing": "✗", "optional": "-"}
    width = max(len(finding.name) for finding in found)
    for finding in found:
        how = f"\n  {'':<{width}}    → {finding.how}" if finding.how and finding.state != "ok" else ""
        print(f"{marks[finding.state]} {finding.name:<{width}}  {finding.state:<9} {finding.found}{how}")
    return code
