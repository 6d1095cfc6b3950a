"""The handler of `benchmarks.footprint`: apart, so that a worker imports nothing else of it."""

import asyncio
from typing import Any

from hms_async import Task


async def sleep(task: Task[Any]) -> None:
    """Sleep for as many seconds as the payload says; not at all if it is 0."""
    if task.payload:
        await asyncio.sleep(task.payload)
