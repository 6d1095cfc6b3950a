"""The slots that are lent to the bell: its claim is cut short, and loses nothing (R2, R13)."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from hms_async import (
    AsyncOMSClient,
    AsyncWorker,
    QueueNotFound,
    StoreError,
    StoreProtocol,
    StoreUnavailable,
    Task,
    TaskState,
)
from hms_async.runtime import bell, feed, listener
from hms_async.storage.replies import Exchanged
from hms_async.storage.store import Store
from tests.runtime.support import PATIENCE_S, Ears, burst, waiting, worker
from tests.servers import Raw


@pytest.fixture(autouse=True)
async def _queue(oms: AsyncOMSClient) -> None:
    await oms.create_queue("q")


class Wire:
    """What comes back from the bell: noted, and dealt with as a test wants.

    Attributes:
        brought: Payloads of the claims that the bell has brought.
        claimed: Set when it has claimed.
        deal: Called with each such answer; what it raises is heard instead.
        cuts: How many of the calls that are made elsewhere meet a connection that is lost.
    """

    def __init__(self) -> None:
        self.brought: list[bytes] = []
        self.claimed = anyio.Event()
        self.deal: Callable[[], Any] | None = None
        self.cuts = 0

    async def answer(self, reply: Exchanged | None) -> None:
        if reply is None or not reply.claims:
            return
        self.brought += [claim.body for claim in reply.claims]
        self.claimed.set()
        deal, self.deal = self.deal, None
        if deal is not None:
            await deal()


@pytest.fixture
def wire(ears: Ears, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Stands between the store and a worker that waits at the bell."""
    del ears  # its wait goes through here
    wire, original = Wire(), Store.exchange

    async def exchange(self: Store, queue: str, **options: Any) -> Exchanged | None:
        if options["at_bell_s"] is None and wire.cuts:
            wire.cuts -= 1
            raise StoreUnavailable("the connection is lost")
        reply = await original(self, queue, **options)
        if options["at_bell_s"] is not None:
            await wire.answer(reply)
        return reply

    monkeypatch.setattr(Store, "exchange", exchange)
    return wire


class Echo:
    """A handler that counts its runs."""

    def __init__(self) -> None:
        self.runs: list[object] = []

    async def handle(self, task: Task[Any]) -> object:
        self.runs.append(task.payload)
        return task.payload


@asynccontextmanager
async def listening(
    oms: AsyncOMSClient, ears: Ears, echo: Echo, **options: Any
) -> AsyncGenerator[AsyncWorker]:
    """A worker that waits at the bell; no sweep helps it."""
    async with worker(oms.url, echo.handle, supervise=False, **options) as one:
        await ears.wait_for("q")
        yield one


async def test_what_rings_comes_with_the_bell(oms: AsyncOMSClient, ears: Ears, wire: Wire) -> None:
    echo = Echo()
    async with listening(oms, ears, echo):
        for number in range(3):
            one = await oms.enqueue("q", number)
            assert await oms.result(one.id, timeout=PATIENCE_S) == number
            await ears.wait_for("q")
    assert len(wire.brought) == 3


async def test_a_claim_that_is_given_up_while_connections_are_lost_is_asked_for_all_the_same(
    oms: AsyncOMSClient, ears: Ears, wire: Wire
) -> None:
    echo = Echo()

    async def never() -> None:
        wire.cuts = 2
        await anyio.sleep_forever()

    wire.deal = never
    async with listening(oms, ears, echo) as one:
        task = await oms.enqueue("q", 1)
        with anyio.fail_after(PATIENCE_S):
            await wire.claimed.wait()
        one.stop()

    assert wire.cuts == 0
    record = await oms.get_task(task.id)
    assert (record.state, record.crashes) in ((TaskState.WAITING, 0), (TaskState.DONE, 0))


async def test_a_claim_that_is_given_up_is_asked_for_however_long_the_server_stays_away(
    oms: AsyncOMSClient, ears: Ears, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "WAIT_S", 0.1)
    monkeypatch.setattr(listener, "MARGIN_S", 0.1)
    monkeypatch.setattr(listener, "LEAVE_AFTER_S", 0.01)
    echo = Echo()

    async def never() -> None:
        wire.cuts = 6
        await anyio.sleep_forever()

    wire.deal = never
    async with listening(oms, ears, echo):
        task = await oms.enqueue("q", 1)
        # Nobody would rescue it.
        assert await oms.result(task.id, timeout=PATIENCE_S) == 1
    assert (wire.cuts, (await oms.get_task(task.id)).crashes) == (0, 0)


async def test_a_burst_does_not_end_before_it_knows_what_its_bell_has_claimed(
    oms: AsyncOMSClient, ears: Ears, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, claimed, settled = Store.exchange, anyio.Event(), anyio.Event()

    async def exchange(self: Store, queue: str, **options: Any) -> Exchanged | None:
        reply = await original(self, queue, **options)
        if options["at_bell_s"] is not None and reply is not None and reply.claims:
            claimed.set()
            await anyio.sleep_forever()  # it is given up when its slots are needed
        if reply is not None and reply.verdict == "replayed":
            await settled.wait()
            await anyio.wait_all_tasks_blocked()
        if options["settles"]:
            settled.set()
        return reply

    async def handle(task: Task[Any]) -> None:
        if task.payload == "chain":
            await ears.wait_for("q")
            await oms.enqueue("q", "link")
            await claimed.wait()

    monkeypatch.setattr(Store, "exchange", exchange)
    await oms.enqueue("q", "chain")
    await burst(oms.url, handle, supervise=False)
    assert (await oms.stats("q")).done == 2


async def test_the_bell_brings_a_few_and_the_loop_fetches_the_others(
    oms: AsyncOMSClient, ears: Ears, wire: Wire
) -> None:
    echo = Echo()
    async with listening(oms, ears, echo, concurrency=4):
        for one in await oms.enqueue_many("q", list(range(5))):
            await oms.result(one.id, timeout=PATIENCE_S)
    assert (len(wire.brought), sorted(echo.runs, key=str)) == (3, [0, 1, 2, 3, 4])


async def test_nothing_is_lent_while_a_call_under_way_may_bring_what_rings(
    oms: AsyncOMSClient, ears: Ears, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, settling, answered = Store.exchange, anyio.Event(), anyio.Event()

    async def exchange(self: Store, queue: str, **options: Any) -> Exchanged | None:
        if options["settles"]:
            settling.set()
            await answered.wait()
        return await original(self, queue, **options)

    echo = Echo()
    async with listening(oms, ears, echo):
        monkeypatch.setattr(Store, "exchange", exchange)
        await oms.enqueue("q", 1)
        await settling.wait()
        await anyio.wait_all_tasks_blocked()
        assert ears.heard == []
        answered.set()
        await ears.wait_for("q")


async def test_the_last_slot_is_not_lent(oms: AsyncOMSClient, ears: Ears, wire: Wire) -> None:
    echo = Echo()
    async with listening(oms, ears, echo, concurrency=1):
        one = await oms.enqueue("q", 1)
        await oms.result(one.id, timeout=PATIENCE_S)
    assert (wire.brought, echo.runs) == ([], [1])


async def test_what_is_due_gets_the_slot_that_is_lent_when_it_is_the_last(
    oms: AsyncOMSClient, ears: Ears, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "_NEWS_EVERY_S", 3_600.0)
    gate, begun = anyio.Event(), anyio.Event()

    async def handle(task: Task[Any]) -> object:
        if task.payload == "holds on":
            begun.set()
            await gate.wait()
        return task.payload

    async with worker(oms.url, handle, supervise=False, concurrency=2):
        await ears.wait_for("q")
        # Due tasks come through the loop: nobody rings for them.
        await oms.enqueue("q", "holds on", delay=0.05)
        later = await oms.enqueue("q", "later", delay=0.1)
        with anyio.fail_after(PATIENCE_S):
            await begun.wait()
        assert await oms.result(later.id, timeout=PATIENCE_S) == "later"
        gate.set()


async def fail_with(error: StoreError | QueueNotFound) -> None:
    raise error


@pytest.mark.parametrize(
    "error", [StoreUnavailable("cut off"), StoreProtocol("unreadable"), QueueNotFound("q")]
)
async def test_r2_a_claim_whose_answer_is_lost_is_asked_for_again(
    oms: AsyncOMSClient, ears: Ears, wire: Wire, error: StoreError | QueueNotFound
) -> None:
    echo = Echo()
    wire.deal = lambda: fail_with(error)
    async with listening(oms, ears, echo):
        enqueued = await oms.enqueue("q", 1)
        await oms.result(enqueued.id, timeout=PATIENCE_S)
        record = await oms.get_task(enqueued.id)
        await ears.wait_for("q")  # it has not become deaf
        again = await oms.enqueue("q", 2)
        await oms.result(again.id, timeout=PATIENCE_S)

    assert (len(wire.brought), echo.runs) == (2, [1, 2])
    assert (record.state, record.attempt, record.crashes) == (TaskState.DONE, 1, 0)


async def test_r2_nor_is_a_claim_lost_whose_answer_does_not_come_in_time(
    oms: AsyncOMSClient, ears: Ears, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    echo = Echo()
    wire.deal = anyio.sleep_forever
    monkeypatch.setattr(bell, "WAIT_S", 0.1)
    monkeypatch.setattr(listener, "MARGIN_S", 0.1)
    async with listening(oms, ears, echo):
        enqueued = await oms.enqueue("q", 1)
        await oms.result(enqueued.id, timeout=PATIENCE_S)

    record = await oms.get_task(enqueued.id)
    assert (record.attempt, record.crashes, echo.runs) == (1, 0, [1])


async def test_a_worker_that_stops_hands_back_what_the_bell_has_claimed(
    oms: AsyncOMSClient, ears: Ears, wire: Wire
) -> None:
    echo = Echo()
    wire.deal = anyio.sleep_forever
    async with listening(oms, ears, echo) as one:
        first, _ = await oms.enqueue_many("q", ["rings", "waits"])
        await wire.claimed.wait()
        one.stop()

    assert echo.runs == []
    assert await waiting(oms) == ["rings", "waits"]
    record = await oms.get_task(first.id)
    assert (record.attempt, record.crashes) == (0, 0)


async def test_so_does_one_that_is_cancelled(oms: AsyncOMSClient, ears: Ears, wire: Wire) -> None:
    echo = Echo()
    wire.deal = anyio.sleep_forever
    one = AsyncWorker(queue="q", handler=echo.handle, url=oms.url, supervise=False)
    async with anyio.create_task_group() as group:
        await group.start(one.run)
        await ears.wait_for("q")
        await oms.enqueue("q", "rings")
        await wire.claimed.wait()
        group.cancel_scope.cancel()

    assert (echo.runs, await waiting(oms)) == ([], ["rings"])


@pytest.mark.parametrize("times", [1, 2])
async def test_a_worker_that_stops_claims_nothing_more_at_the_bell(
    oms: AsyncOMSClient, ears: Ears, wire: Wire, times: int
) -> None:
    gate, begun = anyio.Event(), anyio.Event()

    async def holds_on(_task: Task[Any]) -> None:
        begun.set()
        with anyio.CancelScope(shield=True):
            await gate.wait()

    async with worker(oms.url, holds_on, supervise=False) as one:
        await oms.enqueue("q", "held")
        await begun.wait()
        await ears.wait_for("q")
        for _ in range(times):
            one.stop()
        before = len(wire.brought)
        await anyio.wait_all_tasks_blocked()
        late = await oms.enqueue("q", "late")
        gate.set()

    assert len(wire.brought) == before
    record = await oms.get_task(late.id)
    assert (record.state, record.attempt) == (TaskState.WAITING, 0)


@pytest.mark.parametrize("store_url", ["valkey"], indirect=True)
async def test_a_worker_whose_wait_is_cut_off_waits_again(
    oms: AsyncOMSClient, raw: Raw, ears: Ears
) -> None:
    echo = Echo()
    async with listening(oms, ears, echo):
        raw("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await ears.wait_for("q")
        enqueued = await oms.enqueue("q", 1)
        await oms.result(enqueued.id, timeout=PATIENCE_S)
    assert echo.runs == [1]
