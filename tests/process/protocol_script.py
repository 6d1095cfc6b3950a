"""The worker of the protocol page as a script; its handler notes what it does, as Python's do."""

import os
import sys
import time

from benchmarks.faults.journal import Line, Word, write
from examples.other_languages.protocol_worker import Fail, Left, Queue, Task, Worker


def note(word: Word, task: Task) -> None:
    write(
        Line(
            word=word,
            id=task.id,
            token=task.token,
            attempt=task.attempt,
            crashes=task.crashes,
            pid=os.getpid(),
            at=time.monotonic_ns(),
            claimed_ms=task.claimed_ms,
            payload=task.payload,
        )
    )


def do(task: Task) -> None:
    task.sleep(60 if task.payload == "long" else 0.02)
    if task.payload == "flaky" and task.attempt == 1:
        raise RuntimeError("as the payload wants it")
    if task.payload == "bad":
        raise Fail("as the payload wants it")


def handle(task: Task) -> str:
    note("start", task)
    try:
        do(task)
    except Left:
        note("cut", task)
        raise
    except Exception:
        note("raised", task)
        raise
    note("end", task)
    return "by the protocol"


Worker(Queue(os.environ["HMS_URL"], "q"), handle, slots=int(sys.argv[1])).run()
