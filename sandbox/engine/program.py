"""Runs one Pulumi program for the language host: ``python program.py``, the request one JSON line on stdin.

The process may be started before the request is known, so that importing the SDK overlaps with what the
engine does meanwhile; an empty stdin means that no program is to run. It uses the program's own Python, so it
imports nothing but the standard library and that environment's Pulumi SDK.
"""

import asyncio
import json
import logging
import os
import runpy
import signal
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

REPORTED = 32
"""Exit code that tells the host: the user has seen the error already."""


def user_traceback(error: BaseException, main_file: str) -> str:
    """The error as the user should see it: from the first line of the program on, without our frames."""
    frames: list[TracebackType] = []
    step = error.__traceback__
    while step is not None:
        frames.append(step)
        step = step.tb_next
    start: TracebackType | None = None
    for frame in frames:
        if os.path.abspath(frame.tb_frame.f_code.co_filename) == main_file:
            start = frame
            break
    else:
        # Not reached from the main file (an error in an apply, or in the main file's syntax).
        for frame in frames:
            if not _is_machinery(frame.tb_frame.f_code.co_filename):
                start = frame
                break
    return "".join(traceback.format_exception(type(error), error, start)).rstrip()


def _is_machinery(filename: str) -> bool:
    parts = filename.replace("\\", "/")
    return (
        parts == __file__.replace("\\", "/")
        or parts.startswith("<frozen")
        or "/asyncio/" in parts
        or parts.endswith(("/runpy.py", "/pulumi/runtime/stack.py"))
    )


def _run(request: dict[str, Any]) -> int:
    import pulumi
    import pulumi.runtime

    pulumi.runtime.set_all_config(request["config"], request["secret_keys"])
    parallel = max(int(request["parallel"]), 1)
    pulumi.runtime.configure(
        pulumi.runtime.Settings(
            project=request["project"],
            stack=request["stack"],
            organization=request["organization"] or "organization",
            root_directory=request["root_directory"],
            monitor=request["monitor"],
            engine=request["engine"] or None,
            parallel=parallel,
            dry_run=request["dry_run"],
        )
    )
    entry = request["entry_point"] or "."
    sys.argv = [entry, *request["args"]]
    if request["pwd"]:
        os.chdir(request["pwd"])
    main_file = os.path.abspath(entry)
    if os.path.isdir(main_file):
        main_file = os.path.join(main_file, "__main__.py")
    if not os.path.isfile(main_file):
        pulumi.log.error(f"no Pulumi program: {main_file} doesn't exist")
        return REPORTED

    # A failed resource leaves futures nobody awaits; asyncio would report each of them below the real error.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    executor = ThreadPoolExecutor(max_workers=parallel * 4)
    loop.set_default_executor(executor)

    def run() -> None:
        # Returns None, not the globals: the runtime would await what it gets back.
        runpy.run_path(entry, run_name="__main__")

    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(run))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return REPORTED
    except Exception as error:
        pulumi.log.error("Program failed with an unhandled exception:\n" + user_traceback(error, main_file))
        return REPORTED
    finally:
        executor.shutdown(wait=True)
        loop.close()
    return 0


def main() -> int:
    # The host interrupts the whole group when the engine is done: leave at once and say nothing.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Python puts this file's folder first; the program must not find our modules there.
    if sys.path and os.path.abspath(sys.path[0] or ".") == os.path.dirname(os.path.abspath(__file__)):
        del sys.path[0]
    try:
        import pulumi.runtime  # noqa: F401  (early: this is what the head start is for)
    except ImportError:
        # Said when the program is really wanted; the request tells.
        broken: str | None = traceback.format_exc()
    else:
        broken = None
    line = sys.stdin.readline()
    if not line:
        return 0
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    if broken is not None:
        print(broken, file=sys.stderr)
        print(
            f"The Pulumi SDK is not installed in {sys.prefix}: run `{sys.executable} -m pip install -r "
            "requirements.txt`",
            file=sys.stderr,
        )
        return 1
    code = _run(json.loads(line))
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    sys.exit(main())
