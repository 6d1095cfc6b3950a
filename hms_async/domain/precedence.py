"""Which of several queues a worker takes from next."""

import msgspec

from hms_async.domain.sla import Late

ASSUMED_MS = 3_600_000
"""The promise that a task without one is ranked by."""

BY_AGE_EVERY = 10
"""One turn in so many goes to the oldest task, whatever it promises."""

Rank = tuple[bool, int, int]


class Head(msgspec.Struct, frozen=True, gc=False):
    """The task that a queue would give out next.

    Attributes:
        arrived_ms: When it arrived, in ms since the epoch.
        due_ms: When its promise is broken; `None` when it has none.
        late: What its queue does with late tasks.
    """

    arrived_ms: int
    due_ms: int | None = None
    late: Late = "after_others"

    @property
    def by_due(self) -> tuple[int, int]:
        """The key by which the earliest due instant goes first."""
        return _due_ms(self), self.arrived_ms

    @property
    def by_age(self) -> tuple[int, int]:
        """The key by which the oldest goes first."""
        return self.arrived_ms, _due_ms(self)

    def goes_behind(self, ends_ms: int) -> bool:
        """Whether it goes behind all that can be kept, if it would be done at that instant."""
        return _due_ms(self) < ends_ms and self.late == "after_others"


def _due_ms(head: Head) -> int:
    return head.arrived_ms + ASSUMED_MS if head.due_ms is None else head.due_ms


def goes_by_age(turn: int) -> bool:
    """Tell whether this turn is one that goes by age alone."""
    return turn % BY_AGE_EVERY == BY_AGE_EVERY - 1


def rank(head: Head, *, now_ms: int, turn: int, run_ms: int = 0) -> Rank:
    """Return the key by which heads are sorted: the smallest is taken from first.

    The earliest due instant goes first. A task that would be done only past it goes behind all that
    can still be kept, if its queue says `after_others`: to serve first what is lost already would
    make the others late one by one, and so would what is lost while it runs. With `expire` it
    stands where it stood, since it is not run but ended by the claim. Under overload those behind
    would wait for ever, so one turn in ten goes by age alone: a task is taken after at most ten
    turns for each one that is older.

    Args:
        head: The queue's next task.
        now_ms: The instant of the choice, in ms since the epoch.
        turn: Counts the choices, from 0.
        run_ms: How long such a task runs, as far as is known.

    Source: C. L. Liu and J. W. Layland, "Scheduling Algorithms for Multiprogramming in a
    Hard-Real-Time Environment", JACM 20 (1973), for the earliest deadline first; the rest is ours.
    """
    if goes_by_age(turn):
        return False, *head.by_age
    return head.goes_behind(now_ms + run_ms), *head.by_due
