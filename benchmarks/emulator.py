"""A sandbox of the benchmark's own: fresh, in a temporary folder, without touching the user's."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import timing
from sandbox import environment, paths
from sandbox.bootstrap import engine
from sandbox.providers import install

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 60


@contextmanager
def fresh(*, with_engine: bool) -> Iterator[tuple[dict[str, str], Path]]:
    """Start an emulator with nothing in it; give its clients' environment and a folder for scratch files.

    ``with_engine`` adds the light providers and Pulumi's engine, the one that ``./dev up`` uses (built when
    this machine has none yet). Raises `timing.CommandError` when the emulator doesn't come up, `DevError`
    when there is no engine to be had.
    """
    folder = Path(tempfile.mkdtemp(prefix="benchtop-benchmark-"))
    previous = os.environ.get("BENCHTOP_SANDBOX")
    os.environ["BENCHTOP_SANDBOX"] = str(folder / "sandbox")
    try:
        variables = environment.process_environment()
        # The interpreter that runs the benchmark runs the programs too, wherever it comes from.
        variables["PATH"] = os.pathsep.join(
            [str(paths.engine_bin()), str(Path(sys.executable).parent), variables["PATH"]]
        )
        if with_engine:
            paths.pulumi_home().mkdir(parents=True)
            paths.pulumi_backend().mkdir(parents=True)
            engine.ensure()
            install.install(paths.pulumi_home(), Path(sys.executable))
        try:
            timing.run(
                [sys.executable, "-m", "sandbox", "start"],
                environment=variables,
                folder=paths.ROOT,
                timeout_s=START_TIMEOUT_S,
            )
            variables.update(_addresses())
            yield variables, folder
        finally:
            subprocess.run(
                [sys.executable, "-m", "sandbox", "stop"],
                env=variables,
                cwd=paths.ROOT,
                timeout=STOP_TIMEOUT_S,
                capture_output=True,
                check=False,
            )
    finally:
        if previous is None:
            del os.environ["BENCHTOP_SANDBOX"]
        else:
            os.environ["BENCHTOP_SANDBOX"] = previous
        shutil.rmtree(folder, ignore_errors=True)


def _addresses() -> dict[str, str]:
    """Where the emulator really listens: it takes another port when somebody was faster."""
    return {"AWS_ENDPOINT_URL": environment.variables()["AWS_ENDPOINT_URL"]}
