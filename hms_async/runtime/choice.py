"""Which of a worker's queues may claim next (R22)."""

import time
from collections.abc import Iterable, Sequence
from operator import attrgetter

from hms_async.domain.precedence import Rank, goes_by_age, rank
from hms_async.runtime.feed import Feed

_UNKNOWN = (False, 0, 0)  # is asked first: nobody knows how urgent it is
_BY_DUE, _BY_AGE = attrgetter("by_due"), attrgetter("by_age")


class Choice:
    """Takes turns among queues that want the same slots: the earliest deadline first."""

    def __init__(self) -> None:
        self._turn = 0

    def among(self, feeds: Iterable[Feed], free_slots: int) -> Feed | None:
        """Return the queue that may claim now; `None` if none of them wants to."""
        if free_slots <= 0:
            return None
        now = time.monotonic()
        wanting = [feed for feed in feeds if feed.hungry and feed.rests_until <= now]
        # Nearly always the first can: so they are not all asked, there may be a thousand.
        while wanting:
            best = self._first(wanting, now)
            if best.contends(free_slots):
                return best
            wanting.remove(best)
        return None

    def taken(self) -> None:
        """Count a claim that was chosen: one in ten goes by age."""
        self._turn += 1

    def _first(self, feeds: Sequence[Feed], now: float) -> Feed:
        """Return the feed of the smallest rank; only if that is due in vain are all ranked."""
        by_age = goes_by_age(self._turn)
        first = min(feeds, key=_BY_AGE if by_age else _BY_DUE)
        if by_age or not self._rank(first, now)[0]:
            return first
        return min(feeds, key=lambda feed: self._rank(feed, now))

    def _rank(self, feed: Feed, now: float) -> Rank:
        if feed.head is None:
            return _UNKNOWN
        return rank(
            feed.head,
            now_ms=feed.server_ms(now),
            turn=self._turn,
            run_ms=feed.pace.run_ms,
        )
