"""Taskiq with the stream broker of taskiq-redis, the one that acknowledges."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, ClassVar

from benchmarks.subjects.common import NOTE, QUEUE, Promise, Subject, Work, closing, run


class Taskiq(Subject):
    """One receiver, as `taskiq worker --workers 1` has it; no result backend, its default."""

    requirements: ClassVar = ("taskiq-redis", "taskiq[orjson]", "redis[hiredis]", "uvloop")
    variants: ClassVar = {"taskiq": Promise("late", "no")}
    cannot: ClassVar = {"due-5000": "a scheduler process of its own, which looks once a second"}
    settings: ClassVar = "orjson, max_prefetch = concurrency"

    def _broker(self) -> Any:
        module: Any = import_module("taskiq_redis")
        serializers: Any = import_module("taskiq.serializers")
        # From the start of the stream, as tasks are there before the worker.
        broker = module.RedisStreamBroker(self.url, queue_name=QUEUE, consumer_id="0")
        return broker.with_serializer(serializers.ORJSONSerializer())

    @asynccontextmanager
    async def producing(self) -> AsyncGenerator[None]:
        async def handle(sent: float, note: str) -> None:
            """Stand for the handler in a producer."""

        broker = self._broker()
        self._task = broker.task(task_name="handle")(handle)
        await broker.startup()
        async with closing(broker.shutdown):
            yield

    async def enqueue(self, sent: float, due: float | None = None) -> None:
        del due
        await self._task.kiq(sent, NOTE)

    def work(self, handle: Work, concurrency: int) -> None:
        async def handler(sent: float, note: str) -> None:
            del note
            await handle(sent)

        async def main() -> None:
            broker = self._broker()
            broker.task(task_name="handle")(handler)
            await import_module("taskiq.api").run_receiver_task(
                broker, max_async_tasks=concurrency, max_prefetch=concurrency, run_startup=True
            )

        run(main())


SUBJECT = Taskiq
