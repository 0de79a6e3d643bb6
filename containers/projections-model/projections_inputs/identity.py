"""From the canonical text of inputs to hash, run id and seed."""

import hashlib
import uuid

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://benchtop/projections")
MAX_REPLICATE = 1_000_000


def input_hash(canonical: str, replicate: int = 0) -> str:
    """SHA-256 (hex) of the inputs and the number of the repetition, 0 unless an operator asks for another."""
    if isinstance(replicate, bool) or not isinstance(replicate, int) or not 0 <= replicate <= MAX_REPLICATE:
        raise ValueError(f"replicate: must be a whole number 0..{MAX_REPLICATE}, got {replicate!r}")
    return hashlib.sha256(f"{canonical}\n{replicate}".encode()).hexdigest()


def run_id(canonical: str, replicate: int = 0) -> str:
    """The UUID of the run: the same request is the same run everywhere."""
    return str(uuid.uuid5(NAMESPACE, input_hash(canonical, replicate)))


def seed(canonical: str) -> int:
    """64 bits for the random numbers; repetitions share them, so that their curves must be equal."""
    return int(hashlib.sha256(canonical.encode()).hexdigest()[:16], 16)
