"""The demo's handler, as a service would write it; worker processes import this module."""

import os
import time
from pathlib import Path

import anyio
import msgspec
from anyio import to_thread

from hms_async import Task
from hms_async.cli.passport import journal
from hms_async.cli.passport.photos import fault_of

_FETCH_S = 0.1
_DETECT_S_PER_BYTE = 1 / 12_000


class Photo(msgspec.Struct):
    """What is asked of the handler.

    Attributes:
        file: Where the photo is.
        outages: How many attempts find that the face service is away.
    """

    file: str
    outages: int = 0


async def validate_photo(task: Task[Photo]) -> None:
    """Tell whether a photo is a whole JPEG with a face in it."""
    start = time.time()
    await anyio.sleep(_FETCH_S)  # in place of the way to an object storage
    data = await anyio.Path(task.payload.file).read_bytes()

    if fault := fault_of(data):
        await _note(task, start, fault)
        await task.fail(fault)
        return
    if task.attempt <= task.payload.outages:
        await _note(task, start, journal.RAISED)
        raise ConnectionError("face service unreachable")
    await anyio.sleep(len(data) * _DETECT_S_PER_BYTE)  # in place of a face detector
    await _note(task, start, journal.OK)
    await task.complete({"note": "Photo OK"})


async def _note(task: Task[Photo], start: float, verdict: str) -> None:
    line = journal.Line(
        task=task.id,
        attempt=task.attempt,
        pid=os.getpid(),
        arrived=task.arrived_at.timestamp(),
        start=start,
        end=time.time(),
        verdict=verdict,
    )
    await to_thread.run_sync(journal.append, Path(os.environ[journal.VARIABLE]), line)
