"""How a worker ends: drained, told twice, out of time, or cancelled from outside."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from hms_async import AsyncOMSClient, AsyncWorker, RetryPolicy, Task, TaskState
from hms_async.runtime import shutdown
from hms_async.runtime.loop import ExchangeLoop
from hms_async.storage.store import Store
from hms_async.testing import ManualClock, running
from tests.runtime.support import PATIENCE_S, burst, waiting


@pytest.fixture(autouse=True)
async def _queue(oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch) -> None:
    await oms.create_queue("q", retry=RetryPolicy(max_attempts=100))
    monkeypatch.setattr(shutdown, "CANCEL_GRACE_S", 0.1)


class Gate:
    """A handler that holds on to its tasks until the gate opens."""

    def __init__(self) -> None:
        self.open = anyio.Event()
        self.begun = anyio.Event()
        self._running = 0
        self._more = anyio.Event()
        self.cancelled: list[object] = []

    async def handle(self, task: Task[Any]) -> str:
        self.begun.set()
        self._running += 1
        self._more.set()
        try:
            await self.open.wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled.append(task.payload)
            raise
        return "finished"

    async def held(self, number: int) -> None:
        """Return when it holds on to so many; they may have come by several calls."""
        while self._running < number:
            self._more = anyio.Event()
            await self._more.wait()


async def test_asked_to_stop_a_worker_finishes_what_runs_and_takes_no_more(
    oms: AsyncOMSClient,
) -> None:
    gate = Gate()
    one = AsyncWorker(queue="q", handler=gate.handle, url=oms.url, concurrency=1)
    first, second = await oms.enqueue_many("q", ["running", "waiting"])
    async with running(one):
        await gate.begun.wait()
        one.stop()
        gate.open.set()

    assert await oms.result(first.id, timeout=0) == "finished"
    assert (await oms.get_task(second.id)).state is TaskState.WAITING
    assert one.handed_back == 0


async def test_asked_twice_it_hands_back_at_once_in_order_and_without_counting(
    oms: AsyncOMSClient,
) -> None:
    gate = Gate()
    one = AsyncWorker(queue="q", handler=gate.handle, url=oms.url, concurrency=3)
    ids = [task.id for task in await oms.enqueue_many("q", list(range(5)))]
    async with running(one):
        await gate.held(3)
        one.stop()
        one.stop()

    assert one.handed_back == 3
    assert sorted(gate.cancelled, key=str) == [0, 1, 2]
    assert await waiting(oms) == [0, 1, 2, 3, 4]
    record = await oms.get_task(ids[0])
    assert (record.attempt, record.crashes, record.attempts) == (0, 0, ())


@pytest.mark.parametrize("most_a_call", [250, 2])
async def test_what_ends_one_after_the_other_goes_back_in_order_all_the_same(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch, most_a_call: int
) -> None:
    monkeypatch.setattr(shutdown, "MOST_A_CALL", most_a_call)
    gate = Gate()

    async def handle(task: Task[Any]) -> str:
        try:
            return await gate.handle(task)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.005 * task.payload)

    one = AsyncWorker(queue="q", handler=handle, url=oms.url, concurrency=5)
    # Of one instant those go back in the order of their claims only if they do so in one call.
    clock = ManualClock((await oms.stats("q")).now_ms - 10_000)
    async with Store(oms.url, clock=clock) as store, AsyncOMSClient(store=store) as early:
        for number in range(7):
            await early.enqueue("q", number)
            clock.advance(1)
    async with running(one):
        await gate.held(5)
        one.stop()
        one.stop()

    assert one.handed_back == 5
    assert await waiting(oms) == list(range(7))


async def test_out_of_time_it_hands_back(oms: AsyncOMSClient) -> None:
    gate = Gate()
    one = AsyncWorker(queue="q", handler=gate.handle, url=oms.url, shutdown_timeout=0.1)
    await oms.enqueue("q", "slow")
    async with running(one):
        await gate.begun.wait()

    assert one.handed_back == 1
    assert await waiting(oms) == ["slow"]


async def cancel_scope(one: AsyncWorker, when: anyio.Event) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(one.run)
        await when.wait()
        group.cancel_scope.cancel()


async def cancel_task(one: AsyncWorker, when: anyio.Event) -> None:
    task = asyncio.get_running_loop().create_task(one.run())
    await when.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancel_by_timeout(one: AsyncWorker, when: anyio.Event) -> None:
    async def limited() -> None:
        async with asyncio.timeout(None) as limit, anyio.create_task_group() as group:

            async def expire() -> None:
                await when.wait()
                limit.reschedule(0)

            group.start_soon(expire)
            await one.run()

    with pytest.raises(TimeoutError):
        await limited()


@pytest.mark.parametrize("cancel", [cancel_scope, cancel_task, cancel_by_timeout])
async def test_cancelled_from_outside_it_hands_back(
    oms: AsyncOMSClient, cancel: Callable[[AsyncWorker, anyio.Event], Any]
) -> None:
    gate = Gate()
    one = AsyncWorker(queue="q", handler=gate.handle, url=oms.url, name="cancelled")
    enqueued = await oms.enqueue("q", "held")
    await cancel(one, gate.begun)

    assert (one.handed_back, gate.cancelled) == (1, ["held"])
    record = await oms.get_task(enqueued.id)
    assert (record.state, record.attempt, record.crashes) == (TaskState.WAITING, 0, 0)


async def test_cancelled_at_any_moment_it_holds_nothing_afterwards(oms: AsyncOMSClient) -> None:
    """A claim may be under way, or an outcome on its way back."""

    async def handle(_task: Task[Any]) -> None:
        await anyio.lowlevel.checkpoint()

    await oms.enqueue_many("q", list(range(60)))
    for moment in range(40):
        one = AsyncWorker(queue="q", handler=handle, url=oms.url, concurrency=2)
        task = asyncio.get_running_loop().create_task(one.run())
        await asyncio.wait([task], timeout=moment / 2_000)
        task.cancel()
        await asyncio.wait([task])
        stats = await oms.stats("q")
        assert (stats.in_progress, stats.balanced) == (0, True)

    assert all(task.crashes == 0 for task in (await oms.list_tasks("q", "done")).tasks)


async def test_an_outcome_that_is_not_yet_sent_is_settled_when_cancelled(
    oms: AsyncOMSClient,
) -> None:
    enqueued = await oms.enqueue("q", 1)
    scope = anyio.CancelScope()

    async def handle(_task: Task[Any]) -> str:
        scope.cancel()
        return "done"

    one = AsyncWorker(queue="q", handler=handle, url=oms.url)
    with scope:
        await one.run()

    assert await oms.result(enqueued.id, timeout=0) == "done"
    assert one.handed_back == 0


async def test_a_cancelled_worker_closes_its_resources_in_peace(oms: AsyncOMSClient) -> None:
    story: list[str] = []

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        async with anyio.create_task_group():
            try:
                yield
            finally:
                await anyio.lowlevel.checkpoint()
                story.append("closed")

    gate = Gate()
    await oms.enqueue("q", 1)
    one = AsyncWorker(queue="q", handler=gate.handle, url=oms.url, lifespan=lifespan)
    await cancel_scope(one, gate.begun)

    assert story == ["closed"]


async def test_a_handler_that_will_not_end_is_handed_back_over_its_head(
    oms: AsyncOMSClient,
) -> None:
    gate = Gate()

    async def stubborn(task: Task[Any]) -> str:
        while not gate.open.is_set():
            try:
                await gate.handle(task)
            except anyio.get_cancelled_exc_class():
                await asyncio.sleep(0)
        return "late"

    one = AsyncWorker(queue="q", handler=stubborn, url=oms.url)
    enqueued = await oms.enqueue("q", 1)
    async with running(one):
        await gate.begun.wait()
        one.stop()
        one.stop()
        with anyio.fail_after(PATIENCE_S):
            while (await oms.get_task(enqueued.id)).state is not TaskState.WAITING:
                await anyio.lowlevel.checkpoint()
        gate.open.set()

    assert one.handed_back == 1
    record = await oms.get_task(enqueued.id)
    assert (record.state, record.attempt, record.result) == (TaskState.WAITING, 0, None)


async def test_a_task_in_a_thread_is_handed_back_last_and_may_still_finish(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(shutdown, "CANCEL_GRACE_S", PATIENCE_S)

    def handle(_task: Task[Any]) -> str:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        return "finished"

    one = AsyncWorker(queue="q", handler=handle, url=oms.url)
    enqueued = await oms.enqueue("q", 1)
    async with running(one):
        await anyio.to_thread.run_sync(begun.wait)
        one.stop()
        one.stop()
        await anyio.wait_all_tasks_blocked()
        assert (await oms.get_task(enqueued.id)).state is TaskState.IN_PROGRESS
        go_on.set()

    assert one.handed_back == 0
    assert await oms.result(enqueued.id, timeout=0) == "finished"


async def test_a_handler_that_fails_because_it_was_interrupted_is_handed_back(
    oms: AsyncOMSClient,
) -> None:
    gate = Gate()

    async def handle(task: Task[Any]) -> None:
        try:
            await gate.handle(task)
        except anyio.get_cancelled_exc_class() as error:
            raise ConnectionError("the pool is gone") from error

    one = AsyncWorker(queue="q", handler=handle, url=oms.url)
    enqueued = await oms.enqueue("q", 1)
    async with running(one):
        await gate.begun.wait()
        one.stop()
        one.stop()

    record = await oms.get_task(enqueued.id)
    assert (record.state, record.attempt, one.handed_back) == (TaskState.WAITING, 0, 1)


async def test_a_draining_worker_does_not_spin_on_what_is_due(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    sleeps: list[float] = []
    original = ExchangeLoop._sleep  # pyright: ignore[reportPrivateUsage]

    async def counted(self: ExchangeLoop) -> None:
        sleeps.append(anyio.current_time())
        await original(self)

    one = AsyncWorker(queue="q", handler=gate.handle, url=oms.url, supervise=False)
    await oms.enqueue("q", 1)
    due = await oms.enqueue("q", 2, delay=0.1)
    async with running(one):
        await gate.begun.wait()
        await anyio.wait_all_tasks_blocked()
        one.stop()
        monkeypatch.setattr(ExchangeLoop, "_sleep", counted)
        with anyio.fail_after(PATIENCE_S):
            while (await oms.stats("q")).now_ms <= (await oms.get_task(due.id)).arrived_ms + 50:
                await anyio.lowlevel.checkpoint()
        assert len(sleeps) < 10  # a few for each thing that happens, not one each millisecond
        gate.open.set()


async def test_a_worker_that_has_stopped_may_run_again(oms: AsyncOMSClient) -> None:
    async def handle(task: Task[Any]) -> object:
        return task.payload

    one = AsyncWorker(queue="q", handler=handle, url=oms.url)
    one.stop()
    for number in range(2):
        async with running(one):
            enqueued = await oms.enqueue("q", number)
            assert await oms.result(enqueued.id, timeout=PATIENCE_S) == number
    await burst(oms.url, handle)
