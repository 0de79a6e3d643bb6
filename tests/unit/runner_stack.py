"""A FargateSpotRunner on small image contexts, registered with the recording engine."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.fargate_spot_runner import FargateSpotRunner, FargateSpotRunnerArgs
from components.parts.network import NetworkArgs
from components.parts.projections_site import SiteArgs
from tests.harness import Deployment, deploy

TOPIC = "arn:aws:sns:eu-west-3:123456789012:topic"


def contexts(folder: Path) -> Path:
    """``model/Dockerfile``, and ``web/Dockerfile`` whose context is the folder above it."""
    for name in ("model", "web"):
        (folder / name).mkdir()
        (folder / name / "Dockerfile").write_text("FROM scratch\n")
    return folder


def site(folder: Path, **changed: Any) -> SiteArgs:
    given = {
        "context": str(folder),
        "dockerfile": "web/Dockerfile",
        "allowed_cidrs": ("192.0.2.0/24",),
        "data_source": "https://git.example.org/repos/a/b",
    }
    return SiteArgs(**{**given, **changed})


def arguments(folder: Path, **changed: Any) -> dict[str, Any]:
    return {
        "runner_name": "projections-test",
        "model_context": str(folder / "model"),
        "network": NetworkArgs(cidr="10.40.0.0/20"),
        "alarm_topic_arn": TOPIC,
        "site": site(folder),
        **changed,
    }


def runner(folder: Path, *, preview: bool = False, **changed: Any) -> Deployment:
    return deploy(
        lambda: FargateSpotRunner("tiny", FargateSpotRunnerArgs(**arguments(folder, **changed))),
        preview=preview,
    )


def statements(made: Deployment, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(made.one(name).inputs["policy"])["Statement"]
    return found


def policies(made: Deployment) -> Iterator[tuple[str, dict[str, Any]]]:
    for item in made.of_type("iam/rolePolicy:RolePolicy"):
        for statement in statements(made, item.name):
            yield item.name, statement


def containers(made: Deployment, name: str) -> dict[str, dict[str, Any]]:
    """Containers of a task definition by name."""
    definitions = json.loads(made.one(name).inputs["containerDefinitions"])
    return {item["name"]: item for item in definitions}


def environment(container: Mapping[str, Any]) -> dict[str, str]:
    return {item["name"]: item["value"] for item in container["environment"]}
