"""Brings a machine from a fresh clone to a running sandbox, skipping what is done."""

import contextlib
from collections.abc import Iterator

from sandbox import environment, paths
from sandbox.bootstrap import console, docker_engine, engine, lock, venv

_START_TIMEOUT_S = 180
_PROVIDERS_TIMEOUT_S = 120
_IMAGES_TIMEOUT_S = 2400


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Nobody else sets up or tears down anything of this clone meanwhile.

    The lock is the clone's, not the sandbox's: two sandboxes (the user's, a test run's) share its ``.venv``.

    Raises:
        Busy: somebody does; who.
    """
    with lock.held(lock.CLONE / "dev.lock"):
        yield


def tools() -> None:
    """Python packages, the engine, Docker."""
    venv.ensure()
    engine.ensure()
    docker_engine.ensure()


def sandbox() -> None:
    """The emulator running, the light providers and the base images in place (after ``tools``)."""
    python = str(venv.PYTHON)
    env = environment.process_environment()
    console.run(
        "AWS emulator", [python, "-m", "sandbox", "start"],
        step="start", timeout_s=_START_TIMEOUT_S, env=env, result=lambda: environment.aws_settings().endpoint,
    )  # fmt: skip
    install = (
        "import sys; from pathlib import Path; from sandbox import paths; "
        "from sandbox.providers import install; "
        "print(*install.install(paths.pulumi_home(), Path(sys.executable)))"
    )
    console.run(
        "providers", [python, "-c", install], step="providers", timeout_s=_PROVIDERS_TIMEOUT_S, env=env
    )
    images()
    paths.pulumi_backend().mkdir(parents=True, exist_ok=True)
    paths.pulumi_home().mkdir(parents=True, exist_ok=True)


def images() -> None:
    """The base images in the Docker engine (after ``tools``)."""
    console.run(
        "base images", [str(venv.PYTHON), "-m", "sandbox.images", "ensure"],
        step="images", timeout_s=_IMAGES_TIMEOUT_S, env=environment.process_environment(),
    )  # fmt: skip
