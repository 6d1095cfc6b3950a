"""Worker processes, and the file in which their handlers note what they do."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("worker_script.py")
ROOT = Path(__file__).parents[2]
PATIENCE_S = 30.0


def eventually(holds: Callable[[], bool], what: str, within_s: float = PATIENCE_S) -> None:
    """Look again and again, since other processes can only be looked at."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within_s:g} s")
        time.sleep(0.005)


@dataclass(frozen=True)
class Note:
    """A line of the file: `start`, `end` or `ignored` (a cancellation)."""

    word: str
    id: str
    token: str
    attempt: int
    pid: int
    at: int
    payload: Any


class Workers:
    """The worker processes of a test, and what they noted."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._read = 0
        self._notes: list[Note] = []
        self.file = folder / "notes"
        self.killed: dict[int, int] = {}

    def start(
        self, mode: str = "quick", *, concurrency: int = 10, shutdown_timeout: str = "25s"
    ) -> int:
        """Start a process and return its id."""
        command = [sys.executable, str(SCRIPT), self._url, str(self.file), mode, str(concurrency)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "HMS_LOG_FORMAT": "json"}
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603
                [*command, shutdown_timeout], stdout=log, stderr=log, env=environment
            )
        self._processes[process.pid] = process
        return process.pid

    def open_gate(self) -> None:
        """Let handlers of the mode `gate` finish."""
        (self._folder / "gate").touch()

    def log(self) -> list[dict[str, Any]]:
        """Return the log of all processes."""
        lines = (self._folder / "log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def events(self) -> list[str]:
        return [entry["event"] for entry in self.log()]

    def notes(self) -> list[Note]:
        """Return all that handlers have noted so far."""
        if self.file.exists():
            with self.file.open("rb") as file:
                file.seek(self._read)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._read += len(whole)
            self._notes += [Note(**json.loads(line)) for line in whole.splitlines()]
        return self._notes

    def count(self, word: str, pid: int) -> int:
        return sum(note.word == word and note.pid == pid for note in self.notes())

    def wait_for(self, word: str, pid: int, count: int = 1) -> None:
        """Wait until a process has noted a word so many times."""
        eventually(lambda: self.count(word, pid) >= count, f"{count} times {word} by {pid}")

    def kill(self, pid: int) -> None:
        """End a process as the machine's end would."""
        process = self._processes.pop(pid)
        process.kill()
        process.wait(PATIENCE_S)
        # After its end: whatever started before this moment ran beside it.
        self.killed[pid] = time.monotonic_ns()

    def signal(self, pid: int, number: signal.Signals = signal.SIGTERM) -> None:
        self._processes[pid].send_signal(number)

    def exit_code(self, pid: int) -> int:
        """Wait for a process to end by itself."""
        return self._processes.pop(pid).wait(PATIENCE_S)

    def close(self) -> None:
        for pid in list(self._processes):
            self.kill(pid)
