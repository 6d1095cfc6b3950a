"""How often something took how long: plain numbers, to which an observation is three additions."""

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """Counts observations by size.

    One thread observes; others may look at any time, and may see the last one counted in part.

    Args:
        bounds: The upper bounds of the buckets, growing; what is larger than the last has its own.

    Attributes:
        bounds: The same.
        counts: How many observations each bucket has, with that beyond the last bound.
        sum: What they sum up to.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[str, int]]:
        """Return each bound with how many were not larger, as Prometheus wants it."""
        total, pairs = 0, list[tuple[str, int]]()
        for bound, count in zip((*map(str, self.bounds), "+Inf"), list(self.counts), strict=True):
            total += count
            pairs.append((bound, total))
        return pairs
