"""Times as the run table has them: ISO 8601, UTC, milliseconds, ``Z``; so their text sorts as they do."""

from datetime import UTC, datetime, timedelta


def text(time: datetime) -> str:
    """
    >>> text(datetime(2026, 11, 21, 13, tzinfo=UTC))
    '2026-11-21T13:00:00.000Z'
    """
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03d}Z"


def read(value: str) -> datetime:
    """The time in a text of the table, or of an AWS event. Raises ``ValueError``."""
    time = datetime.fromisoformat(value.replace("Z", "+00:00"))
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def after(time: datetime, seconds: float) -> datetime:
    return time + timedelta(seconds=seconds)


def now() -> datetime:
    return datetime.now(UTC)
