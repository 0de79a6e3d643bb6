"""``task`` (the default), ``onboard``, ``run``: what the image can do."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from projections_model import log
from projections_model.errors import Interrupted, ModelError, one_line


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="A stochastic SEIR model of counties.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("task", help="one attempt of a run on ECS (default); settings from the environment")
    onboard = commands.add_parser("onboard", help="HTTP service that runs requests one after the other")
    onboard.add_argument("--host", default=os.environ.get("HOST", "0.0.0.0"))
    onboard.add_argument("--port", type=int, default=int(os.environ.get("PORT", "5000")))
    onboard.add_argument("--store", type=Path, help="a folder in place of the bucket")
    run = commands.add_parser("run", help="one request without a cloud")
    run.add_argument("request", type=Path, help="the request document, as in the bucket")
    run.add_argument("--data", type=Path, required=True, help="folder with the data files by their keys")
    run.add_argument("--output", type=Path, help="where the output document goes; standard output by default")
    run.add_argument("--store", type=Path, help="folder for checkpoints, to go on from")
    run.add_argument("--checkpoint-s", type=float, default=60.0, help="seconds between checkpoints (60)")
    work = commands.add_parser("work", help="one run of onboard, request on standard input")
    work.add_argument("--store", type=Path)
    chosen = parser.parse_args(arguments)
    # Until the command handles it: the first process of a container would otherwise ignore SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    try:
        if chosen.command in (None, "task"):
            from projections_model import task

            return task.main()
        if chosen.command == "onboard":
            from projections_model import onboard as service

            return service.main(chosen.host, chosen.port, chosen.store)
        if chosen.command == "work":
            from projections_model import worker

            return worker.main(chosen.store)
        return _run(chosen.request, chosen.data, chosen.output, chosen.store, chosen.checkpoint_s)
    except Interrupted:
        return 75
    except (ModelError, OSError) as error:
        print(f"projections_model: {one_line(error)}", file=sys.stderr)
        return 1


def _run(request: Path, data: Path, output: Path | None, store: Path | None, checkpoint_s: float) -> int:
    from projections_model import simulation
    from projections_model.document import Request
    from projections_model.storage import FolderStorage

    if not data.is_dir():
        raise ModelError(f"--data: no folder {data}")
    log.to(sys.stderr)
    wanted = Request.read(request.read_bytes(), str(request))
    log.common(run_id=wanted.id)
    stop = simulation.Stop()
    stop.on_sigterm()
    document = simulation.run(
        wanted,
        FolderStorage(data),
        FolderStorage(store) if store else None,
        stop,
        simulation.Progress(0),
        interval_s=checkpoint_s,
    )
    text = json.dumps(document, indent=1)
    if output is None:
        print(text)
    else:
        output.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
