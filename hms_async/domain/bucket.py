"""A limit on calls a second that lets short bursts pass: a token bucket."""

from math import inf


class Bucket:
    """Holds up to so many calls, and fills at a steady rate; it is full at first.

    Args:
        rate: Calls a second, in the long run.
        burst: Calls that may come at once.
    """

    __slots__ = ("_burst", "_full_at_s", "_rate")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._full_at_s = -inf

    def take(self, now_s: float) -> float:
        """Take a call out.

        Args:
            now_s: Any clock that only goes forward, in seconds.

        Returns:
            0 if there was one, else in how many seconds there will be; nothing was taken then.
        """
        full_at_s = max(self._full_at_s, now_s)
        missing = (full_at_s - now_s) * self._rate
        if missing > self._burst - 1:
            return (missing - self._burst + 1) / self._rate
        self._full_at_s = full_at_s + 1 / self._rate
        return 0.0
