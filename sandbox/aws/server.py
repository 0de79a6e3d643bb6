"""The emulator's process: ministack's application behind our listener.

Ministack's own launcher binds one address. This one binds loopback and, where containers need it, the
address of Docker's bridge, and nothing wider. It adds what the sandbox needs of a process that lives long:
state saved while it runs (``saving``), image layers on disk (``registry``), the ``adjustments``.
"""

import asyncio
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from sandbox import paths
from sandbox.aws.bridge import bridge_addresses
from sandbox.aws.supervisor import PORT_TAKEN
from sandbox.environment import AwsSettings, aws_settings, port_is_free

logger = logging.getLogger("benchtop.aws")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

STATUS_PATH = "/_benchtop/status"
_CLOSED = ("/_ministack/reset", "/_ministack/config")
"""Ministack's own administration, open to anybody who reaches the port: a container could wipe everything."""


async def answer_json(send: Send, status: int, content: object) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def in_front(application: Application, registry: Application, operator: Application,
             status: Callable[[], object], changed: Callable[[], None]) -> Application:  # fmt: skip
    """Ministack with what stands before it: status, what the operator does in AWS's place, closed doors, the
    registry's layers, note of changes."""

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        path: str = scope["path"]
        if path == STATUS_PATH:
            await answer_json(send, 200, status())
        elif path.startswith("/_benchtop/"):
            changed()
            await operator(scope, receive, send)
        elif path in _CLOSED:
            await answer_json(send, 403, {"message": f"{path} is closed in this sandbox"})
        elif path.startswith("/v2/") and "/blobs/" in path:
            await registry(scope, receive, send)
        else:
            if not path.startswith(("/_ministack/", "/_localstack/", "/health")):
                changed()
            await application(scope, receive, send)

    return front


def leave_with_parent() -> None:
    """Stop cleanly when the supervisor is gone, so that no server is left that nobody looks after."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        logger.warning("the supervisor is gone; saving and stopping")
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="watch-supervisor", daemon=True).start()


async def serve(settings: AwsSettings, addresses: tuple[str, ...]) -> None:
    import hypercorn.asyncio
    from hypercorn.config import Config
    from ministack import app

    from sandbox.aws import adjustments, registry, saving, task_interruptions

    adjustments.apply(settings)
    layers = registry.Registry(paths.aws_state() / "registry")
    saver = saving.Saver(extra=layers.sweep)
    binds = [f"{address}:{settings.port}" for address in addresses]

    def status() -> object:
        return {"instance": settings.instance, "pid": os.getpid(), "listens": binds, "saved": saver.report()}

    config = Config()
    config.bind = binds
    config.keep_alive_timeout = 75
    config.graceful_timeout = 2
    config.shutdown_timeout = 40
    config.loglevel = "INFO"
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    saving_task = asyncio.create_task(saver.run())

    async def stopped() -> None:
        await stop.wait()
        await saver.finish()

    # Hypercorn's types name each event of ASGI; ministack's application has none.
    operator = task_interruptions.application(settings.secret_access_key)
    served: Any = in_front(app.app, layers.application, operator, status, saver.changed)
    await hypercorn.asyncio.serve(served, config, shutdown_trigger=stopped)
    saving_task.cancel()


def main() -> None:
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s [%(name)s] %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )
    settings = aws_settings()
    leave_with_parent()
    addresses = ("127.0.0.1", *bridge_addresses())
    for address in addresses:
        if not port_is_free(settings.port, address):
            logger.error("%s:%s is taken by another process", address, settings.port)
            sys.exit(PORT_TAKEN)
    from sandbox.aws.patching import AdjustmentError

    try:
        asyncio.run(serve(settings, addresses))
    except AdjustmentError as error:
        logger.error("%s", error)
        sys.exit(1)
    logging.shutdown()
    # Everything is saved and every container removed by now. Threads that still wait for a function (up to
    # its time limit) would hold the process, and the next start, for many minutes.
    os._exit(0)


if __name__ == "__main__":
    main()
