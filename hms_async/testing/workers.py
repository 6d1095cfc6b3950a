"""A worker for the length of a block."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from hms_async.worker import AsyncWorker


@asynccontextmanager
async def running(worker: AsyncWorker) -> AsyncGenerator[AsyncWorker]:
    """Run a worker beside the block; it takes tasks before the block begins.

    At the end of the block it is stopped and finishes what runs; when the block raises, it is
    cancelled and hands back. Use it inside a test, not in a fixture: a task group must be left in
    the task that entered it.
    """
    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        await group.start(worker.run, name=worker.name)
        try:
            yield worker
        except Exception as error:  # noqa: BLE001  # raised below: a group would wrap it
            failure = error
            group.cancel_scope.cancel()
        worker.stop()
    if failure is not None:
        raise failure
