"""The process of one run of the onboard service: a crash or a full memory ends it and not the service."""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from projections_model import log, simulation
from projections_model.document import Request
from projections_model.errors import Interrupted, ModelError, one_line
from projections_model.storage import FolderStorage, S3Storage, Storage

PROGRESS_S = 0.25
CHECKPOINT_S = 60.0


def storage(folder: Path | None) -> Storage:
    """A folder, or the bucket of ``BUCKET_NAME``. Raises `ModelError`."""
    bucket = os.environ.get("BUCKET_NAME")
    if folder is None and not bucket:
        raise ModelError("BUCKET_NAME must be set")
    return FolderStorage(folder) if folder is not None else S3Storage(str(bucket))


def main(folder: Path | None) -> int:
    """The request on standard input, ``{"progress": ..}`` and ``{"reason": ..}`` lines on standard output;
    the output document goes to the storage."""
    log.to(sys.stderr)
    stop = simulation.Stop()
    stop.on_sigterm()
    end_with_parent()
    try:
        request = Request.read(sys.stdin.buffer.read())
        log.common(run_id=request.id, capacity="ONBOARD")
        progress = simulation.Progress(0)
        said = 0.0

        def say() -> None:
            nonlocal said
            if time.monotonic() - said >= PROGRESS_S:
                said = time.monotonic()
                _say(progress=progress.share)

        store = storage(folder)
        document = simulation.run(
            request, store, store, stop, progress, interval_s=CHECKPOINT_S, on_block=say
        )
        store.write(request.output, simulation.encode(document))
        log.event("run succeeded", real_time=document["real_time"], sim_seconds=document["sim_seconds"])
        return 0
    except Interrupted:
        log.event("interrupted")
        return 75
    except Exception as error:
        log.event("run failed", level="error", reason=one_line(error))
        _say(reason=one_line(error))
        return 1


def _say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


def end_with_parent() -> None:
    """Stop when the service is gone, whose signal we would otherwise miss."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), 15)

    threading.Thread(target=watch, daemon=True).start()
