"""R15: one task at a time, in a process, that may be what kills its workers."""

from typing import Any

import anyio
import pytest

from hms_async import AsyncOMSClient, AsyncWorker, Task, handler
from tests.runtime.support import PATIENCE_S, burst, worker
from tests.servers import Raw

SUSPECTS = 5


@pytest.fixture(autouse=True)
async def _queue(oms: AsyncOMSClient, raw: Raw) -> None:
    """Suspects and others, one after the other."""
    await oms.create_queue("q")
    await oms.create_queue("p")
    for number in range(SUSPECTS):
        for queue in ("q", "p"):
            one = await oms.enqueue(queue, "suspect")
            raw("HSET", f"task:{one.id}:run", "crashes", 2)
        await oms.enqueue_many("q", [number] * 3)


class Counter:
    """A handler that counts who is beside whom."""

    def __init__(self) -> None:
        self.suspects = self.most_suspects = self.most = self.running = 0

    async def handle(self, task: Task[Any]) -> None:
        suspect = task.payload == "suspect"
        self.running += 1
        self.suspects += suspect
        self.most = max(self.most, self.running)
        self.most_suspects = max(self.most_suspects, self.suspects)
        await anyio.sleep(0.01)
        self.running -= 1
        self.suspects -= suspect


async def test_r15_a_worker_runs_one_suspect_at_a_time_beside_the_others(
    oms: AsyncOMSClient,
) -> None:
    counter = Counter()
    await burst(oms.url, counter.handle, concurrency=20)

    stats = await oms.stats("q")
    assert (stats.done, stats.open) == (4 * SUSPECTS, 0)
    assert counter.most_suspects == 1
    assert counter.most > 1


async def test_r15_over_all_its_queues(oms: AsyncOMSClient) -> None:
    counter = Counter()
    handlers = [handler(queue=queue)(_of(counter)) for queue in ("q", "p")]
    with anyio.fail_after(PATIENCE_S):
        await AsyncWorker(handlers=handlers, concurrency=20, url=oms.url).run(burst=True)

    assert [(await oms.stats(queue)).open for queue in ("q", "p")] == [0, 0]
    assert counter.most_suspects == 1


def _of(counter: Counter) -> Any:
    async def handle(task: Task[Any]) -> None:
        await counter.handle(task)

    return handle


async def test_r15_a_second_worker_takes_the_next(oms: AsyncOMSClient) -> None:
    first, second = anyio.Event(), anyio.Event()

    async def hold(task: Task[Any]) -> None:
        if task.payload == "suspect":
            (second if first.is_set() else first).set()
            await second.wait()

    async with worker(oms.url, hold), worker(oms.url, hold):
        with anyio.fail_after(PATIENCE_S):
            await second.wait()


async def test_r15_a_client_pops_one_at_a_time(oms: AsyncOMSClient) -> None:
    held = [task for _ in range(20) if (task := await oms.pop_task("p", timeout=0))]
    assert len(held) == 1
    await held[0].complete()

    assert await oms.pop_task("p", timeout=0) is not None
