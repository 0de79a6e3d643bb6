"""How long to wait before the next attempt."""

LONGEST_S = 900
"""What SQS can delay a message by."""

JITTER = 0.2


def seconds(tries: int, *, base_s: int, limit_s: int, jitter: float) -> int:
    """Whole seconds before try ``tries`` + 1: doubled each time, at most ``limit_s`` (and SQS's 900).

    ``jitter`` in 0..1 moves the delay by -20 to +20 %: runs interrupted together don't return together.

    >>> [seconds(tries, base_s=30, limit_s=600, jitter=0.5) for tries in (1, 2, 3, 10)]
    [30, 60, 120, 600]
    """
    # The exponent is bounded because it would be a number of many digits after a year of tries.
    plain: int = min(base_s << min(max(tries, 1) - 1, 20), limit_s)
    return max(0, min(round(plain * (1 - JITTER + 2 * JITTER * jitter)), LONGEST_S))
