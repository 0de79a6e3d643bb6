"""Puts the light providers into the plugin cache of the sandbox's own ``PULUMI_HOME``.

The engine looks there before it downloads anything, by the version that the Python SDK asks for, so the
version is read from the installed SDK (``pulumi-plugin.json`` in its package). Only the standard library,
because
``./dev`` calls it while it sets up.
"""

import json
import subprocess
from pathlib import Path

from sandbox.paths import ROOT

PROVIDERS = {"aws": "pulumi_aws", "docker": "pulumi_docker", "random": "pulumi_random"}
"""Package of the engine's plugin -> Python package whose ``pulumi-plugin.json`` names the version."""

_LAUNCHER = """#!/bin/sh
# Written by sandbox/providers/install.py.
export PYTHONPATH="{root}${{PYTHONPATH:+:$PYTHONPATH}}"
exec "{python}" -m sandbox.providers.{name} "$@"
"""

_FIND_VERSIONS = """
import importlib.util, json, pathlib, sys
found = {}
for module in sys.argv[1:]:
    spec = importlib.util.find_spec(module)  # finds without importing
    if spec and spec.origin:
        plugin = pathlib.Path(spec.origin).parent / "pulumi-plugin.json"
        found[module] = json.loads(plugin.read_text())["version"]
print(json.dumps(found))
"""


def versions(python: Path) -> dict[str, str]:
    """Version of each light provider that ``python``'s environment has the SDK of, for example aws:
    7.51.1.
    """
    output = subprocess.run(
        [str(python), "-c", _FIND_VERSIONS, *PROVIDERS.values()],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    found: dict[str, str] = json.loads(output)
    return {name: found[module].removeprefix("v") for name, module in PROVIDERS.items() if module in found}


def install(home: Path, python: Path) -> list[str]:
    """Writes the launchers under ``home/plugins``; a second run changes nothing.

    Returns the plugins that are there now, such as ``resource-aws-v7.51.1``. Launchers of other versions that
    were written for this repository stay: an older stack's state may still ask for them.
    """
    made = []
    for name, version in versions(python).items():
        folder = home / "plugins" / f"resource-{name}-v{version}"
        folder.mkdir(parents=True, exist_ok=True)
        launcher = folder / f"pulumi-resource-{name}"
        text = _LAUNCHER.format(root=ROOT, python=python, name=name)
        if not launcher.is_file() or launcher.read_text() != text:
            partial = launcher.with_name(launcher.name + ".new")
            partial.write_text(text)
            partial.chmod(0o755)
            partial.replace(launcher)
        # The engine's mark of a plugin whose download didn't finish.
        folder.with_name(folder.name + ".partial").unlink(missing_ok=True)
        made.append(folder.name)
    return made
