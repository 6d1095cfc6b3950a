"""Several queues on one worker: the earliest deadline first (R22)."""

import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from hms_async import AsyncOMSClient, AsyncWorker, Task, handler
from hms_async.runtime import listener
from hms_async.storage.store import Store
from hms_async.testing import ManualClock, running
from tests.runtime.support import PATIENCE_S


class Desk:
    """Does the tasks of three queues, and notes in which order."""

    def __init__(self) -> None:
        self.done: list[tuple[str, Any]] = []
        self.news = anyio.Event()

    async def handle(self, task: Task[Any]) -> None:
        self.done.append((task.queue, task.payload))
        self.news.set()
        self.news = anyio.Event()

    def worker(self, url: str, *queues: str, concurrency: int = 1) -> AsyncWorker:
        async def handle(task: Task[Any]) -> None:
            await self.handle(task)

        handlers = [handler(queue=queue)(_copy(handle)) for queue in queues]
        return AsyncWorker(handlers=handlers, url=url, concurrency=concurrency, supervise=False)

    async def until(self, number: int) -> list[str]:
        with anyio.fail_after(PATIENCE_S):
            while len(self.done) < number:
                await self.news.wait()
        return [queue for queue, _ in self.done]


def _copy(function: Any) -> Any:
    async def handle(task: Task[Any]) -> None:
        await function(task)

    return handle


@pytest.fixture
async def past(store_url: str) -> AsyncIterator[AsyncOMSClient]:
    """A client whose tasks arrived an hour ago."""
    async with AsyncOMSClient(store_url) as oms:
        await oms.create_queue("any")
        now_ms = (await oms.stats("any")).now_ms
    clock = ManualClock(now_ms - 3_600_000)
    async with Store(store_url, clock=clock) as store, AsyncOMSClient(store=store) as oms:
        yield oms


async def test_a_tight_promise_is_kept_beside_a_long_backlog(store_url: str) -> None:
    desk = Desk()
    async with AsyncOMSClient(store_url) as oms:
        await oms.create_queue("slow", sla="24h")
        await oms.create_queue("tight", sla="15m")
        await oms.enqueue_many("slow", range(300))
        await oms.enqueue_many("tight", range(20))
        async with running(desk.worker(store_url, "slow", "tight")):
            order = await desk.until(320)

    first = order[:24]
    # One claim in ten goes by age, and the backlog is older.
    assert first.count("tight") >= 20
    assert order[-1] == "slow"


async def test_what_arrives_later_with_a_tighter_promise_goes_first(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "LOOK_EVERY_S", 0.01)
    desk = Desk()
    async with AsyncOMSClient(store_url) as oms:
        await oms.create_queue("slow", sla="24h")
        await oms.create_queue("tight", sla="15m")
        await oms.enqueue_many("slow", range(3_000))
        async with running(desk.worker(store_url, "slow", "tight")):
            await desk.until(20)
            await oms.enqueue_many("tight", range(10))
            with anyio.fail_after(PATIENCE_S):
                while [queue for queue, _ in desk.done].count("tight") < 10:
                    await desk.news.wait()

    assert desk.done[-1][0] == "tight"
    # While the bells were not looked at, and one claim in ten.
    assert len(desk.done) < 3_000


async def test_a_promise_of_a_second_is_heard_of_in_time_while_another_queue_keeps_the_worker_busy(
    store_url: str,
) -> None:
    waited: list[float] = []

    @handler(queue="slow")
    async def work(_: Task[Any]) -> None:
        await anyio.sleep(0.01)

    @handler(queue="tight")
    async def note(task: Task[Any]) -> None:
        waited.append(time.monotonic() - task.payload)

    async with AsyncOMSClient(store_url) as oms:
        await oms.create_queue("slow", sla="24h")
        await oms.create_queue("tight", sla="1s")
        await oms.enqueue_many("slow", range(3_000))
        worker = AsyncWorker(handlers=[work, note], url=store_url, concurrency=2, supervise=False)
        async with running(worker):
            for number in range(1, 4):
                await anyio.sleep(0.1)
                await oms.enqueue("tight", time.monotonic())
                with anyio.fail_after(PATIENCE_S):
                    while len(waited) < number:  # noqa: ASYNC110  # the handler says no more
                        await anyio.sleep(0.01)
        assert (await oms.stats("slow")).waiting

    assert sum(waited) / len(waited) < 0.3


async def test_without_a_promise_an_hour_counts(store_url: str) -> None:
    desk = Desk()
    async with AsyncOMSClient(store_url) as oms:
        await oms.create_queue("none")
        await oms.create_queue("slow", sla="24h")
        await oms.create_queue("tight", sla="15m")
        for queue in ("slow", "none", "tight"):
            await oms.enqueue_many(queue, range(5))
        async with running(desk.worker(store_url, "slow", "none", "tight")):
            order = await desk.until(15)

    # One claim in ten goes by age.
    assert order[:6].count("tight") == 5
    assert order[:11].count("none") >= 4
    assert order[-1] == "slow"


@pytest.mark.parametrize(("late", "first"), [("after_others", "fresh"), ("run_anyway", "late")])
async def test_a_head_that_is_late_goes_behind_what_can_be_kept_if_its_queue_says_so(
    past: AsyncOMSClient, store_url: str, late: Any, first: str
) -> None:
    desk = Desk()
    await past.create_queue("late", sla="10m", late=late)
    await past.enqueue_many("late", range(5))
    async with AsyncOMSClient(store_url) as oms:
        await oms.create_queue("fresh", sla="30m")
        await oms.enqueue_many("fresh", range(5))
        async with running(desk.worker(store_url, "late", "fresh")):
            order = await desk.until(10)

    assert order[:5] == [first] * 5


async def test_late_tasks_are_not_starved_by_those_that_can_be_kept(
    past: AsyncOMSClient, store_url: str
) -> None:
    desk = Desk()
    await past.create_queue("late", sla="10m")
    await past.enqueue_many("late", range(30))
    async with AsyncOMSClient(store_url) as oms:
        await oms.create_queue("fresh", sla="30m")
        await oms.enqueue_many("fresh", range(200))
        async with running(desk.worker(store_url, "late", "fresh")):
            order = await desk.until(230)

    assert 8 <= order[:100].count("late") <= 12
