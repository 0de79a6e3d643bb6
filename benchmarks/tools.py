"""The tools compared: what each one's commands are and how one knows that they did their work."""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Protocol

import boto3

from benchmarks import timing, unit
from benchmarks.timing import CommandError, Timing
from sandbox import paths

FOLDER = Path(__file__).resolve().parent
COMMAND_TIMEOUT_S = 600
INSTALL_TIMEOUT_S = 900

CDK_CLI_VERSION = "2.1147.0"
CDK_LIBRARY_VERSION = "2.275.0"
CONSTRUCTS_VERSION = "10.8.1"


class Unavailable(Exception):
    """A tool can't be had on this machine; the message is one line that says why."""


class Tool(Protocol):
    """One tool, ready to be measured: each method runs one command; `CommandError` when it fails."""

    title: str
    prefix: str
    """Start of the names of the resources that its program declares."""

    def versions(self) -> dict[str, str]: ...

    def prepare(self) -> None:
        """What a user does once, outside of the timing."""

    def deploy(self, units: int) -> Timing:
        """Create or update; with nothing to do it is the no-change deploy."""

    def deploy_unchanged(self, units: int) -> Timing:
        """Deploy again; raises `CommandError` when the tool found something to change."""

    def preview(self, units: int) -> Timing:
        """Show what a deploy would do; raises `CommandError` when that isn't nothing."""

    def destroy(self, units: int) -> Timing: ...


class Pulumi:
    """Our engine and light providers, by the ``pulumi`` command, as a user types it."""

    title = "Pulumi, light providers"
    prefix = "by-pulumi"
    stack = "measured"

    def __init__(self, variables: Mapping[str, str], scratch: Path) -> None:
        """``variables`` is the sandbox's environment; the program is copied below ``scratch``, because the
        engine writes the stack's settings beside it."""
        self._variables = dict(variables)
        engine = shutil.which("pulumi", path=self._variables["PATH"])
        if engine is None:
            raise Unavailable("no engine: run ./dev up once, or put pulumi on PATH")
        self._engine = engine
        package = scratch / "pulumi" / "benchmarks"
        self._project = package / "pulumi_unit"
        shutil.copytree(FOLDER / "pulumi_unit", self._project)
        for needed in ("__init__.py", "unit.py"):
            shutil.copy(FOLDER / needed, package)

    def versions(self) -> dict[str, str]:
        engine = self._pulumi(["version"]).output.strip().splitlines()[-1]
        return {
            "pulumi": engine,
            "pulumi for Python": metadata.version("pulumi"),
            "pulumi-aws": metadata.version("pulumi-aws"),
        }

    def prepare(self) -> None:
        self._pulumi(["stack", "init", self.stack])

    def deploy(self, units: int) -> Timing:
        return self._pulumi(["up", "--yes", "--skip-preview", "--stack", self.stack], units)

    def deploy_unchanged(self, units: int) -> Timing:
        command = ["up", "--yes", "--skip-preview", "--expect-no-changes", "--stack", self.stack]
        return self._pulumi(command, units)

    def preview(self, units: int) -> Timing:
        return self._pulumi(["preview", "--expect-no-changes", "--stack", self.stack], units)

    def destroy(self, units: int) -> Timing:
        return self._pulumi(["destroy", "--yes", "--skip-preview", "--stack", self.stack], units)

    def _pulumi(self, arguments: list[str], units: int = 1) -> Timing:
        return timing.run(
            [self._engine, *arguments, "--non-interactive"],
            environment={**self._variables, unit.UNITS_VARIABLE: str(units)},
            folder=self._project,
            timeout_s=COMMAND_TIMEOUT_S,
        )


class Cdk:
    """The AWS CDK, by the ``cdk`` command, with its usual change-set deployment."""

    prefix = "by-cdk"  # "cdk" alone is how the bootstrap stack names its own

    def __init__(self, variables: Mapping[str, str], scratch: Path, constructs: str = "usual") -> None:
        """Installs the CDK below the cache folder unless it is there. Raises `Unavailable` when Node or npm
        is missing, or when a registry refuses."""
        self.title = "AWS CDK" if constructs == "usual" else "AWS CDK, low-level constructs"
        self._node = shutil.which("node")
        if self._node is None or shutil.which("npm") is None:
            raise Unavailable("Node with npm is not installed")
        self._home = installed_cdk()
        self._scratch = scratch / "cdk"
        self._scratch.mkdir()
        self._variables = {
            **variables,
            "PATH": os.pathsep.join(
                [str(self._home / "venv" / "bin"), str(Path(self._node).parent), variables["PATH"]]
            ),
            unit.CONSTRUCTS_VARIABLE: constructs,
            "CDK_HOME": str(self._scratch / "home"),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "CDK_DISABLE_VERSION_CHECK": "true",  # as PULUMI_SKIP_UPDATE_CHECK: neither asks the internet
            "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(self._home / "jsii"),
        }

    def versions(self) -> dict[str, str]:
        node = timing.run(
            ["node", "--version"], environment=self._variables, folder=FOLDER, timeout_s=COMMAND_TIMEOUT_S
        )
        return {
            "aws-cdk": CDK_CLI_VERSION,
            "aws-cdk-lib for Python": CDK_LIBRARY_VERSION,
            "Node": node.output.strip(),
        }

    def prepare(self) -> None:
        """Bootstrap the account and take away the assets bucket's policy, which refuses everything that
        isn't TLS: the emulator speaks plain HTTP on loopback."""
        account = "000000000000"
        region = self._variables["AWS_REGION"]
        self._cdk(["bootstrap", f"aws://{account}/{region}"])
        s3 = boto3.client(
            "s3",
            endpoint_url=self._variables["AWS_ENDPOINT_URL"],
            region_name=region,
            aws_access_key_id=self._variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self._variables["AWS_SECRET_ACCESS_KEY"],
        )
        s3.delete_bucket_policy(Bucket=f"cdk-hnb659fds-assets-{account}-{region}")

    def deploy(self, units: int) -> Timing:
        return self._cdk(["deploy", "--require-approval", "never"], units)

    def deploy_unchanged(self, units: int) -> Timing:
        done = self.deploy(units)
        if "(no changes)" not in done.output:
            raise CommandError(f"cdk deploy found changes where there are none\n{done.output[-800:]}")
        return done

    def preview(self, units: int) -> Timing:
        return self._cdk(["diff", "--fail"], units)

    def destroy(self, units: int) -> Timing:
        return self._cdk(["destroy", "--force"], units)

    def _cdk(self, arguments: list[str], units: int = 1) -> Timing:
        return timing.run(
            [
                self._home / "node_modules" / ".bin" / "cdk",
                *arguments,
                "--no-notices",
                "--output",
                self._scratch / "assembly",
            ],
            environment={**self._variables, unit.UNITS_VARIABLE: str(units)},
            folder=FOLDER / "cdk_unit",
            timeout_s=COMMAND_TIMEOUT_S,
        )


def installed_cdk() -> Path:
    """Folder with ``node_modules`` and ``venv``, made at the first call (0.5 GB, kept for all clones).

    It is put in place by one rename, so an interrupted installation leaves nothing that looks whole. Raises
    `Unavailable` when a registry refuses.
    """
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    target = paths.cache() / "cdk" / f"{CDK_CLI_VERSION}-{CDK_LIBRARY_VERSION}-{python}"
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"installing the CDK {CDK_CLI_VERSION} in {target}", flush=True)
    made = Path(tempfile.mkdtemp(prefix="making-", dir=target.parent))
    pip: list[str | Path] = [made / "venv" / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
    npm: list[str | Path] = [
        "npm",
        "install",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
        "--prefix",
        made,
    ]
    packages = [f"aws-cdk-lib=={CDK_LIBRARY_VERSION}", f"constructs=={CONSTRUCTS_VERSION}"]
    commands: list[list[str | Path]] = [
        [*npm, f"aws-cdk@{CDK_CLI_VERSION}"],
        [sys.executable, "-m", "venv", made / "venv"],
        [*pip, "install", "--quiet", *packages],
    ]
    try:
        for command in commands:
            timing.run(command, environment=os.environ, folder=made, timeout_s=INSTALL_TIMEOUT_S)
        made.chmod(0o755)
        made.rename(target)
    except CommandError as error:
        raise Unavailable(re.sub(r"\s+", " ", str(error))[:300]) from error
    except OSError:
        if not target.is_dir():  # otherwise another process was faster, and its installation serves us too
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return target
