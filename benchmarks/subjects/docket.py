"""Docket: streams, with dependency injection."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any, ClassVar

from benchmarks.subjects.common import NOTE, QUEUE, Promise, Subject, Work, run

# redis-py's 100 are too few for 100 tasks at once: a task that finds none fails and is lost sight
# of until its redelivery in 5 minutes.
_CONNECTIONS = 5_000
_CHECKS = timedelta(milliseconds=100)  # as `docket worker` has it; the class has 250


class Docket(Subject):
    """With state and results and, as its documentation says for maximum throughput, without."""

    requirements: ClassVar = ("pydocket", "redis[hiredis]", "uvloop")
    variants: ClassVar = {
        "docket": Promise("late", "15 min"),
        "docket-lean": Promise("late", "no"),
    }
    at_once: ClassVar = 100
    bulk: ClassVar = "plain calls, 100 at once"
    settings: ClassVar = f"max_connections={_CONNECTIONS:,}; lean: execution_ttl=0"

    def _docket(self) -> Any:
        kept = timedelta(minutes=0 if self.variant == "docket-lean" else 15)
        url = f"{self.url}?max_connections={_CONNECTIONS}"
        return import_module("docket").Docket(QUEUE, url, execution_ttl=kept)

    @asynccontextmanager
    async def producing(self) -> AsyncGenerator[None]:
        async def handle(sent: float, note: str) -> None:
            """Stand for the handler in a producer."""

        self._handle = handle
        async with self._docket() as self._ready:
            yield

    async def enqueue(self, sent: float, due: float | None = None) -> None:
        when = None if due is None else datetime.fromtimestamp(due, UTC)
        await self._ready.add(self._handle, when=when)(sent, NOTE)

    def work(self, handle: Work, concurrency: int) -> None:
        async def handler(sent: float, note: str) -> None:
            del note
            await handle(sent)

        async def main() -> None:
            async with self._docket() as docket:
                docket.register(handler, names=["handle"])
                worker: Any = import_module("docket").Worker(
                    docket, concurrency=concurrency, minimum_check_interval=_CHECKS
                )
                async with worker:
                    await worker.run_forever()

        run(main())


SUBJECT = Docket
