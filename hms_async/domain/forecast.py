"""A queue's future, from how long its line is, how fast it is served and when a few are due."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from math import ceil, inf
from typing import Literal

import msgspec

Confidence = Literal["known", "no_backlog", "paused", "unknown_rate"]
"""What a forecast rests on; only with `unknown_rate` can nothing be said."""

Sample = Sequence[tuple[int, int | None]]
"""A few waiting tasks: place in the line from 0, and due ms since the epoch, if any."""

_LANES = 3  # suspects, express, normal: in each, the due instants begin anew
_ROUNDING = 1e-9  # what floats may add to a whole number of slots
_LEAST_MOVE_MS = 10_000
_MOVED_SHARE = 5  # the fifth part of the time that was left
_CALM_MS = 60_000


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What will become of the tasks that wait now, if they are served as lately.

    Tasks under a lease count as work that is in front of them; their own promises are not judged.

    Attributes:
        at_ms: When it was made, in ms since the epoch.
        confidence: What it rests on. With `unknown_rate` all others are `None`.
        first_miss_ms: The due instant of the first task that will not end by it; in the past
            when the task is late already. `None` when none will miss.
        misses: How many of the waiting tasks will end after their due instant.
        drain_ms: How long until the last of them ends; infinite when nothing is served.
        slots_wanted: How many tasks would have to run at once, those under way included, for
            none to miss that can still be kept; `None` when nobody knows how long a task takes.
            It may be less than run now: what arrives later is not in it.
    """

    at_ms: int
    confidence: Confidence
    first_miss_ms: int | None = None
    misses: int | None = None
    drain_ms: float | None = None
    slots_wanted: int | None = None

    @property
    def known(self) -> bool:
        """Whether it says anything."""
        return self.confidence != "unknown_rate"


def predict(
    *,
    now_ms: int,
    waiting: int,
    running: int,
    served_per_s: float | None,
    sample: Sample,
    paused: bool = False,
) -> Forecast:
    """Return what will become of the tasks that wait now.

    Model: one end after the other, `1 / served_per_s` apart, first those under way, then the line
    in its order; so the task at place p ends after `running + p + 1` of these. A task ends late
    if it ends after its due instant. Between two tasks of the sample the due instant is taken to
    grow evenly. Where it falls, another lane begins, and where one of the two has no promise it
    says nothing: a task between them is taken to be like the nearer one. If it falls more often
    than there are lanes, promises of several lengths are mixed, and so it is everywhere.

    With one promise, in the order of arrival, the number of misses is exact for even arrivals. For
    any others it is wrong by no more than the tasks between those neighbours of the sample where
    the times of ending and the due instants overlap. With mixed promises it is an estimate.

    A task takes `running / served_per_s`, by Little's law, so c slots serve
    `c * served_per_s / running`; `slots_wanted` is the least c with which the same model keeps
    all tasks that have as much time left as a task takes.

    Args:
        now_ms: The instant of the look, in ms since the epoch.
        waiting: Tasks in the lanes.
        running: Tasks under a lease.
        served_per_s: How many tasks ended in a second while others waited; `None` if unknown.
        sample: Tasks of the line, places ascending, its two ends among them; may be empty when
            no task has a promise.
        paused: Whether workers leave the queue alone.

    Source: J. D. C. Little, "A Proof for the Queuing Formula: L = λW", Operations Research 9, 1961.
    """
    if waiting <= 0:
        return Forecast(at_ms=now_ms, confidence="no_backlog", misses=0, drain_ms=0, slots_wanted=0)
    if served_per_s is None and not paused:
        return Forecast(at_ms=now_ms, confidence="unknown_rate")
    line = _Line(now_ms, running, 0 if paused or served_per_s is None else served_per_s)
    stretches = _stretches(sample, waiting)
    misses, first = 0, inf
    for stretch in stretches:
        late = line.late(stretch)
        if late:
            misses += len(late)
            # Even growth: the earliest is at one of the two ends.
            first = min(first, stretch.due_ms(late[0]), stretch.due_ms(late[-1]))
    return Forecast(
        at_ms=now_ms,
        confidence="paused" if paused else "known",
        first_miss_ms=int(first) if misses else None,
        misses=misses,
        drain_ms=line.ends_ms(waiting - 1),
        slots_wanted=line.slots_wanted(stretches),
    )


def is_news(told: Forecast | None, now: Forecast) -> bool:
    """Return whether a forecast is worth a word after the one that was told last.

    Worse news is told at once: misses appear, double, or come nearer by more than a fifth of the
    time that was left (and ten seconds). Better news, and misses that move away, wait until a
    minute has passed, so that a queue on the edge does not fill the log. That a predicted miss
    happens, and that nothing can be said any more, is none.

    Args:
        told: The forecast that was told last; `None` when there was none.
        now: The new one.
    """
    if now.misses is None:
        return False
    before = 0 if told is None or told.misses is None else told.misses
    if told is None or before == 0:
        return now.misses > 0
    sooner_ms = _moved_ms(told, now)
    if now.misses >= 2 * before or sooner_ms > 0:
        return True
    better = 2 * now.misses <= before or sooner_ms < 0
    return better and now.at_ms - told.at_ms >= _CALM_MS


def _moved_ms(told: Forecast, now: Forecast) -> int:
    """Return by how much the first miss is nearer than was told; 0 for less than is worth a word.

    One that came to pass as told moves on with the head of the line, which is no news.
    """
    if told.first_miss_ms is None or now.first_miss_ms is None:
        return 0
    if told.first_miss_ms <= now.at_ms:
        return 0
    sooner_ms = told.first_miss_ms - now.first_miss_ms
    left_ms = told.first_miss_ms - told.at_ms
    return sooner_ms if abs(sooner_ms) > max(left_ms / _MOVED_SHARE, _LEAST_MOVE_MS) else 0


class _Stretch(msgspec.Struct, frozen=True):
    """Neighbours in the line whose due instants lie on a straight.

    Attributes:
        places: Which they are; at least one.
        origin: A place with a known due instant, and that instant in ms.
        over: By how many places and ms the straight rises from there.
    """

    places: range
    origin: tuple[int, int]
    over: tuple[int, int] = (1, 0)

    def due_ms(self, place: int) -> float:
        """Return when the task at a place is due; it need not be one of the stretch."""
        (start, due_ms), (run, rise) = self.origin, self.over
        return due_ms + rise * (place - start) / run


class _Line(msgspec.Struct, frozen=True):
    """Tasks that end one after the other: first those that run, then those that wait."""

    now_ms: int
    running: int
    served_per_s: float

    def ends_ms(self, place: int) -> float:
        """Return in how many ms the task at a place ends; infinite when nothing is served."""
        in_front = self.running + place + 1
        return in_front * 1_000 / self.served_per_s if self.served_per_s > 0 else inf

    def late(self, stretch: _Stretch) -> range:
        """Return the places of a stretch whose tasks end late."""
        return _where(
            lambda place: self.ends_ms(place) > stretch.due_ms(place) - self.now_ms, stretch.places
        )

    def slots_wanted(self, stretches: Iterable[_Stretch]) -> int | None:
        """Return how many slots keep all that can be kept; `None` if a task's length is unknown."""
        if not self.running or self.served_per_s <= 0:
            return None
        task_ms = self.running * 1_000 / self.served_per_s
        wanted = 1.0  # something waits
        for stretch in stretches:
            keepable = self._keepable(stretch, task_ms)
            # What is asked of the slots goes one way along a straight: it is most at an end.
            for place in (keepable[0], keepable[-1]) if keepable else ():
                left_ms = stretch.due_ms(place) - self.now_ms
                wanted = max(wanted, self.ends_ms(place) * self.running / left_ms)
        return ceil(wanted - _ROUNDING)

    def _keepable(self, stretch: _Stretch, task_ms: float) -> range:
        return _where(lambda place: stretch.due_ms(place) - self.now_ms >= task_ms, stretch.places)


def _where(condition: Callable[[int], bool], places: range) -> range:
    """Return the places where a condition holds that turns at most once along them."""
    head, tail = condition(places[0]), condition(places[-1])
    if head == tail:
        return places if head else places[:0]
    turn = bisect_left(places, x=True, key=lambda place: condition(place) is tail)
    return places[turn:] if tail else places[:turn]


def _stretches(sample: Sample, waiting: int) -> list[_Stretch]:
    """Return the line of a sample without the tasks that have no promise."""
    points = [(place, due_ms) for place, due_ms in sample if place < waiting]
    if not points:
        return []
    points = [(0, points[0][1]), *points, (waiting, points[-1][1])]
    due = [due_ms for _, due_ms in points if due_ms is not None]
    even = sum(later < sooner for sooner, later in pairwise(due)) < _LANES
    return [
        stretch for left, right in pairwise(points) for stretch in _between(left, right, even=even)
    ]


def _between(
    left: tuple[int, int | None], right: tuple[int, int | None], *, even: bool
) -> Iterator[_Stretch]:
    """Yield what lies between two neighbours of a sample, the left one included."""
    (start, start_due_ms), (end, end_due_ms) = left, right
    if start >= end:
        return
    if even and start_due_ms is not None and end_due_ms is not None and start_due_ms <= end_due_ms:
        over = (end - start, end_due_ms - start_due_ms)
        yield _Stretch(range(start, end), (start, start_due_ms), over)
        return
    middle = (start + end) // 2 + 1
    for places, due_ms in (
        (range(start, middle), start_due_ms),
        (range(middle, end), end_due_ms),
    ):
        if places and due_ms is not None:
            yield _Stretch(places, (start, due_ms))
