"""Who listens (R13): no sweep runs here, and the bell waits for an hour."""

from typing import Any

import anyio

from hms_async import AsyncOMSClient, AsyncWorker, Task, TaskState, handler
from hms_async.runtime.bell import Bell
from hms_async.storage.store import Store
from hms_async.testing import running
from tests.runtime.support import PATIENCE_S, Ears, worker
from tests.servers import Raw


async def echo(task: Task[Any]) -> object:
    return task.payload


async def test_a_queue_at_its_limit_is_not_listened_to(oms: AsyncOMSClient, ears: Ears) -> None:
    gate = anyio.Event()

    @handler(queue="full", concurrency=1)
    async def full(_task: Task[Any]) -> None:
        await gate.wait()

    @handler(queue="open")
    async def other(_task: Task[Any]) -> None: ...

    for queue in ("full", "open"):
        await oms.create_queue(queue)
    one = AsyncWorker(handlers=[full, other], url=oms.url, supervise=False)
    async with running(one):
        await ears.wait_for("full", "open")
        await oms.enqueue("full", 1)
        await ears.wait_for("open")
        gate.set()
        await ears.wait_for("full", "open")


async def test_a_worker_without_a_free_slot_listens_to_nothing(
    oms: AsyncOMSClient, ears: Ears
) -> None:
    gate, begun = anyio.Event(), anyio.Event()

    async def handle(_task: Task[Any]) -> None:
        begun.set()
        await gate.wait()

    await oms.create_queue("q")
    async with worker(oms.url, handle, supervise=False, concurrency=1):
        await ears.wait_for("q")
        await oms.enqueue_many("q", [1, 2])
        await begun.wait()
        await anyio.wait_all_tasks_blocked()
        assert ears.heard == []
        gate.set()
        await ears.wait_for("q")


async def test_a_paused_queue_is_not_listened_to(oms: AsyncOMSClient, ears: Ears) -> None:
    @handler(queue="paused")
    async def paused(_task: Task[Any]) -> None: ...

    @handler(queue="open")
    async def other(_task: Task[Any]) -> None: ...

    for queue in ("paused", "open"):
        await oms.create_queue(queue)
    await oms.pause("paused")
    async with running(AsyncWorker(handlers=[paused, other], url=oms.url, supervise=False)):
        await ears.wait_for("open")
        await oms.resume("paused")
        await ears.wait_for("open", "paused")


async def test_what_is_due_soon_when_a_worker_of_two_queues_starts_needs_no_bell(
    oms: AsyncOMSClient, ears: Ears
) -> None:
    del ears

    @handler(queue="soon")
    async def soon(task: Task[Any]) -> object:
        return task.payload

    @handler(queue="other")
    async def other(_task: Task[Any]) -> None: ...

    for queue in ("soon", "other"):
        await oms.create_queue(queue)
    enqueued = await oms.enqueue("soon", "done", delay=0.3)
    async with running(AsyncWorker(handlers=[soon, other], url=oms.url, supervise=False)):
        assert await oms.result(enqueued.id, timeout=PATIENCE_S) == "done"


async def test_a_token_that_is_of_no_use_is_rung_back(
    oms: AsyncOMSClient, raw: Raw, ears: Ears
) -> None:
    del ears
    await oms.create_queue("q")
    rung: list[str | None] = []

    def refuse(queue: str | None) -> bool:
        rung.append(queue)
        return False

    async with Store(oms.url) as store, anyio.create_task_group() as group:
        one = Bell(store, refuse)
        group.start_soon(one.run)
        one.listen(["q"])
        await anyio.wait_all_tasks_blocked()
        await store.ring("q")
        with anyio.fail_after(PATIENCE_S):
            while not rung or not raw("LLEN", "queue:q:bell"):
                await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()

    assert rung == ["q"]


async def test_a_draining_worker_leaves_the_token_to_others(
    oms: AsyncOMSClient, ears: Ears
) -> None:
    gate, begun = anyio.Event(), anyio.Event()

    async def holds_on(_task: Task[Any]) -> None:
        begun.set()
        await gate.wait()

    await oms.create_queue("q")
    async with worker(oms.url, holds_on, supervise=False, name="leaving") as leaving:
        await ears.wait_for("q")
        await oms.enqueue("q", "held")
        await begun.wait()
        await ears.wait_for("q")
        async with worker(oms.url, echo, supervise=False, name="staying"):
            await ears.wait_for("q")
            leaving.stop()
            enqueued = await oms.enqueue("q", "for another")
            await oms.result(enqueued.id, timeout=PATIENCE_S)
            assert (await oms.get_task(enqueued.id)).worker == "staying"
            gate.set()

    assert (await oms.list_tasks("q", TaskState.WAITING)).tasks == []
