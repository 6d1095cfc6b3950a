from collections import Counter as Counts
from functools import partial

import anyio
import pytest

from hms_async import (
    AsyncOMSClient,
    ClientClosed,
    Enqueued,
    Event,
    NewTask,
    QueueNotFound,
    TaskState,
)
from hms_async.runtime import results
from hms_async.runtime.order import Order, to_orders
from hms_async.runtime.pop import Popper
from hms_async.runtime.task import Attempt
from hms_async.storage.events import EventReader
from tests.runtime.support import PATIENCE_S
from tests.servers import Raw


@pytest.fixture(autouse=True)
async def _queue(oms: AsyncOMSClient) -> None:
    await oms.create_queue("q")


class Counter:
    """How many scripts clients have sent since it was made."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        raw("CONFIG", "RESETSTAT")

    def scripts(self) -> int:
        stats = self._raw("INFO", "commandstats")
        none = {"calls": 0}
        return sum(stats.get(f"cmdstat_{name}", none)["calls"] for name in ("evalsha", "eval"))


@pytest.mark.parametrize("store_url", ["valkey"], indirect=True)
async def test_enqueues_of_one_turn_leave_as_one_script_call(oms: AsyncOMSClient, raw: Raw) -> None:
    await oms.enqueue("q", "first, so that the server knows the script")
    counter = Counter(raw)
    accepted: list[Enqueued] = []

    async def enqueue(number: int) -> None:
        accepted.append(await oms.enqueue("q", number))

    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(enqueue, number)

    assert counter.scripts() == 1
    assert len({one.id for one in accepted}) == 100


@pytest.mark.parametrize("store_url", ["valkey"], indirect=True)
async def test_many_go_in_slices_and_in_order(oms: AsyncOMSClient, raw: Raw) -> None:
    await oms.enqueue("q", "first")
    counter = Counter(raw)
    accepted = await oms.enqueue_many("q", list(range(1_200)))

    assert counter.scripts() == 5
    assert raw.entries("queue:q")[1:] == [one.id for one in accepted]


async def test_many_are_sent_as_they_were_when_they_were_given(oms: AsyncOMSClient) -> None:
    payloads: list[dict[str, object]] = [{"number": number} for number in range(600)]
    accepted: list[Enqueued] = []

    async def change() -> None:
        await anyio.lowlevel.checkpoint()
        for payload in payloads:
            payload["number"] = {"no JSON"}

    async with anyio.create_task_group() as group:
        group.start_soon(change)
        accepted += await oms.enqueue_many("q", payloads)

    assert payloads[-1] == {"number": {"no JSON"}}
    assert (await oms.get_task(accepted[-1].id)).payload == {"number": 599}


@pytest.mark.parametrize("store_url", ["valkey"], indirect=True)
async def test_whoever_may_not_copy_enqueues_many_all_the_same(
    oms: AsyncOMSClient, raw: Raw
) -> None:
    raw("ACL", "SETUSER", "clerk", "reset", "on", ">pass", "~*", "+@all", "-copy")
    try:
        async with AsyncOMSClient(oms.url.replace("//", "//clerk:pass@")) as clerk:
            accepted = await clerk.enqueue_many("q", [1, 2, 3])
    finally:
        raw("ACL", "DELUSER", "clerk")
    assert [(await oms.get_task(one.id)).payload for one in accepted] == [1, 2, 3]
    assert (await oms.stats("q")).waiting == 3


async def test_a_refused_task_harms_no_other_of_its_turn(oms: AsyncOMSClient) -> None:
    async def fine() -> None:
        assert (await oms.enqueue("q", 1)).created

    async def nowhere() -> None:
        with pytest.raises(QueueNotFound):
            await oms.enqueue("nowhere", 1)

    async with anyio.create_task_group() as group:
        for use in (fine, nowhere, fine, nowhere):
            group.start_soon(use)

    assert (await oms.stats("q")).waiting == 2


async def test_a_cancelled_caller_harms_no_other_of_its_turn(oms: AsyncOMSClient) -> None:
    accepted: list[Enqueued] = []

    async def enqueue() -> None:
        accepted.append(await oms.enqueue("q", "stays"))

    async def cancelled(turns: int) -> None:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(oms.enqueue, "q", "goes")
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                scope.cancel()

    async with anyio.create_task_group() as group:
        for turns in range(8):
            group.start_soon(enqueue)
            group.start_soon(cancelled, turns)

    assert all(one.created for one in accepted)
    assert len(accepted) == 8
    page = await oms.list_tasks("q", TaskState.WAITING)
    assert [task.payload for task in page.tasks].count("stays") == 8


async def test_a_client_that_is_closed_while_cancelled_leaves_nothing_open(
    store_url: str,
) -> None:
    with anyio.CancelScope() as scope:
        async with AsyncOMSClient(store_url) as oms:
            await oms.enqueue("q", 1)
            scope.cancel()
            await anyio.lowlevel.checkpoint()

    assert scope.cancelled_caught


async def test_what_reaches_a_closed_session_is_refused_and_does_not_hang(
    store_url: str,
) -> None:
    async with AsyncOMSClient(store_url) as oms:
        await oms.create_queue("q")
        await oms.enqueue("q", 1)
        task = await oms.pop_task("q", timeout=0)
        assert task is not None
        session = oms._opened()  # pyright: ignore[reportPrivateUsage]

    nothing: list[Order] = []
    with anyio.fail_after(PATIENCE_S):
        for orders in (to_orders("q", [NewTask(1)]), nothing):
            with pytest.raises(ClientClosed, match="nothing was sent"):
                await session.submitter.submit("q", orders)
        with pytest.raises(ClientClosed):
            await session.popper.pop("q", 60)
        with pytest.raises(ClientClosed):
            await task.heartbeat()
        with pytest.raises(ClientClosed):
            await task.complete(1)


async def test_a_session_that_is_closed_between_two_entries_lets_its_caller_go(
    oms: AsyncOMSClient, raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller goes on after an entry that is no envelope: the session may be gone by then."""
    session = oms._opened()  # pyright: ignore[reportPrivateUsage]
    original = Popper._settle  # pyright: ignore[reportPrivateUsage]

    async def settle(self: Popper, attempt: Attempt) -> None:
        await original(self, attempt)
        await session.close()

    monkeypatch.setattr(Popper, "_settle", settle)
    await oms.enqueue("q", 1, id="broken")
    raw("SET", "task:broken", "no envelope")

    with anyio.fail_after(PATIENCE_S), pytest.raises(ClientClosed):
        await oms.pop_task("q", timeout=60)


@pytest.mark.parametrize("store_url", ["valkey"], indirect=True)
async def test_those_who_wait_for_results_keep_their_connections(
    oms: AsyncOMSClient, raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = Counts[EventReader]()
    marks = {2: anyio.Event(), 6: anyio.Event()}
    original = EventReader.read

    async def read(self: EventReader, wait_ms: int) -> list[Event]:
        events = await original(self, wait_ms)
        reads[self] += 1
        if len(reads) == 10 and (mark := marks.get(min(reads.values()))):
            mark.set()
        return events

    def connections() -> int:
        return int(raw("INFO", "stats")["total_connections_received"])

    monkeypatch.setattr(EventReader, "read", read)
    monkeypatch.setattr(results, "_REREAD_S", 0.02)
    enqueued = await oms.enqueue_many("q", list(range(10)))
    seen: list[int] = []
    async with anyio.create_task_group() as group:
        for one in enqueued:
            group.start_soon(partial(oms.result, one.id, timeout="1h"))
        with anyio.fail_after(PATIENCE_S):
            await marks[2].wait()
            seen.append(connections())
            await marks[6].wait()
        seen.append(connections())
        group.cancel_scope.cancel()

    assert seen[0] == seen[1]
