"""The Pulumi engine: one on PATH, else the official download, else built from its Go modules.

``paths.engine_bin()`` then holds what the sandbox uses: ``pulumi``, ``pulumi-language-python`` and whatever
else belongs to it, as links or small launchers.
"""

import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from sandbox import paths
from sandbox.bootstrap import console, lock, venv
from sandbox.bootstrap.errors import Missing, StepFailed

MODULE = paths.ROOT / "sandbox" / "engine"
"""Our Go module that names the engine's."""
_DOWNLOAD_HOST = "https://get.pulumi.com/install.sh"
_REACH_TIMEOUT_S = 5
_DOWNLOAD_TIMEOUT_S = 600
_BUILD_TIMEOUT_S = 2400
_CHOICE = "engine.json"


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A Pulumi CLI and where it came from."""

    pulumi: Path
    version: str
    source: str
    """``path``, ``download`` or ``built``."""

    @property
    def has_language_host(self) -> bool:
        """Whether the official Python language host came with it."""
        return (self.pulumi.parent / "pulumi-language-python").exists()


def wanted_version() -> str:
    """The engine's version, as ``sandbox/engine/go.mod`` pins it: ``3.259.0``."""
    found = re.search(r"github\.com/pulumi/pulumi/pkg/v3 v(\d+\.\d+\.\d+)", (MODULE / "go.mod").read_text())
    if found is None:
        raise StepFailed(f"{MODULE / 'go.mod'} doesn't require github.com/pulumi/pulumi/pkg/v3")
    return found.group(1)


def recent_enough(version: str, wanted: str) -> bool:
    """Whether an engine of ``version`` (``v3.261.0``, ``3.259.0-dev``) serves instead of ``wanted``."""
    found = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)(?:[-+].*)?", version.strip())
    if found is None:
        return False
    have = tuple(int(part) for part in found.groups())
    need = tuple(int(part) for part in wanted.split("."))
    return have[0] == need[0] and have >= need


def version_of(pulumi: Path) -> str | None:
    """What ``pulumi version`` says; ``None`` when it doesn't run."""
    quiet = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        answer = subprocess.run(
            [str(pulumi), "version"], capture_output=True, text=True, timeout=20, check=False, env=quiet
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip().removeprefix("v") if answer.returncode == 0 else None


def search_path() -> str:
    """PATH without our own folder: what we put there must not be taken for the user's engine."""
    own = os.path.realpath(paths.engine_bin())
    kept = [
        entry
        for entry in os.environ.get("PATH", os.defpath).split(os.pathsep)
        if entry and os.path.realpath(entry) != own and not _is_launcher_folder(Path(entry))
    ]
    return os.pathsep.join(kept)


def _is_launcher_folder(folder: Path) -> bool:
    """Whether another sandbox (of a test, or another clone) put its engine there."""
    return (folder / _CHOICE).exists()


def on_path() -> Engine | None:
    """The engine on PATH, when it is recent enough and brings its own Python language host."""
    found = shutil.which("pulumi", path=search_path())
    if found is None:
        return None
    pulumi = Path(os.path.realpath(found))
    version = version_of(pulumi)
    if version is None or not recent_enough(version, wanted_version()):
        return None
    engine = Engine(pulumi=pulumi, version=version, source="path")
    return engine if engine.has_language_host else None


def _download_root() -> Path:
    return paths.cache() / "engine" / f"official-{wanted_version()}-{_platform()}"


def downloaded() -> Engine | None:
    """The official CLI, when an earlier run has fetched it."""
    pulumi = _download_root() / "bin" / "pulumi"
    version = version_of(pulumi) if pulumi.exists() else None
    return None if version is None else Engine(pulumi=pulumi, version=version, source="download")


def download() -> Engine | None:
    """Fetch the official CLI with the SDK's own installer; ``None`` where that is refused."""
    with console.Progress("official Pulumi CLI") as progress:
        try:
            with urllib.request.urlopen(_DOWNLOAD_HOST, timeout=_REACH_TIMEOUT_S):
                reachable = True
        except (urllib.error.URLError, OSError, ValueError):
            reachable = False
            progress.result = "the download is refused here; building it instead"
    if not reachable:
        return None
    root = _download_root()
    root.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".download-", dir=root.parent))
    program = (
        "import sys; from semver import VersionInfo; from pulumi.automation import PulumiCommand; "
        "PulumiCommand.install(root=sys.argv[1], version=VersionInfo.parse(sys.argv[2]))"
    )
    try:
        console.run(
            "download the official Pulumi CLI",
            [str(venv.PYTHON), "-c", program, str(scratch), wanted_version()],
            step="engine-download",
            timeout_s=_DOWNLOAD_TIMEOUT_S,
        )
        shutil.rmtree(root, ignore_errors=True)
        scratch.rename(root)
    except StepFailed as error:
        console.say(f"  {str(error).splitlines()[0]}; building it instead")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return downloaded()


def _platform() -> str:
    return f"{platform.system()}-{platform.machine()}".lower()


def build_key() -> str:
    """What the built engine depends on: version, exact modules, platform."""
    digest = hashlib.sha256((MODULE / "go.sum").read_bytes() + (MODULE / "go.mod").read_bytes())
    return f"{wanted_version()}-{digest.hexdigest()[:12]}-{_platform()}"


def built_path() -> Path:
    return paths.cache() / "engine" / build_key() / "pulumi"


def built() -> Engine | None:
    """The engine that an earlier run built."""
    pulumi = built_path()
    version = version_of(pulumi) if pulumi.exists() else None
    return None if version is None else Engine(pulumi=pulumi, version=version, source="built")


def find_go() -> str | None:
    """The ``go`` command: on PATH, or where its installers put it."""
    return shutil.which("go") or shutil.which(
        "go", path="/usr/local/go/bin:/usr/lib/go/bin:/opt/homebrew/bin"
    )


def _toolchain_note(go: str) -> str:
    """Said with a failed build when the installed Go is older than the module asks for."""
    found = re.search(r"^go (\d+)\.(\d+)", (MODULE / "go.mod").read_text(), re.MULTILINE)
    have = re.search(r"go(\d+)\.(\d+)", go_version(go) or "")
    if found is None or have is None:
        return ""
    if tuple(map(int, have.groups())) >= tuple(map(int, found.groups())):
        return ""
    return (
        f"\n  Go {have[1]}.{have[2]} is installed, {found[1]}.{found[2]} or newer is needed, and Go could "
        "not download a newer toolchain by itself: install one from https://go.dev/dl"
    )


def go_version(go: str) -> str | None:
    """``go1.26.8``, or ``None`` when it doesn't run."""
    try:
        answer = subprocess.run(
            [go, "env", "GOVERSION"], capture_output=True, text=True, timeout=20, check=False, cwd="/",
            env={**_go_environment(), "GOTOOLCHAIN": "local"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def _go_environment() -> dict[str, str]:
    env = dict(os.environ)
    # go.mod and go.sum are the pins: building never changes them.
    env["GOFLAGS"] = "-mod=readonly -buildvcs=false"
    env["GOWORK"] = "off"
    env["CGO_ENABLED"] = "0"
    if "HOME" not in env:  # Go refuses to guess its caches
        env["GOCACHE"] = str(paths.cache() / "go-build")
        env["GOPATH"] = str(paths.cache() / "go")
    return env


def build() -> Engine:
    """Build the engine with Go into the cache that all clones share.

    Raises:
        Missing: there is no Go.
        StepFailed: modules couldn't be fetched, or the build failed.
    """
    go = find_go()
    if go is None:
        raise Missing(
            "no Pulumi engine: none is on PATH, the official download is refused, and there is no Go to "
            f"build it with. Either install Pulumi {wanted_version()} or newer "
            "(https://www.pulumi.com/docs/install/), "
            "or install Go (https://go.dev/dl; Debian: apt-get install golang), and run this again"
        )
    target = built_path()
    target.parent.parent.mkdir(parents=True, exist_ok=True)
    with lock.held(target.parent.with_name(target.parent.name + ".lock"), wait_s=_BUILD_TIMEOUT_S):
        if (ready := built()) is not None:
            return ready
        version = f"v{wanted_version()}"
        scratch = Path(tempfile.mkdtemp(prefix=".build-", dir=target.parent.parent))
        try:
            # Not `go mod download` first: it also asks for what the build never reads, and a proxy may refuse
            # that.
            console.run(
                f"build the Pulumi engine {version} (3 to 5 minutes, once)",
                [go, "build", "-v", "-trimpath", "-o", str(scratch / "pulumi"), "-ldflags",
                 f"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version={version}",
                 "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"],
                step="engine-build", timeout_s=_BUILD_TIMEOUT_S, env=_go_environment(), cwd=MODULE,
            )  # fmt: skip
            if not recent_enough(version_of(scratch / "pulumi") or "", wanted_version()):
                raise StepFailed(f"the engine built in {scratch} doesn't say that it is {version}")
            shutil.rmtree(target.parent, ignore_errors=True)
            scratch.chmod(0o755)
            scratch.rename(target.parent)
        except StepFailed as error:
            note = (
                _toolchain_note(go) or "\n  the sources come from the Go module proxy: see `go env GOPROXY`"
            )
            raise StepFailed(f"{error}{note}") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    ready = built()
    assert ready is not None
    return ready


def _script(command: str) -> str:
    return f'#!/bin/sh\nexec {command} "$@"\n'


def language_host_launcher() -> str:
    """Text of ``pulumi-language-python``: starts our host.

    It gives the repository to the host's import path only: programs must not find our modules on theirs.
    """
    program = (
        f"import sys; sys.path[0] = {str(paths.ROOT)!r}; "
        "from sandbox.engine.language_host import main; main()"
    )
    return _script(f"{shlex.quote(str(venv.PYTHON))} -c {shlex.quote(program)}")


def dynamic_provider_launcher() -> str:
    """Text of ``pulumi-resource-pulumi-python``: runs providers that a program itself defines."""
    return _script(f"{shlex.quote(str(venv.PYTHON))} -u -m pulumi.dynamic")


def _contents(engine: Engine) -> dict[str, str | Path]:
    """What the folder must hold: name to link target, or to the text of a launcher."""
    wanted: dict[str, str | Path] = {"pulumi": engine.pulumi}
    if engine.has_language_host:
        for other in sorted(engine.pulumi.parent.glob("pulumi-*")):
            wanted[other.name] = other
        return wanted
    wanted["pulumi-language-python"] = language_host_launcher()
    wanted["pulumi-resource-pulumi-python"] = dynamic_provider_launcher()
    return wanted


def _is(path: Path, content: str | Path) -> bool:
    """Whether an entry of the folder is as it must be."""
    try:
        if isinstance(content, Path):
            if path.is_symlink():
                return os.readlink(path) == str(content) and content.exists()
            have, want = path.stat(), content.stat()
            return os.path.samestat(have, want) or (
                (have.st_size, int(have.st_mtime)) == (want.st_size, int(want.st_mtime))
            )
        return not path.is_symlink() and path.read_text() == content
    except (OSError, UnicodeDecodeError):
        return False


def _link_or_copy(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the cache is on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def install(engine: Engine) -> None:
    """Make ``paths.engine_bin()`` hold this engine, replacing entry by entry what another one left."""
    folder = paths.engine_bin()
    folder.mkdir(parents=True, exist_ok=True)
    wanted = _contents(engine)
    # The engine takes plugins that lie beside its real file without a warning. One that came whole is linked
    # to; ours gets its file here, beside our launchers.
    own = not engine.has_language_host
    for name, content in wanted.items():
        path = folder / name
        if _is(path, content):
            continue
        scratch = folder / f".{name}.{os.getpid()}"
        scratch.unlink(missing_ok=True)
        if isinstance(content, Path):
            if own:
                _link_or_copy(content, scratch)
            else:
                scratch.symlink_to(content)
        else:
            scratch.write_text(content)
            scratch.chmod(0o755)
        scratch.replace(path)
    for path in folder.glob("pulumi*"):
        if path.name not in wanted:
            path.unlink()
    choice = {"pulumi": str(engine.pulumi), "version": engine.version, "source": engine.source}
    (folder / _CHOICE).write_text(json.dumps(choice, indent=2) + "\n")


def installed() -> Engine | None:
    """The engine that the sandbox uses now, when it is still there and recent enough."""
    try:
        kept = json.loads((paths.engine_bin() / _CHOICE).read_text())
        engine = Engine(pulumi=Path(kept["pulumi"]), version=kept["version"], source=kept["source"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not engine.pulumi.exists() or not recent_enough(engine.version, wanted_version()):
        return None
    if engine.source == "built" and engine.pulumi != built_path():
        return None
    complete = all(_is(paths.engine_bin() / name, content) for name, content in _contents(engine).items())
    return engine if complete else None


def ensure() -> Engine:
    """Find, fetch or build the engine, and install it into the sandbox."""
    engine = installed()
    if engine is not None:
        console.done("Pulumi engine", f"{engine.version} ({engine.source})")
        return engine
    engine = on_path() or downloaded() or built() or download() or build()
    install(engine)
    console.done("Pulumi engine", f"{engine.version} ({engine.source}: {engine.pulumi})")
    return engine
