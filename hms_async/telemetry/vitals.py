"""What a process notes of itself while it works, for whoever asks from outside.

Plain numbers: to note them costs an addition, whether anybody asks or not. The event loop writes
them, and the threads beside it read them.
"""

import time
from typing import Final

import anyio

from hms_async.domain.observations import Histogram

PULSE_S: Final = 0.25
LAG_BOUNDS_S: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5)
HTTP_BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SWEEP_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Vitals:
    """The signs of life of one process.

    Attributes:
        began: When it began, on the monotonic clock, as all moments here.
        heard_at: When the store last answered to what the process is there for; `None` before.
        lag: By how much later than asked for the event loop came round, in seconds.
        sweeps: How long the supervisor's rounds took, in seconds.
        turned_at: When the event loop turned last; `None` before it did.
        pops: Claims by their outcome.
        renewals: Leases by what came of renewing them.
        requests: How long requests took until their answer began, in seconds, by route, method and
            class of the status. Waits for tasks are among them.
    """

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.heard_at: float | None = None
        self.lag = Histogram(LAG_BOUNDS_S)
        self.sweeps = Histogram(SWEEP_BOUNDS_S)
        self.pops = {"hit": 0, "empty": 0, "error": 0}
        self.renewals = {"ok": 0, "lost": 0, "error": 0}
        self.requests: dict[tuple[str, str, str], Histogram] = {}
        self.turned_at: float | None = None

    async def beat(self, every_s: float = PULSE_S) -> None:
        """Show until cancelled that the event loop turns."""
        while True:
            self.turned_at = now = time.monotonic()
            await anyio.sleep(every_s)
            self.lag.observe(max(time.monotonic() - now - every_s, 0.0))

    def still_for_s(self) -> float:
        """Return for how long the event loop has not turned; 0 before its first turn."""
        return 0.0 if self.turned_at is None else time.monotonic() - self.turned_at

    def answered(self, route: str, method: str, status: int, took_s: float) -> None:
        """Count a request. There are as many kinds of it as routes: no path of a caller's."""
        kind = (route, method, f"{status // 100}xx")
        took = self.requests.get(kind)
        if took is None:
            took = self.requests[kind] = Histogram(HTTP_BOUNDS_S)
        took.observe(took_s)

    def heard(self) -> None:
        """Take note that the store has answered."""
        self.heard_at = time.monotonic()

    def silent_for_s(self) -> float | None:
        """Return for how long the store has not answered; `None` if it never has."""
        return None if self.heard_at is None else time.monotonic() - self.heard_at
