"""What the demo's handlers did, in a file that outlives them.

The demo counts from this file, so that what it says does not rest on the counters of the very
thing it wants to prove.
"""

import os
from contextlib import suppress
from pathlib import Path

import msgspec

VARIABLE = "HMS_DEMO_JOURNAL"
"""The environment variable that tells a worker where the file is."""

OK = "ok"
RAISED = "raised"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt, written when it had its verdict and before the queue was told.

    Attributes:
        task: The task's id.
        attempt: The attempt's number.
        pid: The worker process.
        arrived: When the task arrived, in seconds since the epoch.
        start: When the attempt started.
        end: When it had its verdict.
        verdict: `ok`, `raised`, or the reason why the photo is refused.
    """

    task: str
    attempt: int
    pid: int
    arrived: float
    start: float
    end: float
    verdict: str

    @property
    def final(self) -> bool:
        """Whether the task needs no other attempt."""
        return self.verdict != RAISED


def append(path: Path, line: Line) -> None:
    """Add a line, and return when it is on the disk; any number of processes may do so."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, msgspec.json.encode(line) + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> list[Line]:
    """Return the lines; one that its writer could not finish is none."""
    lines: list[Line] = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with suppress(msgspec.DecodeError):
            lines.append(msgspec.json.decode(line, type=Line))
    return lines
