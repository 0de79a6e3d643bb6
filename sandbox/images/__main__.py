"""``python -m sandbox.images ensure [--names python:3.13-slim-trixie ...] [--make]``.

Exit codes: 0 every image is there, 1 one can't be had (one line on standard error says why).
"""

import argparse
import sys

from sandbox.images.client import DockerUnavailable
from sandbox.images.ensure import ensure
from sandbox.images.recipes import RECIPES
from sandbox.images.rootfs import ImageError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox.images", description="The base images")
    commands = parser.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("ensure", help="pull, or make from Debian packages, every base image")
    sub.add_argument("--names", nargs="+", metavar="IMAGE", help=f"only these (default: {' '.join(RECIPES)})")
    sub.add_argument("--make", action="store_true", help="make them even where the hub answers")
    chosen = parser.parse_args(arguments)
    try:
        ensure(chosen.names, lambda line: print(line, flush=True), make=chosen.make)
    except (ImageError, DockerUnavailable) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
