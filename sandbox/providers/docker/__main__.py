"""``python -m sandbox.providers.docker <engine address>``: the plugin that the engine starts."""

import importlib.metadata
import os
import sys
import threading
import time

from sandbox.providers.docker.provider import DockerProvider
from sandbox.providers.server import serve


def make() -> DockerProvider:
    addresses = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    provider = DockerProvider(addresses[0] if addresses else "")
    threading.Thread(target=_watch_engine, args=(provider, os.getppid()), daemon=True).start()
    return provider


def _watch_engine(provider: DockerProvider, engine: int) -> None:
    """A killed engine can't cancel: its builds are ended then, so that the next engine starts clean."""
    while os.getppid() == engine:
        time.sleep(1)
    provider.light_cancel()


if __name__ == "__main__":
    serve(importlib.metadata.version("pulumi_docker"), make)
