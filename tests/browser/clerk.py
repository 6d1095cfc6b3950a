"""A worker whose tasks do what their payload says; `wait` ends when its gate's file is there."""

import os
from pathlib import Path
from typing import Any

import anyio

from hms_async import Task

GATE = Path(os.environ.get("GATE", "gate"))


async def work(task: Task[dict[str, Any]]) -> Any:
    """Do what the payload says."""
    asked = task.payload
    if "gate" in asked:
        gate = anyio.Path(GATE.with_name(f"{GATE.name}-{asked['gate']}"))
        while not await gate.exists():  # noqa: ASYNC110  # another process makes it
            await anyio.sleep(0.02)
    if "raise" in asked:
        raise LookupError(f"no file of {asked['raise']}")
    if "fail" in asked:
        await task.fail(asked["fail"])
        return None
    return {"note": "well", "number": asked.get("number")}
