"""What a worker has at hand while the next is on its way."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from hms_async import AsyncOMSClient, AsyncWorker, Task, TaskState, handler
from hms_async.domain.pace import Pace
from hms_async.runtime import feed, shutdown
from hms_async.storage.replies import Exchanged
from hms_async.storage.store import Store
from hms_async.testing import running
from tests.runtime.support import PATIENCE_S, burst, stats_when, waiting, worker

SLOTS = 4

Heard = Callable[[int, Exchanged], None]


@pytest.fixture(autouse=True)
async def _eager(oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers think that handlers are as short as can be."""
    await oms.create_queue("q")
    monkeypatch.setattr(Pace, "ahead", lambda _, slots: slots)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]


def listen(monkeypatch: pytest.MonkeyPatch, heard: Heard) -> None:
    """Call this with the lane and the answer of each exchange, before the worker has it."""
    original = Store.exchange

    async def exchange(self: Store, queue: str, **options: Any) -> Exchanged | None:
        reply = await original(self, queue, **options)
        assert reply is not None
        heard(options["lane"], reply)
        return reply

    monkeypatch.setattr(Store, "exchange", exchange)


async def test_two_calls_are_under_way_at_once(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, under_way, most = Store.exchange, 0, 0

    async def exchange(self: Store, queue: str, **options: Any) -> Exchanged | None:
        nonlocal under_way, most
        # What was claimed at the bell and given up is asked for on a lane of its own.
        counts = bool(options["want"]) and options.get("at_bell_s") is None
        under_way += counts
        most = max(most, under_way)
        try:
            return await original(self, queue, **options)
        finally:
            under_way -= counts

    monkeypatch.setattr(Store, "exchange", exchange)
    await oms.enqueue_many("q", range(200))

    async def short(_task: Task[Any]) -> None:
        await anyio.sleep(0.001)

    await burst(oms.url, short, concurrency=SLOTS)

    assert most == feed.IN_FLIGHT
    assert (await oms.stats("q")).done == 200


async def test_what_was_claimed_ahead_begins_after_the_next_answer_of_its_lane(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = defaultdict[int, set[str]](set)
    claimed_ahead = 0

    def heard(lane: int, reply: Exchanged) -> None:
        nonlocal claimed_ahead
        begins_at = len(reply.claims) - reply.ahead
        closed[lane] = {claim.id for claim in reply.claims[begins_at:]}
        claimed_ahead += reply.ahead

    async def short(task: Task[Any]) -> bool:
        await anyio.sleep(0.001)
        return any(task.id in ids for ids in closed.values())

    listen(monkeypatch, heard)
    sent = await oms.enqueue_many("q", range(300))
    await burst(oms.url, short, concurrency=SLOTS)

    assert claimed_ahead > 0
    assert not any([await oms.result(one.id, timeout=0) for one in sent])


async def test_handlers_that_end_at_once_do_not_run_away_from_what_is_settled(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, most = 0, 0

    def heard(_lane: int, reply: Exchanged) -> None:
        nonlocal held, most
        held += len(reply.claims) - len(reply.settled)
        most = max(most, held)

    async def at_once(_task: Task[Any]) -> None: ...

    listen(monkeypatch, heard)
    await oms.enqueue_many("q", range(1_000))
    await burst(oms.url, at_once, concurrency=SLOTS)

    # Were the worker killed, this much would be done again.
    assert most <= 4 * SLOTS
    assert (await oms.stats("q")).done == 1_000


async def test_at_a_stop_what_has_not_begun_goes_back_in_its_order(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, full = anyio.Event(), anyio.Event()
    begun = set[object]()
    claimed = set[str]()

    async def holds(task: Task[Any]) -> None:
        begun.add(task.payload)
        if task.payload > SLOTS:  # the first are quick, so that there is something to settle
            await go_on.wait()

    def heard(_lane: int, reply: Exchanged) -> None:
        claimed.update(claim.id for claim in reply.claims)
        if len(claimed) >= 2 * SLOTS + 2:
            full.set()

    listen(monkeypatch, heard)
    await oms.enqueue_many("q", range(40))
    one = AsyncWorker(queue="q", handler=holds, url=oms.url, concurrency=SLOTS)
    with anyio.fail_after(PATIENCE_S):
        async with running(one):
            await full.wait()
            one.stop()
            await stats_when(oms, lambda stats: stats.in_progress <= SLOTS)
            left = await waiting(oms)
            go_on.set()

    assert left == sorted(set(range(40)) - begun)
    assert (await oms.stats("q")).waiting == len(left)
    tasks = (await oms.list_tasks("q", TaskState.WAITING)).tasks
    assert {(task.attempt, task.crashes) for task in tasks} == {(0, 0)}


async def test_what_is_at_hand_for_too_long_goes_to_others(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "_LONGEST_AT_HAND_S", 0.1)
    monkeypatch.setattr(feed, "_NEWS_EVERY_S", 0.1)
    monkeypatch.setattr(shutdown, "CANCEL_GRACE_S", 0.1)
    go_on = anyio.Event()

    async def stuck(task: Task[Any]) -> None:
        if task.payload > SLOTS:
            await go_on.wait()

    async def quick(_task: Task[Any]) -> str:
        return "by another"

    await oms.enqueue_many("q", range(20))
    with anyio.fail_after(PATIENCE_S):
        async with worker(oms.url, stuck, concurrency=SLOTS):
            await stats_when(oms, lambda stats: stats.in_progress >= SLOTS)
            async with worker(oms.url, quick, concurrency=SLOTS):
                await stats_when(oms, lambda stats: stats.done >= 20 - SLOTS)
            go_on.set()

    stats = await oms.stats("q")
    assert stats.balanced
    assert stats.waiting == 0


async def test_nothing_is_put_by_for_one_queue_while_another_waits_for_slots(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await oms.create_queue("other")
    ahead = list[int]()

    async def exchange(self: Store, queue: str, **options: Any) -> Exchanged | None:
        ahead.append(options["ahead"])
        return await original(self, queue, **options)

    original = Store.exchange

    @handler(queue="q")
    async def one(_task: Task[Any]) -> None:
        return None

    @handler(queue="other")
    async def two(_task: Task[Any]) -> None:
        await anyio.sleep(0.001)

    for queue in ("q", "other"):
        await oms.enqueue_many(queue, range(100))
    monkeypatch.setattr(Store, "exchange", exchange)
    with anyio.fail_after(PATIENCE_S):
        await AsyncWorker(handlers=[one, two], concurrency=SLOTS, url=oms.url).run(burst=True)

    both_had_work = ahead[: len(ahead) // 4]
    assert set(both_had_work) == {0}
