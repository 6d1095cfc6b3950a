"""How many tasks to have at hand while the next are on their way."""

_WEIGHT = 0.2
_TRIPS = 2
_LONGEST_TRIP_S = 0.1  # what takes longer is an outage


class Pace:
    """How long handlers and round trips took lately.

    While a round trip lasts, some running tasks end, and their slots have nothing to do unless
    more was claimed than there were slots. How many end in that time is Little's law: slots times
    the share that a round trip is of a run. What is claimed ahead starts two round trips later, so
    it is twice that. For handlers of a second it is none, and none is held back from others.
    """

    def __init__(self) -> None:
        self._run_s: float | None = None
        self._trip_s = 0.0

    def ran(self, seconds: float) -> None:
        """Take note of how long a run took, or the runs of a batch on the average."""
        before = seconds if self._run_s is None else self._run_s
        self._run_s = before + _WEIGHT * (seconds - before)

    def tripped(self, seconds: float) -> None:
        """Take note of how long a round trip took."""
        self._trip_s += _WEIGHT * (min(seconds, _LONGEST_TRIP_S) - self._trip_s)

    @property
    def run_ms(self) -> int:
        """How long a run takes, 0 as long as that is unknown."""
        return int((self._run_s or 0.0) * 1_000)

    def forget(self) -> None:
        """Claim nothing ahead until runs are known again: what was at hand had to wait too long."""
        self._run_s = None

    def ahead(self, slots: int) -> int:
        """Return how many tasks to claim beyond free slots: at most one for each slot.

        With a single slot it is none, so that tasks start in the order of their claims.
        """
        if self._run_s is None or slots == 1:
            return 0
        wanted = _TRIPS * slots * self._trip_s
        return slots if wanted >= slots * self._run_s else int(wanted / self._run_s)
