"""``--param key=value``: scalars as JSON, dots nest, a later one wins."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ops.common.errors import usage


def value_of(text: str) -> Any:
    """JSON when it reads as JSON, else the text itself.

    >>> value_of("0.5"), value_of("true"), value_of("[1, 2]"), value_of("07:30"), value_of('"1"')
    (0.5, True, [1, 2], '07:30', '1')
    """
    try:
        found = json.loads(text, parse_constant=_refuse)
    except ValueError:
        return text
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(constant)  # NaN and Infinity aren't JSON: they stay text


def parse(pairs: Sequence[str]) -> dict[str, Any]:
    """``["general.period=am", "general.speed=20"]`` becomes ``{"general": {"period": "am", "speed": 20}}``.

    Raises ``OpsError`` (USAGE) for a pair without ``=``, an empty name, or a name that is both a value
    and a group.
    """
    params: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        names = key.strip().split(".")
        if not equals or not all(names):
            raise usage(f"--param {pair!r}: write name=value, with dots to nest (general.speed=20)")
        inner = params
        for depth, name in enumerate(names[:-1]):
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):
                raise usage(f"--param {pair!r}: {'.'.join(names[: depth + 1])} has a value already")
        if isinstance(inner.get(names[-1]), dict) and inner[names[-1]]:
            raise usage(f"--param {pair!r}: {key.strip()} is a group already")
        inner[names[-1]] = value_of(text)
    return params


def flat(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The inverse of nesting, for display: ``{"general.period": "am"}``."""
    found: dict[str, Any] = {}
    for key, value in params.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
