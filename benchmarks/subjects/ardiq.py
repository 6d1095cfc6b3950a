"""ArdiQ: streams, its loop and connections in Rust."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, ClassVar

from benchmarks.subjects.common import NOTE, QUEUE, Promise, Subject, Work, run


class Ardiq(Subject):
    """With results and, as its configuration page offers, without."""

    requirements: ClassVar = ("ardiq", "uvloop")
    variants: ClassVar = {
        "ardiq": Promise("late", "5 min"),
        "ardiq-lean": Promise("late", "no"),
    }
    bulk: ClassVar = "enqueue_many"
    settings: ClassVar = "lean: result_ttl_ms=0"

    def _app(self, **options: int) -> Any:
        if self.variant == "ardiq-lean":
            options["result_ttl_ms"] = 0
        return import_module("ardiq").Ardiq(self.url, QUEUE, **options)

    @asynccontextmanager
    async def producing(self) -> AsyncGenerator[None]:
        self._ready = self._app()
        self._task = self._ready.ref("handle")
        yield

    async def enqueue(self, sent: float, due: float | None = None) -> None:
        task = self._task if due is None else self._task.options(schedule_ms=round(due * 1_000))
        await task.enqueue(sent, NOTE)

    async def enqueue_many(self, sents: Sequence[float]) -> None:
        await self._ready.enqueue_many([self._task.prepare(sent, NOTE) for sent in sents])

    def work(self, handle: Work, concurrency: int) -> None:
        async def handler(sent: float, note: str) -> None:
            del note
            await handle(sent)

        app = self._app(concurrency=concurrency)
        app.task(handler, name="handle")
        run(app.run())


SUBJECT = Ardiq
