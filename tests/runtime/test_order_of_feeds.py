"""Feeds kept in order (R22): the one that is chosen is the one that a look at all would find."""

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from hms_async.domain.queue import Queue, QueueSettings
from hms_async.runtime.choice import Choice
from hms_async.runtime.exchange import Lanes
from hms_async.runtime.feed import Feed
from hms_async.runtime.handlers import bind
from hms_async.runtime.task import Task
from hms_async.storage.replies import Exchanged

_NOW_MS = 1_767_225_600_000
_HOUR_MS = 3_600_000

_instants = st.integers(_NOW_MS - _HOUR_MS, _NOW_MS)
_heads = st.tuples(_instants, st.none() | _instants.map(lambda at_ms: at_ms + _HOUR_MS // 2))
_answers = st.tuples(st.integers(0, 5), st.integers(0, 2), _heads)


async def _handle(_: Task[Any]) -> None: ...


def _feed(name: str) -> Feed:
    lanes = Lanes(cast("Any", None), "worker", heads=True)
    return Feed(
        Queue(name=name, settings=QueueSettings(), version=1), bind(_handle, name), lanes, 10
    )


def _answer(left: int, head: tuple[int, int | None]) -> Exchanged:
    return Exchanged(
        verdict="ok",
        now_ms=_NOW_MS,
        left=left,
        next_due_ms=None,
        version=1,
        paused=False,
        lease_ms=30_000,
        settled=[],
        claims=[],
        suspect=None,
        suspects_left=0,
        cancelling=frozenset(),
        ahead=0,
        head=head if left else None,
    )


@given(st.lists(_answers), st.integers(0, 9))
def test_the_choice_is_that_of_a_look_at_all_feeds(
    answers: list[tuple[int, int, tuple[int, int | None]]], turn: int
) -> None:
    choice, feeds = Choice(), [_feed(f"q{number}") for number in range(6)]
    for feed in feeds:
        feed.on_move = choice.place
        choice.place(feed)
    for _ in range(turn):
        choice.taken()
    for number, left, head in answers:
        feeds[number].learn(_answer(left, head))

    hungry = [feed for feed in feeds if feed.hungry]
    first = choice.among(1)
    assert list(choice) == sorted(hungry, key=lambda feed: feed.by_due)
    if first is None:
        assert not hungry
    elif turn == 9:
        assert first.by_age == min(feed.by_age for feed in hungry)
    else:
        kept = [feed for feed in hungry if feed.head is None or not feed.head.goes_behind(_NOW_MS)]
        assert first.by_due == min(feed.by_due for feed in kept or hungry)
