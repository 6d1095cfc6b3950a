"""Dramatiq: threads, one for each slot, that wait for coroutines of one event loop."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from typing import Any, ClassVar

from benchmarks.subjects.common import NOTE, QUEUE, Promise, Subject, Work

_HOUR_S = 3_600


class Dramatiq(Subject):
    """A worker with its AsyncIO middleware; its calls block, so a group is one after another."""

    requirements: ClassVar = ("dramatiq[redis]", "redis[hiredis]", "uvloop")
    variants: ClassVar = {"dramatiq": Promise("late", "no")}
    bulk: ClassVar = "plain calls, which block"
    settings: ClassVar = "AsyncIO middleware, uvloop, a thread for each slot"

    def __init__(self, url: str, variant: str) -> None:
        super().__init__(url, variant)
        with suppress(ImportError):  # its event loop thread takes the loop of the policy
            import_module("uvloop").install()
        self._module: Any = import_module("dramatiq")
        self._broker = import_module("dramatiq.brokers.redis").RedisBroker(url=url)
        self._broker.add_middleware(import_module("dramatiq.middleware.asyncio").AsyncIO())
        self._module.set_broker(self._broker)

    def _actor(self, handler: Any) -> Any:
        return self._module.actor(handler, actor_name="handle", queue_name=QUEUE)

    @asynccontextmanager
    async def producing(self) -> AsyncGenerator[None]:
        async def handle(sent: float, note: str) -> None:
            """Stand for the handler in a producer."""

        self._handle = self._actor(handle)
        yield

    async def enqueue(self, sent: float, due: float | None = None) -> None:
        if due is None:
            self._handle.send(sent, NOTE)
        else:
            delay = max(0, round((due - time.time()) * 1_000))
            self._handle.send_with_options(args=(sent, NOTE), delay=delay)

    def work(self, handle: Work, concurrency: int) -> None:
        async def handler(sent: float, note: str) -> None:
            del note
            await handle(sent)

        self._actor(handler)
        self._module.Worker(self._broker, worker_threads=concurrency).start()
        while True:
            time.sleep(_HOUR_S)


SUBJECT = Dramatiq
