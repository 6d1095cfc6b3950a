"""Histograms as the scripts keep them: how many values fell into which bucket."""

from collections.abc import Mapping, Sequence
from itertools import accumulate

from hms_async.domain.counters import RUN_S, WAIT_S

WAIT_MS = tuple(1_000 * bound for bound in WAIT_S)
"""Upper bounds of the buckets of `wait` and `total`, in ms."""

RUN_MS = tuple(1_000 * bound for bound in RUN_S)
"""Those of `run`."""


def seen(counts: Mapping[str, int], name: str, bounds: Sequence[float]) -> list[int]:
    """Return how many values each bucket of a histogram has; one more than there are bounds."""
    return [max(counts.get(f"{name}:{n}", 0), 0) for n in range(1, len(bounds) + 2)]


def percentile(buckets: Sequence[int], bounds: Sequence[float], share: float) -> float:
    """Return the value that a share of the values do not exceed.

    Values are taken to lie evenly between the bounds of their bucket. Of those beyond the last
    bound nothing is known but that: it stands for them.

    Args:
        buckets: How many values each has, at least one in all; one bucket more than bounds.
        bounds: The upper bounds of all buckets but the last, ascending; the first begins at 0.
        share: From 0 to 1.
    """
    wanted = share * sum(buckets)
    below = 0
    for n, up_to in enumerate(accumulate(buckets)):
        if up_to >= wanted and buckets[n]:
            if n == len(bounds):
                break
            lower = bounds[n - 1] if n else 0.0
            return lower + (bounds[n] - lower) * max(wanted - below, 0) / buckets[n]
        below = up_to
    return float(bounds[-1])
