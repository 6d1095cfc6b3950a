"""Cancelling tasks that run (R17)."""

import threading
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from hms_async import AsyncOMSClient, AsyncWorker, CancelRequested, Task, TaskFailed, TaskState
from tests.runtime.support import PATIENCE_S, QUICK, worker


@pytest.fixture(autouse=True)
async def _queue(oms: AsyncOMSClient) -> None:
    await oms.create_queue("q", retry=QUICK)


class Begun:
    """Tells when a handler has begun, and what became of it."""

    def __init__(self) -> None:
        self.event = anyio.Event()
        self.interrupted = False

    async def endless(self, _task: Task[Any]) -> None:
        self.event.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.interrupted = True

    async def wait(self) -> None:
        with anyio.fail_after(PATIENCE_S):
            await self.event.wait()


async def test_a_running_task_is_cancelled_where_it_runs(oms: AsyncOMSClient) -> None:
    begun = Begun()
    enqueued = await oms.enqueue("q", 1)
    with capture_logs() as logs:
        async with worker(oms.url, begun.endless):
            await begun.wait()
            assert await oms.cancel(enqueued.id) is False
            with pytest.raises(TaskFailed, match="is cancelled"):
                await oms.result(enqueued.id, timeout=PATIENCE_S)

    assert begun.interrupted
    record = await oms.get_task(enqueued.id)
    assert (record.state, record.attempt) == (TaskState.CANCELLED, 1)
    assert record.cancel_asked_ms is not None
    told = [one for one in logs if one["event"] in ("task.cancelling", "task.finished")]
    assert [(one["event"], one.get("outcome")) for one in told] == [
        ("task.cancelling", None),
        ("task.finished", "cancelled"),
    ]
    assert (await oms.stats("q")).balanced


async def test_a_handler_that_completes_all_the_same_has_the_last_word(oms: AsyncOMSClient) -> None:
    begun = Begun()

    async def handle(task: Task[Any]) -> str:
        try:
            await begun.endless(task)
        except anyio.get_cancelled_exc_class():
            assert task.cancel_asked
            with pytest.raises(CancelRequested):
                await task.heartbeat()
            await task.complete("all but done")
            raise
        return "never"

    enqueued = await oms.enqueue("q", 1)
    async with worker(oms.url, handle):
        await begun.wait()
        await oms.cancel(enqueued.id)
        assert await oms.result(enqueued.id, timeout=PATIENCE_S) == "all but done"


async def test_a_plain_function_may_look_whether_it_is_still_wanted(oms: AsyncOMSClient) -> None:
    begun = threading.Event()

    def handle(task: Task[Any]) -> None:
        begun.set()
        for _ in range(1_000):
            if task.cancel_asked:
                task.retry(delay="1h")
                return
            threading.Event().wait(0.01)

    enqueued = await oms.enqueue("q", 1)
    async with worker(oms.url, handle):
        assert await anyio.to_thread.run_sync(begun.wait, PATIENCE_S)
        await oms.cancel(enqueued.id)
        with pytest.raises(TaskFailed, match="is cancelled"):
            await oms.result(enqueued.id, timeout=PATIENCE_S)


async def test_a_worker_that_stops_still_hears_of_it(oms: AsyncOMSClient) -> None:
    begun = Begun()
    enqueued = await oms.enqueue("q", 1)
    one = AsyncWorker(queue="q", handler=begun.endless, url=oms.url, shutdown_timeout="1m")
    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as group:
            group.start_soon(one.run)
            await begun.wait()
            one.stop()
            await oms.cancel(enqueued.id)

    assert (await oms.get_task(enqueued.id)).state is TaskState.CANCELLED
    assert one.handed_back == 0


async def test_who_holds_a_popped_task_hears_of_it_with_its_heartbeat(oms: AsyncOMSClient) -> None:
    await oms.enqueue("q", 1)
    task = await oms.pop_task("q", timeout=PATIENCE_S)
    assert task is not None
    await oms.cancel(task.id)

    with pytest.raises(CancelRequested, match="is to be cancelled"):
        await task.heartbeat()
    assert task.cancel_asked
    await task.retry(delay="1h")

    assert (await oms.get_task(task.id)).state is TaskState.CANCELLED
