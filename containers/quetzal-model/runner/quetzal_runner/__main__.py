"""``python -m quetzal_runner``: the container's one command, on Lambda and elsewhere."""

import os
import signal
import sys
import threading

HANDLER = "quetzal_runner.handler.handler"


def main() -> None:
    if os.environ.get("AWS_LAMBDA_RUNTIME_API"):
        os.execv(sys.executable, [sys.executable, "-m", "awslambdaric", HANDLER])
    from quetzal_runner.handler import handler
    from quetzal_runner.server import PATH, make_server

    port = int(os.environ.get("PORT") or 8080)
    server = make_server(handler, port=port)
    # As process 1 of a container no signal has a default action, and docker stop would wait ten seconds.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"[quetzal-runner] listening on port {port}, events go to {PATH}", flush=True)
    server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
