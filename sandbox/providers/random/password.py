"""Passwords: what may be asked for, how they are drawn, and their bcrypt hash."""

import ctypes
import secrets
import string
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.providers.server import Failure, ProviderError
from sandbox.providers.wire import UNKNOWN

SPECIAL = "!@#$%&*()-_=+[]{}<>:?"
"""The special characters that the official provider draws from."""

CLASSES = {
    "upper": string.ascii_uppercase,
    "lower": string.ascii_lowercase,
    "numeric": string.digits,
    "special": SPECIAL,
}
MINIMUMS = {name: f"min{name.capitalize()}" for name in CLASSES}

_BCRYPT_ALPHABET = "./" + string.ascii_uppercase + string.ascii_lowercase + string.digits
_BCRYPT_COST = 10
_lock = threading.Lock()


@dataclass(frozen=True)
class Input:
    """One input property and what its absence means."""

    kind: type
    default: Any = None


INPUTS: Mapping[str, Input] = {
    "length": Input(int),
    "keepers": Input(dict),
    "overrideSpecial": Input(str),
    "number": Input(bool, True),
    **{name: Input(bool, True) for name in CLASSES},
    **{name: Input(int, 0) for name in MINIMUMS.values()},
}

_WORDS = {int: "a whole number", bool: "true or false", str: "a string", dict: "a map of strings"}


def completed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs with their defaults; ``number`` is the old name of ``numeric``, and both are always there."""
    values = {name: value for name, value in given.items() if value is not None}
    for old, new in (("number", "numeric"), ("numeric", "number")):
        if new in values:
            values.setdefault(old, values[new])
    return {name: item.default for name, item in INPUTS.items() if item.default is not None} | values


def problems(given: Mapping[str, Any]) -> Iterator[Failure]:
    """Everything that is wrong with the inputs; values that aren't known yet pass."""
    known = {name: value for name, value in given.items() if value is not None and value is not UNKNOWN}
    wrong = [*_unknown_names(given), *_wrong_kinds(known)]
    yield from wrong
    if wrong:
        return
    values = completed(given)
    if "length" not in values:
        yield Failure("length", "is required")
    if known.get("number", known.get("numeric")) != known.get("numeric", known.get("number")):
        yield Failure("number", "is the old name of numeric and contradicts it: leave it out")
    if all(values[name] is False for name in CLASSES):
        yield Failure("", f"one of {', '.join(CLASSES)} must be true")
    for minimum in MINIMUMS.values():
        if isinstance(values[minimum], int) and values[minimum] < 0:
            yield Failure(minimum, f"must be at least 0, not {values[minimum]}")
    least = max(1, sum(value for name in MINIMUMS.values() if (value := values[name]) is not UNKNOWN))
    if known.get("length", least) < least:
        yield Failure("length", f"must be at least {least} (1 and the sum of min...), not {known['length']}")


def _unknown_names(given: Mapping[str, Any]) -> Iterator[Failure]:
    for name in given:
        if name not in INPUTS and not name.startswith("__"):
            yield Failure(name, f"RandomPassword has no such property; it has: {', '.join(INPUTS)}")


def _wrong_kinds(known: Mapping[str, Any]) -> Iterator[Failure]:
    for name, value in known.items():
        kind = INPUTS[name].kind if name in INPUTS else object
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            yield Failure(name, f"must be {_WORDS[kind]}, not {type(value).__name__}")
        elif isinstance(value, dict):
            for key, text in value.items():
                if text is not UNKNOWN and not isinstance(text, str):
                    yield Failure(f"{name}.{key}", f"must be a string, not {type(text).__name__}")


def draw(values: Mapping[str, Any]) -> str:
    """A password for completed inputs: the minimum of each kind, the rest from all, in random order."""
    kinds = {**CLASSES, "special": values.get("overrideSpecial") or SPECIAL}
    chosen = [
        secrets.choice(kinds[name]) for name, minimum in MINIMUMS.items() for _ in range(values[minimum])
    ]
    every = "".join(characters for name, characters in kinds.items() if values[name])
    chosen += [secrets.choice(every) for _ in range(values["length"] - len(chosen))]
    secrets.SystemRandom().shuffle(chosen)
    return "".join(chosen)


def bcrypt(text: str) -> str:
    """The bcrypt hash of a password, by the system's libcrypt: Python has no bcrypt of its own."""
    try:
        crypt = ctypes.CDLL("libcrypt.so.1").crypt
    except (OSError, AttributeError) as problem:
        raise ProviderError(
            f"bcryptHash needs the system's libcrypt (Debian: libcrypt1): {problem}"
        ) from None
    crypt.restype, crypt.argtypes = ctypes.c_char_p, [ctypes.c_char_p, ctypes.c_char_p]
    # 128 bits in 22 characters: the last one holds two.
    salt = "".join(secrets.choice(_BCRYPT_ALPHABET) for _ in range(21)) + secrets.choice(".Oeu")
    with _lock:  # crypt answers in a buffer of its own
        found: bytes | None = crypt(text.encode(), f"$2a${_BCRYPT_COST}${salt}".encode())
    if found is None or not found.startswith(b"$2a$"):
        raise ProviderError("the system's libcrypt has no bcrypt")
    return found.decode()
