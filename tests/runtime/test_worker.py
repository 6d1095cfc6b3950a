from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from hms_async import (
    AsyncOMSClient,
    AsyncWorker,
    QueueNotFound,
    StoreUnavailable,
    Task,
    TaskState,
    handler,
)
from hms_async.testing import running
from tests.runtime.support import QUICK, burst


class Crowd:
    """Counts how many are in at once, and lets nobody out before the given number came in."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._full = anyio.Event()
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def join(self, name: str) -> None:
        for who in (name, "all"):
            self.now[who] += 1
            self.most[who] = max(self.most[who], self.now[who])
        if self.now["all"] >= self._size:
            self._full.set()
        await self._full.wait()
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        for who in (name, "all"):
            self.now[who] -= 1


async def test_concurrency_is_the_total_over_all_queues(oms: AsyncOMSClient) -> None:
    crowd = Crowd(4)

    @handler(queue="a")
    async def first(task: Task[Any]) -> None:
        await crowd.join(task.queue)

    @handler(queue="b")
    async def second(task: Task[Any]) -> None:
        await crowd.join(task.queue)

    for queue in ("a", "b"):
        await oms.create_queue(queue)
        await oms.enqueue_many(queue, list(range(20)))
    with anyio.fail_after(10):
        await AsyncWorker(handlers=[first, second], concurrency=4, url=oms.url).run(burst=True)

    assert crowd.most["all"] == 4
    assert [(await oms.stats(queue)).done for queue in ("a", "b")] == [20, 20]


async def test_a_queues_limit_is_a_cap_within_the_total(oms: AsyncOMSClient) -> None:
    crowd = Crowd(5)

    @handler(queue="kyc", concurrency=2)
    async def kyc(task: Task[Any]) -> None:
        await crowd.join(task.queue)

    @handler(queue="mail")
    async def mail(task: Task[Any]) -> None:
        await crowd.join(task.queue)

    for queue in ("kyc", "mail"):
        await oms.create_queue(queue)
        await oms.enqueue_many(queue, list(range(20)))
    with anyio.fail_after(10):
        await AsyncWorker(handlers=[kyc, mail], concurrency=5, url=oms.url).run(burst=True)

    assert crowd.most["kyc"] == 2
    assert crowd.most["all"] == 5


async def test_a_backlog_in_one_queue_does_not_starve_another(oms: AsyncOMSClient) -> None:
    order: list[str] = []

    @handler(queue="a")
    async def first(task: Task[Any]) -> None:
        order.append(task.queue)

    @handler(queue="b")
    async def second(task: Task[Any]) -> None:
        order.append(task.queue)

    for queue in ("a", "b"):
        await oms.create_queue(queue)
    # With equal promises who came first goes first, whichever the queue.
    for _ in range(5):
        for queue in ("a", "b"):
            await oms.enqueue_many(queue, [1, 2])
    await AsyncWorker(handlers=[first, second], concurrency=1, url=oms.url).run(burst=True)

    # The call for one queue may take longer than those for the other; nobody waits for it then.
    assert 2 <= order[:10].count("a") <= 8


async def test_with_one_slot_order_in_is_order_out(oms: AsyncOMSClient) -> None:
    order: list[int] = []

    async def handle(task: Task[Any]) -> None:
        order.append(task.payload)

    await oms.create_queue("q")
    await oms.enqueue_many("q", list(range(200)))
    await burst(oms.url, handle, concurrency=1)

    assert order == list(range(200))


async def test_every_task_carries_what_the_lifespan_gave(oms: AsyncOMSClient) -> None:
    story: list[object] = []

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[str]:
        story.append("up")
        yield "a pool"
        story.append("down")

    async def handle(task: Task[Any]) -> None:
        story.append(task.resources)

    await oms.create_queue("q")
    await oms.enqueue("q", 1)
    await burst(oms.url, handle, lifespan=lifespan)

    assert story == ["up", "a pool", "down"]


async def test_burst_ends_when_nothing_waits_and_leaves_what_is_not_due(
    oms: AsyncOMSClient,
) -> None:
    async def handle(task: Task[Any]) -> None:
        if task.payload == "chain":
            await oms.enqueue("q", "link")

    await oms.create_queue("q")
    await oms.enqueue("q", "chain")
    await oms.enqueue("q", "later", delay="1h")
    await burst(oms.url, handle)

    stats = await oms.stats("q")
    assert (stats.done, stats.scheduled, stats.waiting) == (2, 1, 0)


async def test_a_missing_queue_ends_the_start_and_is_not_created(oms: AsyncOMSClient) -> None:
    async def handle(_task: Task[Any]) -> None: ...

    with pytest.raises(QueueNotFound, match=r"hms queue create nowhere"):
        await AsyncWorker(queue="nowhere", handler=handle, url=oms.url).run()

    assert await oms.list_queues() == []


async def test_no_server_ends_the_start() -> None:
    async def handle(_task: Task[Any]) -> None: ...

    worker = AsyncWorker(queue="q", handler=handle, url="redis://127.0.0.1:1/0")

    with pytest.raises(StoreUnavailable):
        await worker.run()


async def test_garbage_in_the_list_fails_and_the_worker_lives_on(
    oms: AsyncOMSClient, garbage: list[bytes]
) -> None:
    done: list[object] = []

    async def handle(task: Task[Any]) -> None:
        done.append(task.payload)

    await oms.enqueue("q", "after")
    async with running(AsyncWorker(queue="q", handler=handle, url=oms.url)):
        last = await oms.enqueue("q", "later")
        await oms.result(last.id, timeout=10)

    stats = await oms.stats("q")
    page = await oms.list_tasks("q", TaskState.FAILED)
    assert done == ["adopted", "after", "later"]
    assert stats.balanced
    assert stats.failed == len(page.tasks) == len(garbage)
    assert {task.raw for task in page.tasks} >= {b"{broken", b"\xff\xfe\x00"}
    assert all(task.reason for task in page.tasks)


@pytest.fixture
async def garbage(oms: AsyncOMSClient, raw: Any) -> list[bytes]:
    """What a foreign hand has pushed into the queue, less the one entry that is fine."""
    await oms.create_queue("q", retry=QUICK)
    rubbish = [b"\xff\xfe\x00", b"{broken", b"no such id", b"NOSUCHID", b"[1]", b'{"v":9}', b""]
    raw("RPUSH", "queue:q", *rubbish, b'{"payload":"adopted"}')
    return rubbish
