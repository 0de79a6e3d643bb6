"""The command line of ``./dev``."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from sandbox.bootstrap import commands, console, report
from sandbox.bootstrap.errors import INTERRUPTED, DevError, Terminated
from sandbox.examples import EXAMPLES

_EPILOG = """\
exit codes:
  0    done
  1    a step failed; the last lines of its log were shown
  2    wrong usage
  3    the machine lacks something that ./dev can't bring, or the sandbox is not set up yet
  4    another ./dev, or a Pulumi engine, is at work on the same thing
  130  interrupted
  `./dev test` ends with pytest's own exit code when the checks before it pass.

Progress goes to stderr, results to stdout, logs to .sandbox/logs/.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./dev",
        description="Everything to run Benchtop's systems on this machine, with no cloud account.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sub = parser.add_subparsers(dest="command", metavar="command", required=True)

    up = sub.add_parser("up", help="set up, start, deploy a system and run its example")
    up.add_argument(
        "systems",
        nargs="*",
        metavar="system",
        help=f"which ones: {', '.join(EXAMPLES)} (default: all of them)",
    )
    test = sub.add_parser("test", help="run ruff, mypy and the tests")
    test.add_argument("what", nargs="?", choices=("unit", "sandbox", "all"), default="all")
    test.add_argument("pytest", nargs=argparse.REMAINDER, help="more arguments for pytest")
    down = sub.add_parser("down", help="stop what runs; everything is kept for the next up")
    down.add_argument(
        "--purge", action="store_true", help="destroy the stacks and delete the sandbox's state too"
    )
    status = sub.add_parser("status", help="what runs, which stacks there are, versions")
    status.add_argument("--json", action="store_true", help="one JSON object")
    sub.add_parser("env", help='print the environment for a shell: eval "$(./dev env)"')
    doctor = sub.add_parser("doctor", help="what is there, what is missing, how to get it")
    doctor.add_argument("--json", action="store_true", help="one JSON object")
    return parser


def _run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    match arguments.command:
        case "up":
            for system in arguments.systems:
                if system not in EXAMPLES:
                    parser.error(f"no system {system!r}; there are: {', '.join(EXAMPLES)}")
            return commands.up(list(dict.fromkeys(arguments.systems)))
        case "test":
            return commands.test(arguments.what, arguments.pytest)
        case "down":
            return commands.down(arguments.purge)
        case "status":
            return report.status(arguments.json)
        case "env":
            return commands.env()
        case _:
            return report.doctor(arguments.json)


def _terminate(*_: object) -> None:
    raise Terminated


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    # A fresh machine's locale may be C; our marks must not end the command.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        return _run(arguments, parser)
    except DevError as error:
        console.say(f"error: {error}")
        return error.code
    except KeyboardInterrupt:
        console.say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output left; Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
