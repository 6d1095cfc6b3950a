"""streaQ: streams, with coredis."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, ClassVar

from benchmarks.subjects.common import NOTE, QUEUE, Promise, Subject, Work


class Streaq(Subject):
    """A worker as `streaq run` runs it, on uvloop."""

    requirements: ClassVar = ("streaq", "uvloop")
    variants: ClassVar = {"streaq": Promise("late", "5 min")}
    bulk: ClassVar = "enqueue_many"
    settings: ClassVar = "silent=True, uvloop"

    def _worker(self, **options: int) -> Any:
        return import_module("streaq").Worker(
            self.url, queue_name=QUEUE, anyio_kwargs={"use_uvloop": True}, **options
        )

    @asynccontextmanager
    async def producing(self) -> AsyncGenerator[None]:
        async def handle(sent: float, note: str) -> None:
            """Stand for the handler in a producer."""

        worker = self._worker()
        self._task = worker.task(name="handle")(handle)
        async with worker as self._ready:
            yield

    async def enqueue(self, sent: float, due: float | None = None) -> None:
        task = self._task.enqueue(sent, NOTE)
        if due is not None:
            task = task.start(schedule=datetime.fromtimestamp(due, UTC))
        await task

    async def enqueue_many(self, sents: Sequence[float]) -> None:
        await self._ready.enqueue_many([self._task.enqueue(sent, NOTE) for sent in sents])

    def work(self, handle: Work, concurrency: int) -> None:
        async def handler(sent: float, note: str) -> None:
            del note
            await handle(sent)

        worker = self._worker(concurrency=concurrency)
        worker.task(name="handle", silent=True)(handler)
        worker.run_sync()


SUBJECT = Streaq
