"""arq: a sorted set that is polled."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, ClassVar

from benchmarks.subjects.common import NOTE, Promise, Subject, Work, closing, run


class Arq(Subject):
    """A worker as `arq module.Settings` runs it, msgpack as its documentation suggests."""

    requirements: ClassVar = ("arq", "msgpack", "uvloop")
    variants: ClassVar = {"arq": Promise("late", "1 h")}
    settings: ClassVar = "msgpack, log_results=False; polls each 0.5 s, the default"

    async def _pool(self) -> Any:
        connections: Any = import_module("arq.connections")
        settings = connections.RedisSettings.from_dsn(self.url)
        return await connections.create_pool(
            settings, job_serializer=import_module("msgpack").packb
        )

    @asynccontextmanager
    async def producing(self) -> AsyncGenerator[None]:
        self._redis = await self._pool()
        async with closing(self._redis.aclose):
            yield

    async def enqueue(self, sent: float, due: float | None = None) -> None:
        eta = None if due is None else datetime.fromtimestamp(due, UTC)
        await self._redis.enqueue_job("handle", sent, NOTE, _defer_until=eta)

    def work(self, handle: Work, concurrency: int) -> None:
        async def handler(context: object, sent: float, note: str) -> None:
            del context, note
            await handle(sent)

        async def main() -> None:
            module: Any = import_module("arq.worker")
            codec: Any = import_module("msgpack")
            worker = module.Worker(
                [module.func(handler, name="handle")],
                redis_pool=await self._pool(),
                max_jobs=concurrency,
                job_serializer=codec.packb,
                job_deserializer=codec.unpackb,
                log_results=False,
            )
            await worker.async_run()

        run(main())


SUBJECT = Arq
