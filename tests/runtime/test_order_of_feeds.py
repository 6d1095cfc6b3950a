"""Feeds kept in order (R22): the one that is chosen is the one that a look at all would find."""

from hypothesis import given
from hypothesis import strategies as st

from hms_async.runtime.choice import Choice
from tests.runtime.support import NOW_MS, answered, feeds_of

_HOUR_MS = 3_600_000

_instants = st.integers(NOW_MS - _HOUR_MS, NOW_MS)
_heads = st.tuples(_instants, st.none() | _instants.map(lambda at_ms: at_ms + _HOUR_MS // 2))
_answers = st.tuples(st.integers(0, 5), st.integers(0, 2), _heads)


@given(st.lists(_answers), st.integers(0, 9))
def test_the_choice_is_that_of_a_look_at_all_feeds(
    answers: list[tuple[int, int, tuple[int, int | None]]], turn: int
) -> None:
    choice, feeds = Choice(), feeds_of(*(f"q{number}" for number in range(6)))
    for feed in feeds:
        feed.on_move = choice.place
        choice.place(feed)
    for _ in range(turn):
        choice.taken()
    for number, left, head in answers:
        feeds[number].learn(answered(left=left, head=head if left else None))

    hungry = [feed for feed in feeds if feed.hungry]
    first = choice.among(1)
    assert list(choice) == sorted(hungry, key=lambda feed: feed.by_due)
    if first is None:
        assert not hungry
    elif turn == 9:
        assert first.by_age == min(feed.by_age for feed in hungry)
    else:
        kept = [feed for feed in hungry if feed.head is None or not feed.head.goes_behind(NOW_MS)]
        assert first.by_due == min(feed.by_due for feed in kept or hungry)
