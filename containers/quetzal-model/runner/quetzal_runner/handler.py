"""The Lambda handler, called by real Lambda (through ``awslambdaric``) and by the emulated server."""

from typing import Any

from quetzal_runner import deadline, invocation, storage

_storage: storage.Storage | None = None


def handler(event: object, context: Any = None) -> dict[str, Any]:
    """Run one step; see :func:`quetzal_runner.invocation.invoke`. The S3 client outlives an invocation."""
    global _storage
    limit = deadline.from_context(context)
    if _storage is None:
        _storage = storage.from_environment()
    return invocation.invoke(event, _storage, limit)
