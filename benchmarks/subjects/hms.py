"""hms_async, this checkout."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar

from benchmarks.subjects.common import NOTE, QUEUE, Promise, Subject, Work


class Hms(Subject):
    """The worker with its supervisor beside the handlers, as `hms run` starts it."""

    requirements: ClassVar = ("hms-async",)
    variants: ClassVar = {"hms": Promise("late", "24 h, the last 10,000")}
    at_once: ClassVar = None
    bulk: ClassVar = "enqueue_many"
    settings: ClassVar = "logs at `error`"

    @asynccontextmanager
    async def producing(self) -> AsyncGenerator[None]:
        from hms_async import AsyncOMSClient  # noqa: PLC0415

        async with AsyncOMSClient(self.url) as self._client:
            await self._client.create_queue(QUEUE, sla="2h")
            yield

    async def enqueue(self, sent: float, due: float | None = None) -> None:
        eta = None if due is None else datetime.fromtimestamp(due, UTC)
        await self._client.enqueue(QUEUE, {"sent": sent, "note": NOTE}, eta=eta)

    async def enqueue_many(self, sents: Sequence[float]) -> None:
        await self._client.enqueue_many(QUEUE, [{"sent": sent, "note": NOTE} for sent in sents])

    def work(self, handle: Work, concurrency: int) -> None:
        from hms_async import AsyncWorker, Task  # noqa: PLC0415
        from hms_async.telemetry import logs  # noqa: PLC0415

        async def handler(task: Task[Any]) -> None:
            await handle(task.payload["sent"])

        # Not by HMS_LOG_LEVEL: that is for a process that has not set up logging, as this has.
        logs.configure(fmt="json", level="error")
        AsyncWorker(
            queue=QUEUE, handler=handler, concurrency=concurrency, url=self.url
        ).run_forever()


SUBJECT = Hms
