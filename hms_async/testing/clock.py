"""A clock that stands still until it is turned."""

from hms_async.domain.duration import Duration, to_ms

NEW_YEAR_2026_MS = 1_767_225_600_000


class ManualClock:
    """Milliseconds since the Unix epoch, for `Store(url, clock=clock)`.

    Scripts then reckon with this time instead of the server's own. Two things stay with the
    server: when keys expire, and the ids of events.

    Args:
        now_ms: Where it starts.
    """

    def __init__(self, now_ms: int = NEW_YEAR_2026_MS) -> None:
        self._now_ms = now_ms

    def __call__(self) -> int:
        """Return the time it shows."""
        return self._now_ms

    def advance(self, duration: Duration) -> int:
        """Turn the clock on, by "90s", a `timedelta` or a number of seconds; returns the time."""
        self._now_ms += to_ms(duration, name="duration")
        return self._now_ms
