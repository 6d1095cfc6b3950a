"""What handlers do, in a file that outlives them: the witness that verdicts rest on.

Handlers append a line when they start and one when they end, each on the disk before they go on.
Instants are of the machine's monotonic clock, which all of its processes share, also one whose
wall clock a scenario has put wrong.
"""

import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
from anyio import get_cancelled_exc_class

from hms_async import Task

VARIABLE = "FAULTS_JOURNAL"
"""The environment variable that tells a handler where the file is."""

Word = Literal["start", "end", "cut", "raised", "ignored"]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a handler did.

    Attributes:
        word: `start`; `end`, its successful end; `cut`, when it was cancelled; `raised`;
            `ignored`, when it would not be cancelled.
        id: The task's id.
        token: The lease under which it ran.
        attempt: The attempt's number, crashes included.
        crashes: How many of them were crashes.
        pid: The worker process.
        at: When, in nanoseconds of the monotonic clock.
        claimed_ms: When the store gave the lease, by its own clock.
        payload: What was asked.
    """

    word: Word
    id: str
    token: str
    attempt: int
    crashes: int
    pid: int
    at: int
    claimed_ms: int
    payload: Any


def note(word: Word, task: Task[Any]) -> None:
    """Add a line, and return when it is on the disk; any number of processes may do so."""
    attempt = task._attempt  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # tokens are nobody else's business
    line = Line(
        word=word,
        id=task.id,
        token=attempt.claim.token,
        attempt=task.attempt,
        crashes=attempt.claim.crashes,
        pid=os.getpid(),
        at=time.monotonic_ns(),
        claimed_ms=attempt._server_ms,  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        payload=task.payload,
    )
    write(line)


def write(line: Line) -> None:
    """Add a line, and return when it is on the disk."""
    file = _opened(os.environ[VARIABLE])
    os.write(file, msgspec.json.encode(line) + b"\n")
    os.fsync(file)


@contextmanager
def noted(task: Task[Any]) -> Generator[None]:
    """Note the start and the end of what is inside."""
    note("start", task)
    try:
        yield
    except get_cancelled_exc_class():
        note("cut", task)
        raise
    except BaseException:
        note("raised", task)
        raise
    note("end", task)


@cache
def _opened(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


class Journal:
    """Reads the file while it grows.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0
        self._lines: list[Line] = []

    def lines(self) -> list[Line]:
        """Return all whole lines so far."""
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._read += len(whole)
            self._lines += [msgspec.json.decode(line, type=Line) for line in whole.splitlines()]
        return self._lines

    def count(self, word: Word, pid: int | None = None) -> int:
        """Return how often a word was noted, by one process or by all."""
        return sum(line.word == word and pid in (None, line.pid) for line in self.lines())
