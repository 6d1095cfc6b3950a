"""How long attempts waited lately: what is over is read but once, a few queues at a look."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from hms_async import AsyncOMSClient
from hms_async.domain.series import HOUR_MS, MINUTE_MS, Piece
from hms_async.runtime import trends
from hms_async.runtime.trends import Trends
from hms_async.storage import series
from hms_async.storage.store import Store
from hms_async.testing import ManualClock

A_SECOND = 5
"""The bucket of waits from half a second to a second."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(store_url: str, clock: ManualClock) -> AsyncGenerator[Store]:
    async with Store(store_url, clock=clock) as store, AsyncOMSClient(store=store) as oms:
        await oms.create_queue("q")
        yield store


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """How many queues were read at once, and how far back."""
    noted: list[tuple[int, int]] = []

    async def read(
        store: Store, queues: Sequence[str], span_ms: int, step_ms: int
    ) -> list[list[Piece]]:
        noted.append((len(queues), span_ms))
        return await series.read_pieces_of(store, queues, span_ms, step_ms)

    monkeypatch.setattr(trends, "read_pieces_of", read)
    return noted


async def waited(store: Store, queue: str, at_ms: int, bucket: int = A_SECOND) -> None:
    """Count an attempt that began then."""
    key = store.keys.part(queue, f"stats:{at_ms // MINUTE_MS}")
    await store.ask("HINCRBY", key, f"wait:{bucket}", 1)


async def test_a_minute_is_told_when_it_is_over_and_read_but_once(
    store: Store, clock: ManualClock, spans: list[Any]
) -> None:
    looking = Trends(store)
    first_ms = clock() // MINUTE_MS * MINUTE_MS
    await waited(store, "q", first_ms)
    assert await looking.look(["q"], clock()) == {"q": {}}

    await waited(store, "q", first_ms)
    clock.advance("1m")
    await waited(store, "q", first_ms + MINUTE_MS, bucket=1)
    found = await looking.look(["q"], clock())
    assert found == {"q": {first_ms: pytest.approx(975)}}

    clock.advance("1m")
    await looking.look(["q"], clock())
    found = await looking.look(["q"], clock())
    assert list(found["q"]) == [first_ms, first_ms + MINUTE_MS]
    # Of later looks each goes back to the begin of what was not over at the last one.
    assert spans == [(1, trends.TREND_MS), (1, 2 * MINUTE_MS), (1, 2 * MINUTE_MS)]


async def test_what_is_older_than_half_an_hour_is_let_go(store: Store, clock: ManualClock) -> None:
    looking = Trends(store)
    await waited(store, "q", clock())
    for _ in range(30):
        clock.advance("1m")
        assert len((await looking.look(["q"], clock()))["q"]) == 1
    clock.advance("1m")
    assert await looking.look(["q"], clock()) == {"q": {}}


async def test_many_queues_become_known_bit_by_bit_the_first_ones_first(
    store: Store, clock: ManualClock, spans: list[Any]
) -> None:
    names = [f"queue-{n:02}" for n in range(60)]
    async with AsyncOMSClient(store=store) as oms:
        for name in names:
            await oms.create_queue(name)
    looking = Trends(store)
    known = [list(await looking.look(names, clock())) for _ in range(4)]

    assert known == [names[:25], names[:50], names, names]
    assert [count for count, _ in spans] == [25, 25, 10]
    clock.advance("1m")
    await looking.look(names, clock())
    assert spans[-1] == (25, 2 * MINUTE_MS)


async def test_a_queue_that_was_away_may_be_another_one(store: Store, clock: ManualClock) -> None:
    looking = Trends(store)
    await waited(store, "q", clock())
    clock.advance("1m")
    assert (await looking.look(["q"], clock()))["q"]
    await store.ask("DEL", store.keys.part("q", f"stats:{(clock() // MINUTE_MS) - 1}"))

    assert await looking.look([], clock()) == {}
    assert await looking.look(["q"], clock()) == {"q": {}}


async def test_what_nobody_looked_at_for_long_is_read_as_a_whole(
    store: Store, clock: ManualClock, spans: list[Any]
) -> None:
    looking = Trends(store)
    await looking.look(["q"], clock())
    clock.advance("5m")
    await looking.look(["q"], clock())
    await looking.look(["q"], clock() - HOUR_MS)  # a server took over whose clock is behind

    assert [span_ms for _, span_ms in spans] == [trends.TREND_MS] * 3
