"""Worker processes, and the file in which their handlers note what they do."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.faults.journal import Line, Word
from benchmarks.faults.workers import Workers as Processes

SCRIPT = Path(__file__).with_name("worker_script.py")
PATIENCE_S = 30.0


def eventually(holds: Callable[[], bool], what: str, within_s: float = PATIENCE_S) -> None:
    """Look again and again, since other processes can only be looked at."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within_s:g} s")
        time.sleep(0.005)


class Workers:
    """The worker processes of a test, and what they noted."""

    def __init__(self, url: str, folder: Path) -> None:
        self._processes = Processes(url, folder)
        self.deaths = self._processes.deaths
        self.open_gate = self._processes.open_gate
        self.close = self._processes.close
        self.killed: set[int] = set()

    def start(
        self, mode: str = "quick", *, concurrency: int = 10, shutdown_timeout: str = "25s"
    ) -> int:
        """Start a process and return its id."""
        return self._processes.start([str(SCRIPT), mode, str(concurrency), shutdown_timeout]).pid

    def log(self) -> list[dict[str, Any]]:
        """Return the log of all processes."""
        return self._processes.log()

    def events(self) -> list[str]:
        return [entry["event"] for entry in self.log()]

    def notes(self) -> list[Line]:
        """Return all that handlers have noted so far."""
        return self._processes.journal.lines()

    def wait_for(self, word: Word, pid: int, count: int = 1) -> None:
        """Wait until a process has noted a word so many times."""
        journal = self._processes.journal
        eventually(lambda: journal.count(word, pid) >= count, f"{count} times {word} by {pid}")

    def wait_until_ready(self, pid: int) -> None:
        """Wait until a process takes tasks."""
        log = self._processes.all[pid].log
        eventually(lambda: b'"worker.started"' in log.read_bytes(), f"{pid} takes tasks")

    def kill(self, pid: int) -> None:
        """End a process as the machine's end would."""
        self._processes.all[pid].kill()
        self.killed.add(pid)

    def signal(self, pid: int, number: signal.Signals = signal.SIGTERM) -> None:
        self._processes.all[pid].signal(number)

    def exit_code(self, pid: int) -> int:
        """Wait for a process to end by itself."""
        return self._processes.all[pid].join(PATIENCE_S)
