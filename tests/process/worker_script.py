"""A worker process. Its handlers note what they do in a file, synced line by line."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import anyio

from hms_async import AsyncWorker, Task

URL, NOTES, MODE, CONCURRENCY, SHUTDOWN_TIMEOUT = sys.argv[1:]
GATE = Path(NOTES).with_name("gate")
notes = os.open(NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(word: str, task: Task[Any]) -> None:
    line = {
        "word": word,
        "id": task.id,
        "token": task._attempt.claim.token,  # pyright: ignore[reportPrivateUsage]
        "attempt": task.attempt,
        "pid": os.getpid(),
        "at": time.monotonic_ns(),
        "payload": task.payload,
    }
    os.write(notes, json.dumps(line).encode() + b"\n")
    os.fsync(notes)


async def quick(task: Task[Any]) -> None:
    note("start", task)
    await anyio.sleep(0.03)
    note("end", task)


async def gate(task: Task[Any]) -> None:
    note("start", task)
    while not GATE.exists():  # noqa: ASYNC110  # another process opens it
        await anyio.sleep(0.005)
    note("end", task)


async def stubborn(task: Task[Any]) -> None:
    note("start", task)
    while True:
        try:
            await anyio.sleep(60)
        except anyio.get_cancelled_exc_class():
            note("ignored", task)


def thread(task: Task[Any]) -> None:
    note("start", task)
    time.sleep(60)


handlers = {"quick": quick, "gate": gate, "stubborn": stubborn, "thread": thread}
worker = AsyncWorker(
    queue="q",
    handler=handlers[MODE],
    url=URL,
    concurrency=int(CONCURRENCY),
    shutdown_timeout=SHUTDOWN_TIMEOUT,
)
worker.run_forever()
