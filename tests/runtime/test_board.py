"""All queues at a glance: the one nearest to harm first, and no more asked than is news."""

from typing import Any

import pytest

from hms_async import AsyncOMSClient, QueueNotFound
from hms_async.domain.forecast import Forecast
from hms_async.domain.objective import Kept
from hms_async.domain.queue import Queue, QueueSettings, QueueStats
from hms_async.runtime import board
from hms_async.runtime.board import Standing
from hms_async.runtime.promises import Promise
from hms_async.storage import series
from hms_async.storage.replies import Settle
from hms_async.storage.store import Store
from hms_async.testing import ManualClock


def standing(
    name: str, due_ms: int | None = None, *, misses: int = 0, first_ms: int = 0, **numbers: Any
) -> Standing:
    """A queue at the instant 0 of the server's clock."""
    numbers_of_none: dict[str, Any] = dict.fromkeys(
        ("sla_ms", "oldest_arrived_ms", "next_due_ms", "next_rung_ms")
    )
    counts = dict.fromkeys(
        ("waiting", "in_progress", "scheduled", "retrying", "done", "failed", "cancelled"), 0
    )
    fields: dict[str, Any] = numbers_of_none | counts | {"expired": 0, "paused": False} | numbers
    stats = QueueStats(**fields, name=name, totals={}, now_ms=0)
    forecast = Forecast(at_ms=0, confidence="known", misses=misses, first_miss_ms=first_ms)
    queue = Queue(name=name, settings=QueueSettings(sla_ms=1), version=1)
    promise = Promise(queue=queue, stats=stats, forecast=forecast, incidents=[])
    return Standing(
        promise=promise, due_ms=due_ms, swept_ms=None, slots=None, failed=0, kept=Kept(0, 0)
    )


def test_what_is_late_comes_before_what_will_be_and_that_before_the_rest() -> None:
    in_order = [
        standing("later", -9_000, breached=1),
        standing("late", -1_000, breached=2),
        standing("foreseen", 9_000, misses=3, first_ms=2_000),
        standing("foreseen-later", 1_000, misses=9, first_ms=5_000),
        standing("at-risk", 500, at_risk=1),
        standing("soon", 600),
        standing("in-time", 90_000),
        standing("idle"),
        standing("stopped", 100, clock_stopped_ms=1),
    ]
    mixed = in_order[::-1]
    assert sorted(mixed, key=lambda one: one.harm) == in_order


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def test_a_look_tells_what_is_asked_for_and_reads_the_past_when_it_is_news(
    store_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Store(store_url, clock=clock) as store, AsyncOMSClient(store=store) as oms:
        await oms.create_queue("q", sla="1h")
        for name, slots in (("one", "4"), ("two", "2")):
            await store.register_worker(name, {"queues": "q", "slots": slots}, ttl_s=60)
        await oms.enqueue_many("q", [1, 2, 3])
        reads = list[str]()
        read_pieces_of = series.read_pieces_of

        async def noted(store: Store, queues: list[str], span_ms: int, step_ms: int) -> Any:
            reads.extend(queues)
            return await read_pieces_of(store, queues, span_ms, step_ms)

        monkeypatch.setattr(board, "read_pieces_of", noted)
        looking = oms.board()

        (first,) = await looking.look()
        assert (first.name, first.slots, first.due_ms) == ("q", 6, clock() + 3_600_000)
        assert (first.failed, first.kept) == (0, Kept(0, 0))
        clock.advance("50m")
        await store.sweep("q")
        claims = await store.exchange("q", worker="w", incarnation="ab", lane=0, seq=1, want=2)
        assert claims is not None
        settles = [
            Settle(claim.id, claim.token, word, "", b"1")
            for claim, word in zip(claims.claims, ("done", "fail"), strict=True)
        ]
        await store.exchange("q", worker="w", incarnation="ab", lane=0, seq=2, settles=settles)
        await store.sweep("q")
        reads.clear()
        (found,) = await looking.look(["q"])
        assert (found.failed, found.kept) == (1, Kept(2, 0))
        assert (found.promise.clock, found.due_ms) == ("at_risk", clock() + 600_000)
        clock.advance("9s")
        await looking.look(["q"])
        assert reads == ["q"]  # for both looks

        with pytest.raises(QueueNotFound):
            await looking.look(["nowhere"])
