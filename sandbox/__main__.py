"""``python -m sandbox``: the local cloud's switch.

Exit codes: 0 done, 1 failed (one line on standard error says why), 2 wrong usage, 3 ``status``: not running.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Callable

from sandbox.environment import UNSET, SettingsError, variables

NOT_RUNNING = 3


def _start(arguments: argparse.Namespace) -> int:
    from sandbox.aws import control

    found = control.start()
    if arguments.json:
        print(json.dumps(found))
    else:
        print(f"AWS emulator: {found['state']} at {found['endpoint']} (log: {found['log']})")
    return 0


def _stop(_arguments: argparse.Namespace) -> int:
    from sandbox.aws import control

    print("AWS emulator: stopped" if control.stop() else "AWS emulator: was not running")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from sandbox.aws import control

    found = control.status()
    if arguments.json:
        print(json.dumps(found))
    else:
        print(f"AWS emulator: {found['state']}" + (f" at {found['endpoint']}" if found["endpoint"] else ""))
        for name in ("listens", "server_pid", "restarts", "saved", "log"):
            if name in found:
                print(f"  {name}: {found[name]}")
    return 0 if found["state"] == "running" else NOT_RUNNING


def _env(_arguments: argparse.Namespace) -> int:
    print(f"unset {' '.join(UNSET)}")
    for name, value in variables().items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _purge(_arguments: argparse.Namespace) -> int:
    from sandbox.aws import control

    print("AWS emulator: state deleted" if control.purge() else "AWS emulator: there was no state")
    return 0


def _interrupt(arguments: argparse.Namespace) -> int:
    from sandbox.aws import interruptions

    found = interruptions.interrupt(arguments.task, notice_s=arguments.notice, silent=arguments.silent)
    if arguments.json:
        print(json.dumps(found))
    elif found["silent"]:
        print(f"task {found['task']}: lost, and nobody is told")
    else:
        print(f"task {found['task']}: interrupted; it has {found['killed_within_s']:g} s to end by itself")
    return 0


def _spot(arguments: argparse.Namespace) -> int:
    from sandbox.aws import interruptions

    print(f"Spot capacity: {interruptions.spot(arguments.state == 'on')['spot']}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="Start and stop the local cloud.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="command")

    def command(
        name: str, run: Callable[[argparse.Namespace], int], about: str, as_json: bool = False
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=about, description=about)
        sub.set_defaults(run=run)
        if as_json:
            sub.add_argument("--json", action="store_true", help="one JSON object instead of text")
        return sub

    command("start", _start, "Start it if it is not running, and return when it answers.", as_json=True)
    command("stop", _stop, "Stop it; what it holds is kept for the next start.")
    command("status", _status, "Say whether it runs (exit code 0) or not (3).", as_json=True)
    command("env", _env, 'Print the environment for a shell: eval "$(python -m sandbox env)".')
    command("purge", _purge, "Stop it and delete everything it holds.")
    interrupt = command("interrupt", _interrupt, "Interrupt a task on Fargate Spot.", as_json=True)
    interrupt.add_argument("task", help="ARN or id of a task, or the beginning of its id")
    notice = "seconds that stand for AWS's two minutes of notice: 0 to 120, 12 when not given"
    interrupt.add_argument("--notice", type=float, metavar="SECONDS", help=notice)
    interrupt.add_argument("--silent", action="store_true", help="lose the task at once, with no event")
    spot = command("spot", _spot, "Say whether tasks on Fargate Spot get capacity.")
    spot.add_argument("state", choices=("on", "off"))
    return parser


def main(arguments: list[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    try:
        code: int = chosen.run(chosen)
        return code
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        from sandbox.aws.control import SandboxError

        if not isinstance(error, SandboxError):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
