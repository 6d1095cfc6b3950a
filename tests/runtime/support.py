"""What tests of the runtime share: a worker in a line, and its log."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

import anyio

from hms_async import (
    AsyncOMSClient,
    AsyncWorker,
    QueueStats,
    RetryPolicy,
    Task,
    TaskRecord,
    TaskState,
)
from hms_async.domain.queue import Queue, QueueSettings
from hms_async.runtime.exchange import Lanes
from hms_async.runtime.feed import Feed
from hms_async.runtime.handlers import bind
from hms_async.storage.replies import Claim, Exchanged
from hms_async.storage.store import Store
from hms_async.testing import ManualClock, running

QUICK = RetryPolicy(max_attempts=3, base="1ms", cap="1ms")
PATIENCE_S = 10.0
NOW_MS = 1_767_225_600_000


def worker(
    url: str, handler: Callable[[Task[Any]], Any], queue: str = "q", **options: Any
) -> AbstractAsyncContextManager[AsyncWorker]:
    """A running worker of one queue."""
    return running(AsyncWorker(queue=queue, handler=handler, url=url, **options))


async def burst(
    url: str, handler: Callable[[Task[Any]], Any], queue: str = "q", **options: Any
) -> AsyncWorker:
    """Work until nothing waits."""
    one = AsyncWorker(queue=queue, handler=handler, url=url, **options)
    with anyio.fail_after(PATIENCE_S):
        await one.run(burst=True)
    return one


async def do(
    oms: AsyncOMSClient, handler: Callable[[Task[Any]], Any], payload: object = None
) -> TaskRecord:
    """Let a handler do one task of the queue `q`, and return what became of it."""
    task_id = (await oms.enqueue("q", payload)).id
    await burst(oms.url, handler)
    return await oms.get_task(task_id)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something within this process that no event tells of."""
    with anyio.fail_after(PATIENCE_S):
        while not holds():  # noqa: ASYNC110  # nothing tells
            await anyio.sleep(0.005)


async def lose_leases(oms: AsyncOMSClient, queue: str = "q") -> None:
    """Let a supervisor whose clock is fast reclaim everything."""
    clock = ManualClock((await oms.stats(queue)).now_ms)
    clock.advance("1m")
    async with Store(oms.url, clock=clock) as store:
        swept = await store.sweep(queue)
        while swept.held_ms:
            clock.advance(swept.held_ms / 1_000)
            swept = await store.sweep(queue)
        assert swept.rescued


async def waiting(oms: AsyncOMSClient) -> list[object]:
    """Return the payloads that wait in the queue `q`, in the order of their claim."""
    return [task.payload for task in (await oms.list_tasks("q", TaskState.WAITING)).tasks]


async def stats_when(oms: AsyncOMSClient, holds: Callable[[QueueStats], bool]) -> QueueStats:
    """Wait until a look at the queue `q` is as it should be."""
    while True:
        stats = await oms.stats("q")
        if holds(stats):
            return stats


def feeds_of(*names: str, limit: int = 10) -> list[Feed]:
    """Feeds without a store, for what decides and makes no call."""
    lanes = Lanes(cast("Any", None), "worker", heads=len(names) > 1)
    return [
        Feed(
            Queue(name=name, settings=QueueSettings(), version=1), bind(_handle, name), lanes, limit
        )
        for name in names
    ]


async def _handle(_: Task[Any]) -> None: ...


def answered(
    *claims: Claim, left: int = 0, ahead: int = 0, head: tuple[int, int | None] | None = None
) -> Exchanged:
    """An answer that brings these claims, and says no more than it is asked to."""
    return Exchanged(
        verdict="ok",
        now_ms=NOW_MS,
        left=left,
        next_due_ms=None,
        version=1,
        paused=False,
        lease_ms=30_000,
        settled=[],
        claims=list(claims),
        suspect=None,
        suspects_left=0,
        cancelling=frozenset(),
        ahead=ahead,
        head=head,
    )


class Ears:
    """What was listened to, each time that somebody began to."""

    def __init__(self) -> None:
        self.heard: list[list[str]] = []
        self._news = anyio.Event()

    def note(self, queues: Sequence[str]) -> None:
        self.heard.append(sorted(queues))
        self._news.set()
        self._news = anyio.Event()

    async def wait_for(self, *queues: str) -> None:
        """Wait until somebody listens to these queues and no others."""
        with anyio.fail_after(PATIENCE_S):
            while sorted(queues) not in self.heard:
                await self._news.wait()
        self.heard.clear()
