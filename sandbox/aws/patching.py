"""How a name of ministack is replaced: loudly when it isn't there."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any


class AdjustmentError(Exception):
    """This version of ministack isn't the one that the adjustments were written for."""


def module(name: str) -> ModuleType:
    """A module of ministack by its name in the package, ``services.s3``."""
    return import_module(f"ministack.{name}")


def replace(where: str, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put ``make(original)`` in the place of a function."""
    found = module(where)
    original = getattr(found, name, None)
    if not callable(original):
        from importlib.metadata import version

        raise AdjustmentError(
            f"ministack {version('ministack')} has no function {where}.{name}, which sandbox/aws"
            " replaces; install the version that requirements.txt pins"
        )
    setattr(found, name, make(original))


def replace_operation(
    where: str, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> None:
    """Put ``make(original)`` in the place of an API operation's handler, where those are in a table."""
    table = getattr(module(where), "_ACTION_MAP", {})
    if name not in table:
        raise AdjustmentError(f"ministack has no operation {name} in {where}, which sandbox/aws replaces")
    table[name] = make(table[name])
