"""Names for resources that were given none, as the official provider makes them: ``<logical>-<7 hex>``."""

import hashlib
import re
import secrets

from sandbox.providers.aws.table import AutoName
from sandbox.providers.server import Naming


def make_name(rule: AutoName, urn: str, logical: str, naming: Naming, fifo: bool, prefix: str = "") -> str:
    """A new unique name within the rule's limit; the engine's seed makes it the same in one run."""
    if naming.proposed:
        return naming.proposed
    seed = naming.seed or secrets.token_bytes(32)
    unique = hashlib.sha256(seed + urn.encode()).hexdigest()
    suffix = rule.suffix if fifo else ""
    if prefix:
        return prefix + unique[: max(8, min(26, rule.limit - len(prefix) - len(suffix)))] + suffix
    if rule.lower:
        logical = re.sub(r"[^a-z0-9.-]+", "-", logical.lower()).strip("-.")
    room = rule.limit - len(suffix) - 8
    return f"{logical[:room]}-{unique[:7]}{suffix}"
