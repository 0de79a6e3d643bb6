"""The request document: all that a run needs, and no secret. The same run always has the same document."""

from datetime import UTC, datetime
from typing import Any

from covid.models import HashFile, SimulationRun

PROVIDERS = {
    SimulationRun.FARGATE: "FARGATE",
    SimulationRun.FARGATE_SPOT: "FARGATE_SPOT",
    SimulationRun.ONBOARD: "ONBOARD",
}
PROGRESS_DELAY_S = 2
"""Between two updates to the webhook; only Fargate sends any before the end."""


def request_key(run_id: object) -> str:
    return f"requests/{run_id}.json"


def output_key(run_id: object) -> str:
    return f"runs/{run_id}/output.json"


def progress_key(run_id: object) -> str:
    return f"runs/{run_id}/progress.json"


def data_key(data_hash: str, kind: str) -> str:
    """Where a file of the case data is, in the bucket or in the local folder."""
    return f"hashes/{data_hash}/{kind}.csv"


def stamp(time: datetime) -> str:
    """ISO 8601 in UTC to the millisecond, with Z, as everywhere in the system."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def request_document(run: SimulationRun, site_url: str) -> dict[str, Any]:
    """What the dispatcher, the task and the onboard service read."""
    data_hash = run.model_input["data_hash"]
    return {
        "id": str(run.pk),
        "timestamp": stamp(run.created_at),
        "model_input": run.model_input,
        "replicate": run.replicate,
        "model_output": output_key(run.pk),
        "capacity_provider": PROVIDERS[run.compute],
        "webhook_url": f"{site_url}/covid/api/simulations/{run.pk}/webhook/",
        "progress_delay": PROGRESS_DELAY_S if run.compute == SimulationRun.FARGATE else 0,
        "data": {kind: data_key(data_hash, kind) for kind, _ in HashFile.KINDS},
    }
