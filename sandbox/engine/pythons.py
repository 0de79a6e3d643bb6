"""Which Python runs a program, and which packages that Python has, found without starting it."""

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class OptionError(Exception):
    """A runtime option of ``Pulumi.yaml`` can't be honoured; the message is one line for the user."""


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A Python that runs programs or plugins."""

    executable: Path
    virtualenv: Path | None
    """Its virtual environment, or ``None`` for one outside any."""

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """``base`` as it is in a shell that activated the virtual environment."""
        env = dict(base)
        if self.virtualenv is not None:
            env["VIRTUAL_ENV"] = str(self.virtualenv)
            env["PATH"] = os.pathsep.join([str(self.executable.parent), env.get("PATH", os.defpath)])
            env.pop("PYTHONHOME", None)
        return env

    def site_packages(self) -> list[Path]:
        """Folders that hold its installed packages."""
        root = self.virtualenv
        if root is None:
            import sysconfig

            return [Path(sysconfig.get_path("purelib"))]
        return sorted(root.glob("lib/python3.*/site-packages"))

    def version(self) -> str:
        """``3.11.7``, from the environment's own record where there is one."""
        if self.virtualenv is not None:
            try:
                text = (self.virtualenv / "pyvenv.cfg").read_text()
            except OSError:
                text = ""
            found = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+\.\d+)", text, re.MULTILINE)
            if found:
                return found.group(1)
        return ".".join(str(part) for part in sys.version_info[:3])


def own() -> Interpreter:
    """The Python that this process runs on."""
    inside = sys.prefix != sys.base_prefix
    return Interpreter(executable=Path(sys.executable), virtualenv=Path(sys.prefix) if inside else None)


def same(one: Interpreter, other: Interpreter) -> bool:
    """Whether two are one environment, maybe by different paths."""
    if one.virtualenv is None or other.virtualenv is None:
        return one == other
    return os.path.realpath(one.virtualenv) == os.path.realpath(other.virtualenv)


def choose(options: Mapping[str, Any], root: str) -> Interpreter:
    """The Python that ``runtime.options`` of a project asks for.

    Args:
        options: ``virtualenv`` (relative to ``root``) and ``toolchain`` (only ``pip``) are known.
        root: the folder of ``Pulumi.yaml``.

    Raises:
        OptionError: an option that this host doesn't know, or a virtual environment that isn't one.
    """
    unknown = sorted(set(options) - {"virtualenv", "toolchain", "binary"})
    if unknown or options.get("toolchain", "pip") not in ("pip", "auto"):
        wrong = unknown[0] if unknown else f"toolchain: {options['toolchain']}"
        raise OptionError(
            f"runtime option {wrong!r} in {root}: this language host allows virtualenv and toolchain: pip"
        )
    wanted = options.get("virtualenv")
    if not wanted:
        return own()
    folder = Path(os.path.normpath(Path(root) / str(wanted)))
    executable = folder / "bin" / "python"
    if not executable.is_file():
        raise OptionError(
            f"runtime option virtualenv: {wanted} in {root}: {folder} is no virtual environment; "
            "make it with `./dev up` or `pulumi install`"
        )
    return Interpreter(executable=executable, virtualenv=folder)


@dataclass(frozen=True, kw_only=True)
class PluginPackage:
    """A Pulumi package of a Python environment that comes with a provider plugin."""

    name: str
    version: str
    server: str
    parameterization: Mapping[str, str] | None


def plugin_packages(interpreter: Interpreter) -> Iterator[PluginPackage]:
    """The packages whose ``pulumi-plugin.json`` says that a resource plugin belongs to them."""
    for site in interpreter.site_packages():
        for record in sorted(site.glob("*/pulumi-plugin.json")):
            try:
                plugin = json.loads(record.read_text())
            except (OSError, ValueError):
                continue  # the engine finds the plugin by itself when a resource asks for it
            if not plugin.get("resource"):
                continue
            name = plugin.get("name") or record.parent.name.removeprefix("pulumi_")
            version = plugin.get("version") or _version_in(site, record.parent.name)
            if version:
                yield PluginPackage(
                    name=name,
                    version=str(version).removeprefix("v"),
                    server=plugin.get("server", ""),
                    parameterization=plugin.get("parameterization"),
                )


def _version_in(site: Path, package: str) -> str | None:
    for folder in site.glob(f"{package}-*.dist-info"):
        return folder.name.removesuffix(".dist-info").rpartition("-")[2]
    return None


def installed_version(package: str) -> str:
    """Version of a package of our own environment, read from a folder's name; empty when it isn't there."""
    return next(filter(None, (_version_in(site, package) for site in own().site_packages())), "")


def dependencies(interpreter: Interpreter, transitive: bool) -> list[tuple[str, str]]:
    """Name and version of the installed packages; without ``transitive`` only those no other one requires."""
    from importlib import metadata

    found: dict[str, tuple[str, str]] = {}
    required: set[str] = set()
    for distribution in metadata.distributions(path=[str(site) for site in interpreter.site_packages()]):
        name = distribution.metadata["Name"]
        found[_normal(name)] = (name, distribution.version)
        for line in distribution.requires or ():
            if "extra ==" not in line:
                required.add(_normal(re.split(r"[\s;<>=!~\[(@]", line, maxsplit=1)[0]))
    kept = found if transitive else {key: value for key, value in found.items() if key not in required}
    return [kept[key] for key in sorted(kept)]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
