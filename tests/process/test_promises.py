"""What the issue asks for in numbers, on a real server and in real time."""

from collections import Counter
from typing import Any

import anyio
import pytest

from hms_async import AsyncOMSClient, AsyncWorker, Supervisor, Task
from tests.servers import Raw

pytestmark = [pytest.mark.process, pytest.mark.timeout(90)]

# Commands that clients send and that no script calls; the calls of scripts do not count.
SENT_BY_CLIENTS = ("evalsha", "eval", "blpop", "brpop", "hgetall", "ping", "script", "client")


async def test_ten_thousand_tasks_cost_less_than_a_thousand_commands(
    oms: AsyncOMSClient, url: str
) -> None:
    async def handle(_task: Task[Any]) -> None: ...

    await oms.create_queue("q")
    await oms.enqueue_many("q", list(range(10_000)))
    raw = Raw(url)
    raw("CONFIG", "RESETSTAT")
    await AsyncWorker(queue="q", handler=handle, url=url, concurrency=100).run(burst=True)
    stats = raw("INFO", "commandstats")
    raw.close()

    calls = {name: stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in SENT_BY_CLIENTS}
    assert (await oms.stats("q")).totals["done"] == 10_000
    assert sum(calls.values()) < 1_000, calls


async def test_with_one_slot_a_thousand_tasks_come_out_in_the_order_they_went_in(
    oms: AsyncOMSClient, url: str
) -> None:
    order: list[int] = []

    async def handle(task: Task[Any]) -> None:
        order.append(task.payload)

    await oms.create_queue("q")
    await oms.enqueue_many("q", list(range(1_000)))
    await AsyncWorker(queue="q", handler=handle, url=url, concurrency=1).run(burst=True)

    assert order == list(range(1_000))


async def test_three_supervisors_tell_of_one_breach_in_real_time(
    oms: AsyncOMSClient, url: str
) -> None:
    await oms.create_queue("q", sla="1s")
    enqueued = await oms.enqueue("q", 1)
    told: Counter[str] = Counter()
    broken = anyio.Event()

    async def listen() -> None:
        async for event in oms.events("q", after="0-0", types=["sla."]):
            assert event.task_id == enqueued.id
            told[event.type] += 1
            if event.type == "sla.breach":
                broken.set()

    async with anyio.create_task_group() as group:
        group.start_soon(listen)
        for _ in range(3):
            group.start_soon(Supervisor(url).run)
        with anyio.fail_after(10):
            await broken.wait()
        # Each of them has swept at least once more by then.
        await anyio.sleep(1.3)
        group.cancel_scope.cancel()

    assert told["sla.breach"] == 1
    assert told["sla.warn"] <= 1
    assert set(told) <= {"sla.breach", "sla.warn"}
