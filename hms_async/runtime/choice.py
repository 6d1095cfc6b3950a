"""Which of a worker's queues may claim next (R22)."""

import time
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from operator import attrgetter

from hms_async.domain.precedence import Rank, goes_by_age, rank
from hms_async.runtime.feed import Feed

_UNKNOWN = (False, 0, 0)  # is asked first: nobody knows how urgent it is

Key = tuple[int, int]


class Choice:
    """Takes turns among queues that want the same slots: the earliest deadline first.

    There may be a thousand of them, so they are kept in order instead of looked through: each feed
    is placed anew whenever it grows hungry or not, or has another head.
    """

    def __init__(self) -> None:
        self._turn = 0
        self._by_due = _Order(attrgetter("by_due"))
        self._by_age = _Order(attrgetter("by_age"))

    def __iter__(self) -> Iterator[Feed]:
        """The feeds that are hungry, the earliest deadline first."""
        return iter(self._by_due)

    def place(self, feed: Feed) -> None:
        """Put a feed where it belongs, as it is now."""
        self._by_due.place(feed)
        self._by_age.place(feed)

    def among(self, free_slots: int) -> Feed | None:
        """Return the queue that may claim now; `None` if none of them wants to."""
        if free_slots <= 0:
            return None
        now, late = time.monotonic(), None
        by_age = goes_by_age(self._turn)
        for feed in self._by_age if by_age else self._by_due:
            if feed.contends(free_slots):
                if by_age or not self._rank(feed, now)[0]:
                    return feed
                late = late or feed
        return late

    def taken(self) -> None:
        """Count a claim that was chosen: one in ten goes by age."""
        self._turn += 1

    def _rank(self, feed: Feed, now: float) -> Rank:
        if feed.head is None:
            return _UNKNOWN
        return rank(
            feed.head,
            now_ms=feed.server_ms(now),
            turn=self._turn,
            run_ms=feed.pace.run_ms,
        )


class _Order:
    """The hungry feeds in the order of a key; of equals the one that was there first."""

    def __init__(self, key: Callable[[Feed], Key]) -> None:
        self._key = key
        self._numbers: dict[Feed, int] = {}
        self._places: dict[Feed, tuple[Key, int]] = {}
        self._sorted: list[tuple[Key, int, Feed]] = []

    def __iter__(self) -> Iterator[Feed]:
        return (feed for _, _, feed in self._sorted)

    def place(self, feed: Feed) -> None:
        if before := self._places.pop(feed, None):
            del self._sorted[bisect_left(self._sorted, before)]
        if feed.hungry:
            number = self._numbers.setdefault(feed, len(self._numbers))
            self._places[feed] = place = self._key(feed), number
            insort(self._sorted, (*place, feed))
