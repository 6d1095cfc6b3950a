"""Numbers that stand for many."""

import statistics
from collections.abc import Sequence


def quantile(values: Sequence[float], part: float) -> float:
    """Return the smallest value that at least this part of all values do not exceed.

    Args:
        values: At least one, in any order.
        part: Above 0, up to 1.
    """
    ordered = sorted(values)
    rank = -int(-part * len(ordered) // 1)  # rounded up
    return ordered[max(0, rank - 1)]


def latencies(seconds: Sequence[float]) -> dict[str, float]:
    """Return median, tail and worst of latencies, in milliseconds."""
    return {
        "p50_ms": quantile(seconds, 0.50) * 1e3,
        "p90_ms": quantile(seconds, 0.90) * 1e3,
        "p99_ms": quantile(seconds, 0.99) * 1e3,
        "max_ms": max(seconds) * 1e3,
    }


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return median, least and greatest of a figure over the rounds."""
    return statistics.median(values), min(values), max(values)
