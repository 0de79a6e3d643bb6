"""A small Pulumi project of a test's own, run by the real engine against the emulator."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3

from sandbox.providers.install import install

SUMMARY_S = 120


class Project:
    """``pulumi`` in a folder of its own, with its own state and the light providers of this repository."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        home, backend = folder / "home", folder / "state"
        backend.mkdir(parents=True)
        install(home, Path(sys.executable))
        self.env = {
            **env,
            "PULUMI_HOME": str(home),
            "PULUMI_BACKEND_URL": f"file://{backend}?metadata=skip",
            "PULUMI_DEBUG_COMMANDS": "true",  # for --event-log
        }
        runtime = {"name": "python", "options": {"toolchain": "pip", "virtualenv": sys.prefix}}
        (folder / "Pulumi.yaml").write_text(json.dumps({"name": folder.name, "runtime": runtime}))
        self.run("stack", "init", "t")
        self.run("config", "set", "aws:region", "ca-central-1")

    def program(self, source: str) -> None:
        head = "import json\n\nimport pulumi\nimport pulumi_aws as aws\n\n"
        (self.folder / "__main__.py").write_text(head + source)

    def start(self, *argv: str, env: dict[str, str] | None = None) -> "subprocess.Popen[str]":
        """A command in a session of its own, so that it can be killed with all that it started."""
        return subprocess.Popen(
            ["pulumi", *argv, "--non-interactive", "--color", "never"],
            cwd=self.folder,
            env={**self.env, **(env or {})},
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, *argv: str, fails: bool = False) -> str:
        """Runs a command to its end; returns what it printed."""
        process = self.start(*argv)
        output, _ = process.communicate(timeout=SUMMARY_S)
        assert (process.returncode != 0) is fails, f"pulumi {' '.join(argv)}:\n{output}"
        return output

    def changes(self, command: str, *argv: str) -> dict[str, int]:
        """Runs ``up``, ``refresh`` or ``destroy`` and counts what it did, the stack itself left out."""
        events = self.folder / "events.jsonl"
        events.unlink(missing_ok=True)
        self.run(command, "--yes", "--skip-preview", "--event-log", str(events), *argv)
        counts: dict[str, int] = {}
        for line in events.read_text().splitlines():
            metadata = json.loads(line).get("resOutputsEvent", {}).get("metadata", {})
            if metadata and not metadata["type"].startswith("pulumi:"):
                counts[metadata["op"]] = counts.get(metadata["op"], 0) + 1
        return counts

    def preview(self) -> list[dict[str, Any]]:
        """The changes that a preview shows."""
        steps: list[dict[str, Any]] = json.loads(self.run("preview", "--json"))["steps"]
        return [step for step in steps if "::pulumi:" not in step["urn"] and step["op"] != "same"]

    def outputs(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("stack", "output", "--json", "--show-secrets"))
        return found

    def state(self) -> str:
        return self.run("stack", "export")


def client(service: str) -> Any:
    """A client of the emulator; the sandbox's environment says where it is."""
    return boto3.client(service)
