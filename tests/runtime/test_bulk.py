"""Acts on many tasks, purging and removing."""

from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from hms_async import AsyncOMSClient, Task
from hms_async.domain.audit import Actor
from hms_async.errors import (
    ConfigInvalid,
    OperationEnded,
    OperationNotFound,
    OperationTimeout,
    QueueNotEmpty,
    QueueNotFound,
)
from hms_async.runtime.operations import carry_on, run_operations
from hms_async.storage.store import Store
from tests.runtime.support import burst

ANN = Actor("ann", "cli")


@pytest.fixture
async def oms(oms: AsyncOMSClient) -> AsyncOMSClient:
    await oms.create_queue("q", sla="1h", lease="3s")
    return oms


async def fail_some(oms: AsyncOMSClient, kinds: Sequence[type[Exception]]) -> None:
    """Let tasks fail for good, each with an error of its own kind."""

    async def handle(task: Task[Any]) -> None:
        await task.fail(f"{kinds[task.payload].__name__} of task {task.payload}")

    await oms.enqueue_many("q", list(range(len(kinds))))
    await burst(oms.url, handle)


async def test_failed_tasks_are_requeued_in_the_background(oms: AsyncOMSClient) -> None:
    await fail_some(oms, [OSError] * 150)
    dry = await oms.operations.start("requeue", "q", dry_run=True)
    assert (dry.id, dry.matched, dry.by_state) == ("", 150, {"failed": 150})
    assert (await oms.stats("q")).failed == 150

    begun = await oms.operations.start("requeue", "q", rate=10_000, reason="mended", by=ANN)
    ended = await oms.operations.wait(begun.id, "20s")

    assert (ended.state, ended.done, ended.refused) == ("done", 150, 0)
    assert (ended.by.who, ended.by.reason) == ("ann", "mended")
    stats = await oms.stats("q")
    assert (stats.failed, stats.waiting, stats.balanced) == (0, 150, True)
    assert [one.id for one in await oms.operations.list()] == [begun.id]
    # One entry says what was wanted of all; one for each would push out everything else.
    acts = [(one.act, one.reason) for one in (await oms.audit()).entries]
    assert acts[:2] == [("operation.end", ""), ("operation.start", "mended")]


async def test_only_what_matches_is_acted_on(oms: AsyncOMSClient) -> None:
    await fail_some(oms, [OSError, ValueError, OSError, KeyError])
    begun = await oms.operations.start("requeue", "q", where={"error": "oserror"})
    ended = await oms.operations.wait(begun.id, "20s")

    assert (ended.done, (await oms.stats("q")).failed) == (2, 2)
    assert ended.where.error == "oserror"


async def test_what_comes_later_is_left_alone(oms: AsyncOMSClient) -> None:
    await oms.enqueue_many("q", list(range(10)))
    begun = await oms.operations.start("cancel", "q")
    async with Store(oms.url) as store:
        now = (await oms.stats("q")).now_ms
        while (await oms.stats("q")).now_ms <= now:  # noqa: ASYNC110  # the server's clock
            await anyio.sleep(0.001)
        await oms.enqueue("q", "later")
        while await carry_on(store, begun.id):
            pass
    ended = await oms.operations.wait(begun.id, "20s")
    stats = await oms.stats("q")
    assert (ended.done, stats.cancelled, stats.waiting) == (10, 10, 1)


async def test_bump_and_waive(oms: AsyncOMSClient) -> None:
    ids = [one.id for one in await oms.enqueue_many("q", list(range(5)))]
    bump = await oms.operations.start("bump", "q", where={"ids": ids[3:]})
    assert (await oms.operations.wait(bump.id, "20s")).done == 2
    page = await oms.list_tasks("q", "waiting")
    assert [one.id for one in page.tasks] == [*ids[3:], *ids[:3]]

    waive = await oms.operations.start("waive", "q", reason="no clocks")
    assert (await oms.operations.wait(waive.id, "20s")).done == 5
    assert (await oms.get_task(ids[0])).due_ms is None


async def test_a_purge_leaves_what_workers_hold(oms: AsyncOMSClient) -> None:
    await oms.enqueue_many("q", list(range(250)))
    await oms.enqueue("q", "later", delay="1h")
    held = await oms.pop_task("q")
    assert held is not None

    begun = await oms.purge("q", reason="test data")
    ended = await oms.operations.wait(begun.id, "20s")

    stats = await oms.stats("q")
    assert (ended.done, stats.cancelled, stats.in_progress, stats.open) == (250, 250, 1, 1)
    await held.complete()
    assert (await oms.stats("q")).balanced


async def test_workers_go_on_meanwhile(oms: AsyncOMSClient) -> None:
    async def handle(_: Task[Any]) -> None:
        await anyio.lowlevel.checkpoint()

    await oms.enqueue_many("q", list(range(600)))
    begun = await oms.operations.start("cancel", "q", rate=10_000)
    async with anyio.create_task_group() as group:
        group.start_soon(burst, oms.url, handle)
        ended = await oms.operations.wait(begun.id, "30s")
    stats = await oms.stats("q")
    assert ended.state == "done"
    assert (stats.done + stats.cancelled, stats.open, stats.balanced) == (600, 0, True)
    # Of some the holder was asked, and was done with it first.
    assert ended.done >= stats.cancelled


async def test_one_process_at_a_time_works_on_it_and_another_goes_on(oms: AsyncOMSClient) -> None:
    await oms.enqueue_many("q", list(range(400)))
    begun = await oms.operations.start("cancel", "q", rate=10_000)
    async with Store(oms.url) as one, Store(oms.url) as two:
        for moment in range(15):
            with anyio.move_on_after(moment / 300):
                await carry_on(one, begun.id)
        async with anyio.create_task_group() as group:
            group.start_soon(run_operations, one)
            group.start_soon(run_operations, two)
            ended = await oms.operations.wait(begun.id, "40s")
            group.cancel_scope.cancel()
    stats = await oms.stats("q")
    assert (ended.state, ended.done, ended.refused) == ("done", 400, 0)
    assert (stats.cancelled, stats.open, stats.balanced) == (400, 0, True)


async def test_it_is_stopped(oms: AsyncOMSClient) -> None:
    await oms.enqueue_many("q", list(range(50)))
    begun = await oms.operations.start("cancel", "q", rate=1)
    await oms.operations.stop(begun.id, reason="wrong queue")
    ended = await oms.operations.wait(begun.id, "20s")

    assert ended.state == "stopped"
    assert (await oms.stats("q")).waiting >= 49
    with pytest.raises(OperationEnded):
        await oms.operations.stop(begun.id)


async def test_a_queue_is_removed(oms: AsyncOMSClient) -> None:
    await fail_some(oms, [OSError] * 30)
    await oms.enqueue("q", 1)
    with pytest.raises(QueueNotEmpty, match="waiting"):
        await oms.delete_queue("q")
    await oms.purge("q")
    begun = await oms.purge("q")
    await oms.operations.wait(begun.id, "20s")

    removed = await oms.delete_queue("q", reason="over", by=ANN)
    ended = await oms.operations.wait(removed.id, "20s")

    assert ended.state == "done"
    assert await oms.list_queues() == []
    async with Store(oms.url) as store:
        left = [key async for key in store._redis.scan_iter("*q*")]
    # The audit stays, and records of lanes end by themselves.
    left = [key for key in left if key.startswith((b"queue:q", b"task:")) and b":lane:" not in key]
    assert left == [b"queue:q:audit"]
    with pytest.raises(QueueNotFound):
        await oms.enqueue("q", 1)
    acts = [(one.act, one.who, one.queue) for one in (await oms.audit()).entries]
    assert ("operation.start", "ann", None) in acts


async def test_a_queue_is_removed_by_force_and_says_what_it_drops(oms: AsyncOMSClient) -> None:
    await oms.enqueue_many("q", list(range(20)))
    removed = await oms.delete_queue("q", force=True, reason="over")
    ended = await oms.operations.wait(removed.id, "20s")
    assert (ended.state, ended.done) == ("done", 20)
    assert await oms.list_queues() == []


async def test_what_makes_no_sense_is_refused(oms: AsyncOMSClient) -> None:
    for said in (
        {"act": "explode"},
        {"act": "remove"},
        {"act": "requeue", "where": {"states": ["done"]}},
        {"act": "cancel", "where": {"colour": "red"}},
        {"act": "cancel", "where": {"states": ["asleep"]}},
        {"act": "cancel", "rate": 0},
    ):
        with pytest.raises(ConfigInvalid):
            await oms.operations.start(queue="q", **said)
    with pytest.raises(QueueNotFound):
        await oms.operations.start("cancel", "nowhere")
    with pytest.raises(OperationNotFound):
        await oms.operations.get("unknown")
    begun = await oms.operations.start("cancel", "q", rate=1)
    assert begun.matched == 0
    await oms.enqueue_many("q", [1, 2, 3])
    slow = await oms.operations.start("cancel", "q", rate=1)
    with pytest.raises(OperationTimeout):
        await oms.operations.wait(slow.id, "50ms")
