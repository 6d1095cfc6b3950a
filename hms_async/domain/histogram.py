"""Histograms as the scripts keep them: how many values fell into which bucket."""

from collections.abc import Mapping, Sequence
from itertools import accumulate

WAIT_MS = (
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000,
    1_800_000, 3_600_000, 7_200_000, 14_400_000, 28_800_000, 86_400_000,
)  # fmt: skip
"""Upper bounds of the buckets of `wait` and `total`, in ms; as in `lua/include/histogram.lua`."""

RUN_MS = (
    5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000,
    600_000, 1_800_000, 3_600_000,
)  # fmt: skip
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
