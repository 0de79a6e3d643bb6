"""Runs one Pulumi program for the language host: ``python program.py``, the request one JSON line on stdin.

The process may be started before the request is known, so that importing the SDK overlaps with what the
engine does meanwhile; an empty stdin means that no program is to run. It uses the program's own Python, so it
imports nothing but the standard library and that environment's Pulumi SDK.
"""

import asyncio
import gc
import importlib.metadata
import json
import logging
import os
import runpy
import signal
import sys
import traceback
import types
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

QUICKENED_SDK = "3.259.0"
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


def _quicken() -> None:
    """Spare the SDK work that nobody sees, which is a third of a program's time with 200 resources.

    Results, errors and messages of programs stay as they are. It reaches into the SDK, so it is done for the
    version it was measured with and left alone for any other: slower, never different.
    """
    if importlib.metadata.version("pulumi") != QUICKENED_SDK:
        return
    import pulumi.runtime.resource
    import pulumi.runtime.rpc
    import pulumi.runtime.rpc_manager
    import pulumi.runtime.stack
    from pulumi.runtime import resource, rpc, rpc_manager, stack

    # Four debug messages a resource, each a blocking call to the engine, which shows them with --debug only.
    # Programs' own debug messages go through pulumi.log, which stays.
    if "PULUMI_SDK_DEBUG" not in os.environ:
        log = pulumi.log
        quiet = types.SimpleNamespace(
            info=log.info, warn=log.warn, error=log.error, debug=lambda *_, **__: None
        )
        for module in (resource, rpc, rpc_manager, stack):
            if hasattr(module, "log"):
                setattr(module, "log", quiet)  # noqa: B010

    # Frames of the runner below the program's: half of the bytes of a state that is written twice a resource.
    whole = resource._get_stack_trace

    def shortened() -> Any:
        trace = whole()
        for index, frame in enumerate(trace.frames):
            if not frame.HasField("pc") or _is_machinery(frame.pc.uri.removeprefix("file://")):
                del trace.frames[index:]
                break
        return trace

    resource._get_stack_trace = shortened

    # The SDK waits for "the first of all outputs" once for each output: quadratic. This one returns when all
    # are done or one has failed, and often enough to see outputs that came later.
    class _Asyncio:
        def __getattr__(self, name: str) -> Any:
            return getattr(asyncio, name)

        @staticmethod
        async def wait(tasks: Any, *, return_when: str) -> Any:
            del return_when
            return await asyncio.wait(tasks, timeout=0.05, return_when=asyncio.FIRST_EXCEPTION)

    setattr(stack, "asyncio", _Asyncio())  # noqa: B010

    # A short life with hundreds of thousands of objects that stay: collecting them is in vain.
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


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

    _quicken()
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
