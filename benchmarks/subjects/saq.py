"""SAQ: lists and a blocking connection for each slot."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, ClassVar

from benchmarks.subjects.common import NOTE, QUEUE, Promise, Subject, Work, closing, run


class Saq(Subject):
    """A worker as `saq module.settings` runs it; the queue itself keeps 20 calls at once."""

    # 0.26.4 imports typing_extensions without asking for it.
    requirements: ClassVar = ("saq[redis,hiredis]", "typing-extensions", "uvloop")
    variants: ClassVar = {"saq": Promise("late", "10 min")}

    @asynccontextmanager
    async def producing(self) -> AsyncGenerator[None]:
        self._queue: Any = import_module("saq").Queue.from_url(self.url, name=QUEUE)
        async with closing(self._queue.disconnect):
            yield

    async def enqueue(self, sent: float, due: float | None = None) -> None:
        await self._queue.enqueue("handle", sent=sent, note=NOTE, scheduled=int(due or 0))

    def work(self, handle: Work, concurrency: int) -> None:
        async def handler(context: object, *, sent: float, note: str) -> None:
            del context, note
            await handle(sent)

        async def main() -> None:
            module: Any = import_module("saq")
            queue = module.Queue.from_url(self.url, name=QUEUE)
            await queue.connect()
            functions = [("handle", handler)]
            await module.Worker(queue, functions, concurrency=concurrency).start()

        run(main())


SUBJECT = Saq
