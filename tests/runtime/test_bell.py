"""Who rings (R12): the bell waits for an hour, and a sweep runs only where it is said."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from hms_async import AsyncOMSClient, Task
from hms_async.storage.replies import Settle
from hms_async.storage.store import Store
from tests.runtime.support import PATIENCE_S, QUICK, Ears, burst, lose_leases, worker
from tests.servers import Raw


async def echo(task: Task[Any]) -> object:
    return task.payload


async def fail(task: Task[Any]) -> None:
    await task.fail("as asked")


def move_silently(raw: Raw, task_id: str) -> None:
    """Move a scheduled task into the lane as no script would: without a ring."""
    raw("HSET", f"task:{task_id}:run", "state", "waiting", "lane", "normal")
    raw("ZREM", "queue:q:scheduled", task_id)
    raw("RPUSH", "queue:q", task_id)


async def held_by_another(oms: AsyncOMSClient, store: Store) -> tuple[str, str]:
    """A task in the hands of another worker: its id and its token."""
    await oms.enqueue("q", "held")
    reply = await store.exchange("q", worker="other", incarnation="other", lane=0, seq=1, want=1)
    assert reply is not None
    return reply.claims[0].id, reply.claims[0].token


async def by_enqueue(oms: AsyncOMSClient, _raw: Raw) -> Callable[[], Awaitable[str]]:
    async def act() -> str:
        return (await oms.enqueue("q", 1)).id

    return act


async def by_enqueue_of_the_earliest(
    oms: AsyncOMSClient, _raw: Raw
) -> Callable[[], Awaitable[str]]:
    await oms.enqueue("q", "later", delay="1h")

    async def act() -> str:
        return (await oms.enqueue("q", 1, delay=0.2)).id

    return act


async def by_promotion(oms: AsyncOMSClient, _raw: Raw) -> Callable[[], Awaitable[str]]:
    task_id = (await oms.enqueue("q", 1, delay="1h")).id

    async def act() -> str:
        now_ms = (await oms.stats("q")).now_ms
        async with Store(oms.url, clock=lambda: now_ms + 3_700_000) as store:
            assert (await store.sweep("q")).promoted == 1
        return task_id

    return act


async def by_release(oms: AsyncOMSClient, _raw: Raw) -> Callable[[], Awaitable[str]]:
    async with Store(oms.url) as store:
        task_id, token = await held_by_another(oms, store)

    async def act() -> str:
        async with Store(oms.url) as store:
            settle = Settle(task_id, token, "release")
            await store.exchange(
                "q", worker="other", incarnation="other", lane=0, seq=2, settles=[settle]
            )
        return task_id

    return act


async def by_reclaim(oms: AsyncOMSClient, _raw: Raw) -> Callable[[], Awaitable[str]]:
    async with Store(oms.url) as store:
        task_id, _ = await held_by_another(oms, store)

    async def act() -> str:
        await lose_leases(oms)
        return task_id

    return act


async def by_requeue(oms: AsyncOMSClient, _raw: Raw) -> Callable[[], Awaitable[str]]:
    task_id = (await oms.enqueue("q", 1)).id
    await burst(oms.url, fail)

    async def act() -> str:
        await oms.requeue(task_id)
        return task_id

    return act


async def by_bump(oms: AsyncOMSClient, raw: Raw) -> Callable[[], Awaitable[str]]:
    task_id = (await oms.enqueue("q", 1, delay="1h")).id

    async def act() -> str:
        move_silently(raw, task_id)
        await oms.bump(task_id)
        return task_id

    return act


SOURCES = [
    by_enqueue,
    by_enqueue_of_the_earliest,
    by_promotion,
    by_release,
    by_reclaim,
    by_requeue,
    by_bump,
]


@pytest.mark.parametrize("source", SOURCES)
async def test_whatever_puts_a_task_into_a_lane_wakes_a_worker(
    oms: AsyncOMSClient,
    raw: Raw,
    ears: Ears,
    source: Callable[[AsyncOMSClient, Raw], Awaitable[Callable[[], Awaitable[str]]]],
) -> None:
    await oms.create_queue("q", retry=QUICK)
    act = await source(oms, raw)
    raw("DEL", "queue:q:bell")
    async with worker(oms.url, echo, supervise=False):
        await ears.wait_for("q")
        task_id = await act()
        await oms.result(task_id, timeout=PATIENCE_S)


async def test_resuming_a_queue_wakes_a_worker(oms: AsyncOMSClient, ears: Ears) -> None:
    await oms.create_queue("q")
    await oms.pause("q")
    enqueued = await oms.enqueue("q", 1)
    async with worker(oms.url, echo, supervise=False):
        await oms.resume("q")
        await oms.result(enqueued.id, timeout=PATIENCE_S)
        await ears.wait_for("q")


async def test_an_exchange_that_leaves_work_behind_wakes_the_next_worker(
    oms: AsyncOMSClient, raw: Raw, ears: Ears
) -> None:
    both = anyio.Event()
    busy: list[str] = []

    async def handle(task: Task[Any]) -> None:
        busy.append(task.id)
        if len(busy) == 2:
            both.set()
        await both.wait()

    await oms.create_queue("q")
    ids = [(await oms.enqueue("q", number, delay="1h")).id for number in range(2)]
    raw("DEL", "queue:q:bell")
    async with worker(oms.url, handle, supervise=False, concurrency=1, name="first"):
        await ears.wait_for("q")
        async with worker(oms.url, handle, supervise=False, concurrency=1, name="second"):
            await ears.wait_for("q")
            for task_id in ids:
                move_silently(raw, task_id)
            await oms.bump(ids[0])
            for task_id in ids:
                await oms.result(task_id, timeout=PATIENCE_S)


async def test_a_sweep_wakes_its_own_worker_for_what_nobody_rang_for(
    oms: AsyncOMSClient, raw: Raw, ears: Ears
) -> None:
    await oms.create_queue("q")
    task_id = (await oms.enqueue("q", 1, delay="1h")).id
    raw("DEL", "queue:q:bell")
    async with worker(oms.url, echo):
        await ears.wait_for("q")
        move_silently(raw, task_id)
        await oms.result(task_id, timeout=PATIENCE_S)
