"""One module a system, with its settings beside it in ``<system>_settings``.

A stack is named ``<system>-<environment>``: ``quetzal-sandbox`` is made by ``quetzal``.
"""

import importlib
import pkgutil
from collections.abc import Sequence

import pulumi

from stacks.settings import SettingsError


def systems() -> list[str]:
    """Names of the systems that can be deployed, from the modules beside this one."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    return sorted(name.replace("_", "-") for name in names if not name.endswith("settings"))


def system_of(stack: str, known: Sequence[str]) -> str | None:
    """The system of a stack, None when its name begins with none; the longest name wins.

    >>> system_of("covid-rt-prod", ["covid", "covid-rt"]), system_of("other-prod", ["covid"])
    ('covid-rt', None)
    """
    found = [name for name in known if stack.startswith(f"{name}-") and len(stack) > len(name) + 1]
    return max(found, key=len, default=None)


def deploy(stack: str) -> None:
    """Deploy the system of ``stack``. Wrong names and settings are ``RunError``, shown without traceback."""
    known = systems()
    system = system_of(stack, known)
    if system is None:
        raise pulumi.RunError(
            f"stack {stack!r} belongs to no system; allowed: <system>-<environment>, "
            f"with one of the systems {', '.join(known)}"
        )
    module = importlib.import_module(f"stacks.{system.replace('-', '_')}")
    try:
        module.deploy()
    except SettingsError as error:
        # The engine repeats a message's first line in its progress: that is the heading, not a problem.
        heading = f"settings of stack {stack} that can't be used ({len(error.lines)}):"
        raise pulumi.RunError("\n".join([heading, *error.lines])) from None
