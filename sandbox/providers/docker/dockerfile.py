"""What is to be known of a Dockerfile before the engine builds it: arguments, stages, base images."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

PIP_INDEX_ARGUMENTS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")
"""This machine's way to Python packages, as build arguments."""

_ESCAPE_DIRECTIVE = re.compile(r"#\s*escape\s*=\s*(\S)\s*", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:(?P<plain>\w+)|\{(?P<name>\w+)(?::(?P<operator>[-+])(?P<word>[^}]*))?\})")


@dataclass
class Stage:
    """One ``FROM``: the image or stage it starts from (not expanded), its name, the ``ARG`` it declares."""

    base: str
    name: str = ""
    arguments: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Dockerfile:
    """``arguments``: the ``ARG`` before the first ``FROM`` with their defaults (None: none given)."""

    arguments: Mapping[str, str | None]
    stages: tuple[Stage, ...]

    def mapped_arguments(self, images: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
        """Build arguments that put this machine's base images in place of official ones given as defaults.

        images: official reference to usable one; given: the user's own arguments, which win.
        """
        return {
            name: images[default]
            for name, default in self.arguments.items()
            if default is not None and images.get(default, default) != default and name not in given
        }

    def base_images(self, given: Mapping[str, str], target: str = "") -> list[str]:
        """The images that this build starts from, in order, each once; without stages and ``scratch``."""
        values = {name: given.get(name, default or "") for name, default in self.arguments.items()}
        names: set[str] = set()
        found: list[str] = []
        for stage in self.stages:
            base = expand(stage.base, values)
            if base not in names and base != "scratch" and base not in found:
                found.append(base)
            names |= {stage.name} if stage.name else set()
            if target and stage.name == target.lower():
                break
        return found

    def kept_arguments(self, target: str = "") -> set[str]:
        """Arguments whose values end up in the image's history: those that the final stage, or one it starts
        from, declares. What only other stages declare leaves no trace in the image."""
        by_name = {stage.name: stage for stage in self.stages if stage.name}
        stage = by_name.get(target.lower()) if target else (self.stages[-1] if self.stages else None)
        kept: set[str] = set()
        while stage is not None:
            kept |= stage.arguments
            parent = by_name.get(stage.base.lower())
            stage = parent if parent is not stage else None
        return kept

    def asks_for_an_index(self) -> bool:
        return any(stage.arguments & {*PIP_INDEX_ARGUMENTS} for stage in self.stages)

    def index_arguments(self, environment: Mapping[str, str], target: str = "") -> dict[str, str]:
        """pip's settings of this machine for the stages that ask for them and leave no trace of them."""
        declared = {name for stage in self.stages for name in stage.arguments} - self.kept_arguments(target)
        return {n: environment[n] for n in PIP_INDEX_ARGUMENTS if n in declared and environment.get(n)}


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replaces ``$NAME``, ``${NAME}``, ``${NAME:-word}``, ``${NAME:+word}`` as Docker does in ``FROM``."""

    def one(match: re.Match[str]) -> str:
        value = values.get(str(match["plain"] or match["name"]), "")
        if match["operator"] == "-":
            return value or match["word"]
        if match["operator"] == "+":
            return match["word"] if value else ""
        return value

    return _VARIABLE.sub(one, text)


def parse(text: str) -> Dockerfile:
    """Reads ``ARG`` and ``FROM``; the engine judges the rest. Raises ValueError when there is no ``FROM``."""
    arguments: dict[str, str | None] = {}
    stages: list[Stage] = []
    for instruction, rest in _instructions(text):
        if instruction == "ARG":
            for name, default in _assignments(rest):
                if stages:
                    stages[-1].arguments.add(name)
                else:
                    arguments[name] = (
                        None
                        if default is None
                        else expand(default, {k: v for k, v in arguments.items() if v is not None})
                    )
        elif instruction == "FROM":
            words = [word for word in rest.split() if not word.startswith("--")]
            if not words:
                raise ValueError("a FROM without an image")
            name = words[2].lower() if len(words) >= 3 and words[1].upper() == "AS" else ""
            stages.append(Stage(base=words[0].strip("\"'"), name=name))
    if not stages:
        raise ValueError("it has no FROM")
    return Dockerfile(arguments, tuple(stages))


def _instructions(text: str) -> list[tuple[str, str]]:
    """(instruction in capitals, the rest) in order, with continued lines joined and comments left out."""
    escape = "\\"
    lines = text.lstrip("\ufeff").splitlines()
    for line in lines:
        directive = _ESCAPE_DIRECTIVE.fullmatch(line.strip())
        if directive:
            escape = directive[1]
        if not line.strip().startswith("#"):
            break
    found: list[tuple[str, str]] = []
    pending = ""
    heredocs: list[str] = []
    for line in lines:
        if heredocs:
            if line.strip() == heredocs[0]:
                heredocs.pop(0)
            continue
        stripped = line.strip()
        if stripped.startswith("#") or (pending and not stripped):
            continue
        if stripped.endswith(escape):
            pending += stripped[: -len(escape)] + " "
            continue
        whole = (pending + stripped).strip()
        pending = ""
        if whole:
            word, _, rest = whole.partition(" ")
            found.append((word.upper(), rest.strip()))
            if word.upper() in ("RUN", "COPY", "ADD"):
                heredocs = re.findall(r"<<-?[\"']?(\w+)[\"']?", rest)
    if pending.strip():
        word, _, rest = pending.strip().partition(" ")
        found.append((word.upper(), rest.strip()))
    return found


def _assignments(rest: str) -> list[tuple[str, str | None]]:
    try:
        words = shlex.split(rest)
    except ValueError:
        # An open quote is the engine's to report, with its line number.
        words = rest.split()
    return [(name, value if mark else None) for name, mark, value in (word.partition("=") for word in words)]
