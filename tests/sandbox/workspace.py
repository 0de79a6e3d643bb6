"""A copy of the project in which tests may write, and the stacks that they deploy from it."""

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sandbox import paths

COPIED = [
    "Pulumi.yaml",
    "__main__.py",
    "stacks",
    "components",
    "lambdas",
    "containers",
    "examples",
    "ops",
    "sandbox",
]
"""What a deployment reads; tests, docs and the repository's history stay behind."""

DEADLINE_S = 900


def copy_project(target: Path) -> Path:
    """Copy what a deployment reads to ``target``; the environment is shared by a link."""
    target.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        source = paths.ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target / name)
    (target / ".venv").symlink_to(paths.VENV)
    return target


@dataclass
class Ran:
    """How an operator's command ended: ``stdout`` alone, ``output`` with the error channel too."""

    code: int
    stdout: str
    output: str


@dataclass
class Result:
    """What one command printed and how it ended."""

    code: int
    output: str

    def changes(self) -> dict[str, int]:
        """Counts of the summary: ``{"created": 31}``, ``{"unchanged": 31}`` ..."""
        counts: dict[str, int] = {}
        lines = self.output.splitlines()
        for line in lines[lines.index("Resources:") + 1 :] if "Resources:" in lines else []:
            words = line.replace("+-", "").replace("+", "").replace("-", "").replace("~", "").split()
            if len(words) < 2 or not words[0].isdigit():
                break
            counts[words[1]] = int(words[0])
        return counts


@dataclass
class Stack:
    """One stack, deployed from a copied project by the real engine's command line."""

    project: Path
    name: str
    env: dict[str, str]
    created: bool = field(default=False)

    def configure(self, settings: dict[str, Any]) -> None:
        """Write the stack's file: plain configuration, keys with their namespace."""
        file = self.project / f"Pulumi.{self.name}.yaml"
        known = yaml.safe_load(file.read_text()) if file.exists() else {}
        salt = {
            key: known[key] for key in ("encryptionsalt",) if key in known
        }  # written by the engine: keep it
        file.write_text(yaml.safe_dump({"config": {"aws:region": "ca-central-1", **settings}, **salt}))

    def pulumi(self, *argv: str, check: bool = True) -> Result:
        """Run ``pulumi ...`` for this stack, without colour and without questions."""
        if not self.created:
            paths.pulumi_backend().mkdir(parents=True, exist_ok=True)
            self._run("stack", "select", "--create", check=True)
            self.created = True
        return self._run(*argv, check=check)

    def _run(self, *argv: str, check: bool) -> Result:
        command = ["pulumi", "--non-interactive", "--color", "never", *argv, "--stack", self.name]
        done = subprocess.run(
            command,
            cwd=self.project,
            env=self.env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE_S,
        )
        assert not check or done.returncode == 0, (
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
        )
        return Result(done.returncode, done.stdout)

    def up(self, *argv: str, check: bool = True) -> Result:
        return self.pulumi("up", "--yes", "--skip-preview", *argv, check=check)

    def outputs(self) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(self.pulumi("stack", "output", "--json", "--show-secrets").output)
        return values

    def remove(self) -> None:
        """Destroy everything and forget the stack."""
        self.pulumi("destroy", "--yes", "--skip-preview")
        self._run("stack", "rm", "--yes", "--preserve-config", check=True)
        self.created = False
