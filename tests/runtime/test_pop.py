"""Tasks by hand."""

import asyncio
import gc
from typing import Any

import anyio
import pytest

from hms_async import (
    AlreadySettled,
    AsyncOMSClient,
    ClientClosed,
    LeaseLost,
    NewTask,
    ResultInvalid,
    RetryPolicy,
    Task,
    TaskState,
)
from hms_async.runtime.claims import Claims
from tests.runtime.support import PATIENCE_S, QUICK, lose_leases
from tests.servers import Raw


@pytest.fixture(autouse=True)
async def _queue(oms: AsyncOMSClient) -> None:
    await oms.create_queue("q", retry=QUICK)


async def pop(oms: AsyncOMSClient) -> Task[Any]:
    task = await oms.pop_task("q", timeout=PATIENCE_S)
    assert task is not None
    return task


async def state(oms: AsyncOMSClient, task_id: str) -> TaskState:
    return (await oms.get_task(task_id)).state


async def test_a_popped_task_is_settled_by_awaiting(oms: AsyncOMSClient) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    given = [NewTask("a", traceparent=parent), "b", "c"]
    ids = [one.id for one in await oms.enqueue_many("q", given)]
    first, second, third = await pop(oms), await pop(oms), await pop(oms)
    assert (first.traceparent, second.traceparent) == (parent, None)
    settling = first.complete({"n": 1})
    assert await state(oms, first.id) is TaskState.IN_PROGRESS

    await settling
    await second.fail("no")
    await third.retry(delay="1h")

    assert [first.id, second.id, third.id] == ids
    assert [await state(oms, task_id) for task_id in ids] == ["done", "failed", "retrying"]
    assert await oms.result(first.id, timeout=0) == {"n": 1}


async def test_awaiting_an_outcome_again_changes_nothing(oms: AsyncOMSClient) -> None:
    await oms.enqueue("q", 1)
    task = await pop(oms)
    settling = task.complete(1)
    await settling
    await settling

    with pytest.raises(AlreadySettled):
        task.fail("second")
    assert await oms.result(task.id, timeout=0) == 1


async def test_no_task_in_time_is_none(oms: AsyncOMSClient) -> None:
    assert await oms.pop_task("q", timeout=0) is None
    assert await oms.pop_task("q", timeout=0.15) is None


async def test_a_waiting_pop_is_woken_by_an_enqueue(oms: AsyncOMSClient) -> None:
    popped: list[Task[Any]] = []

    async def wait() -> None:
        popped.append(await pop(oms))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await oms.enqueue("q", 1, id="mine")

    assert popped[0].id == "mine"
    await popped[0].complete()


async def test_a_waiting_pop_takes_a_task_when_it_is_due(oms: AsyncOMSClient) -> None:
    await oms.enqueue("q", 1, delay=0.3)

    with anyio.fail_after(0.95):
        task = await pop(oms)

    await task.complete()


async def test_many_pops_side_by_side_get_a_task_each(oms: AsyncOMSClient) -> None:
    ids = {one.id for one in await oms.enqueue_many("q", list(range(20)))}
    popped: list[str] = []

    async def take() -> None:
        task = await pop(oms)
        popped.append(task.id)
        await task.complete()

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(take)

    assert len(popped) == 20
    assert set(popped) == ids


async def test_an_outcome_that_nobody_awaits_is_warned_of(oms: AsyncOMSClient) -> None:
    await oms.enqueue("q", 1)
    task = await pop(oms)

    with pytest.warns(ResourceWarning, match=f"task {task.id} was never awaited"):
        task.complete(1)

    assert await state(oms, task.id) is TaskState.IN_PROGRESS


async def test_a_heartbeat_keeps_the_lease_alive(oms: AsyncOMSClient, raw: Raw) -> None:
    await oms.enqueue("q", 1)
    task = await pop(oms)
    raw("ZADD", "queue:q:inflight", "1", task.id)
    await task.heartbeat()

    assert raw.scores("queue:q:inflight")[task.id] > 1_700_000_000_000
    await task.complete()


async def test_after_a_lost_lease_nothing_is_accepted(oms: AsyncOMSClient) -> None:
    await oms.enqueue("q", 1)
    task = await pop(oms)
    settling = task.complete("late")
    await lose_leases(oms)

    with pytest.raises(LeaseLost, match="another worker has it, or it has ended"):
        await settling
    with pytest.raises(LeaseLost):
        await task.heartbeat()
    with pytest.raises(LeaseLost):
        task.fail("later still")

    again = await pop(oms)
    assert (again.id, again.attempt) == (task.id, 2)
    await again.complete("in time")
    assert await oms.result(task.id, timeout=0) == "in time"


async def test_a_result_that_cannot_be_kept_fails_the_task_when_it_is_awaited(
    oms: AsyncOMSClient,
) -> None:
    await oms.enqueue("q", 1)
    task = await pop(oms)

    with pytest.raises(ResultInvalid):
        await task.complete({1, 2})

    assert await state(oms, task.id) is TaskState.FAILED


async def test_a_cancelled_caller_loses_no_task(oms: AsyncOMSClient) -> None:
    """Cancelled at moments from before the claim until after its answer."""
    await oms.create_queue("q", retry=RetryPolicy(max_attempts=100))
    enqueued = await oms.enqueue("q", 1)
    popped: list[Task[Any]] = []

    async def take() -> None:
        popped.append(await pop(oms))

    for moment in range(40):
        with anyio.move_on_after(moment / 10_000):
            await take()
        if not popped:
            await take()
        await popped.pop().retry(delay=0)

    record = await oms.get_task(enqueued.id)
    assert (record.attempt, record.crashes) == (40, 0)


async def test_a_caller_that_is_cancelled_in_the_turn_of_the_answer_loses_no_task(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueued = await oms.enqueue("q", 1)
    claim = Claims._claim  # pyright: ignore[reportPrivateUsage]
    caller = asyncio.get_running_loop().create_task(oms.pop_task("q", timeout=PATIENCE_S))

    async def claim_and_cancel(*arguments: Any) -> None:
        await claim(*arguments)
        caller.cancel()

    monkeypatch.setattr(Claims, "_claim", claim_and_cancel)
    with pytest.raises(asyncio.CancelledError):
        await caller
    monkeypatch.undo()

    again = await pop(oms)
    assert (again.id, again.attempt) == (enqueued.id, 1)
    await again.complete()


async def test_a_client_that_is_closed_at_any_moment_holds_nothing_that_nobody_got(
    oms: AsyncOMSClient, store_url: str
) -> None:
    await oms.create_queue("q", retry=QUICK, max_crashes=100)
    await oms.enqueue("q", 1)
    for moment in range(30):
        async with AsyncOMSClient(store_url) as other:
            caller = asyncio.get_running_loop().create_task(other.pop_task("q", timeout=5))
            await asyncio.wait([caller], timeout=moment / 10_000)
        await asyncio.wait([caller])
        got_one = not isinstance(caller.exception(), ClientClosed)
        assert (await oms.stats("q")).in_progress == got_one
        if got_one:
            await lose_leases(oms)
    gc.collect()  # what was left open is told of here, and not in a test that comes later


async def test_a_task_that_cannot_be_read_is_failed_and_the_next_one_comes(
    oms: AsyncOMSClient, raw: Raw
) -> None:
    raw("RPUSH", "queue:q", "{broken")
    broken = await oms.enqueue("q", "body gone")
    raw("SET", f"task:{broken.id}", "{}")
    await oms.enqueue("q", "fine")
    task = await pop(oms)

    assert task.payload == "fine"
    assert (await oms.stats("q")).failed == 2
    await task.complete()


async def test_who_waits_when_the_client_closes_is_told(store_url: str) -> None:
    told: list[ClientClosed] = []

    async def wait(oms: AsyncOMSClient) -> None:
        with pytest.raises(ClientClosed) as error:
            await oms.pop_task("q", timeout=PATIENCE_S)
        told.append(error.value)

    async with anyio.create_task_group() as group, AsyncOMSClient(store_url) as oms:
        group.start_soon(wait, oms)
        await anyio.wait_all_tasks_blocked()

    assert "while pop_task waited" in str(told[0])


async def test_a_task_of_a_closed_client_cannot_be_settled(
    oms: AsyncOMSClient, store_url: str
) -> None:
    await oms.enqueue("q", 1)
    async with AsyncOMSClient(store_url) as other:
        task = await pop(other)

    with pytest.raises(ClientClosed):
        await task.heartbeat()
    with pytest.raises(ClientClosed):
        await task.complete()
