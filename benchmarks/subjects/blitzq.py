"""BlitzQ: streams and group commits; `fast` mode is at most once."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, ClassVar

from benchmarks.subjects.common import NOTE, QUEUE, Promise, Subject, Work, run


class Blitzq(Subject):
    """`reliable` with and without results, and `fast`; docs/performance_tuning.md names these."""

    requirements: ClassVar = ("blitzq", "redis[hiredis]", "uvloop")
    variants: ClassVar = {
        "blitzq": Promise("late", "24 h"),
        "blitzq-lean": Promise("late", "no"),
        "blitzq-fast": Promise("early", "no"),
    }
    bulk: ClassVar = "enqueue_many"
    settings: ClassVar = "lean and fast: store_results=False"

    def __init__(self, url: str, variant: str) -> None:
        super().__init__(url, variant)
        self._module: Any = import_module("blitzq")
        mode = "fast" if variant == "blitzq-fast" else "reliable"
        keeps = variant == "blitzq"
        self._queue = self._module.Queue(QUEUE, redis_url=url, mode=mode, store_results=keeps)
        self._task = self._queue.task(self._nothing, name="handle")

    async def _nothing(self, sent: float, note: str) -> None:
        """Stand for the handler in a producer."""

    @asynccontextmanager
    async def producing(self) -> AsyncGenerator[None]:
        yield
        await self._queue.broker.close()

    async def enqueue(self, sent: float, due: float | None = None) -> None:
        if due is None:
            await self._task.enqueue(sent, NOTE)
        else:
            await self._task.options(eta=datetime.fromtimestamp(due, UTC)).enqueue(sent, NOTE)

    async def enqueue_many(self, sents: Sequence[float]) -> None:
        await self._task.enqueue_many([(sent, NOTE) for sent in sents])

    def work(self, handle: Work, concurrency: int) -> None:
        async def handler(sent: float, note: str) -> None:
            del note
            await handle(sent)

        self._queue.tasks.clear()
        self._queue.task(handler, name="handle")
        run(self._module.Worker(self._queue, concurrency=concurrency).run())


SUBJECT = Blitzq
