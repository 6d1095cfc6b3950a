"""The worker processes of one scenario or test, and what they tell."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.faults import journal
from benchmarks.faults.handlers import gate_of
from benchmarks.faults.processes import ROOT, Owned

TARGET = "benchmarks.faults.handlers:work"


class Workers:
    """Starts processes with a journal in common, knows when they died, and ends them all.

    Args:
        url: The server they work for.
        folder: Where journal and logs go.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.journal = journal.Journal(folder / "journal.jsonl")
        self.all: dict[int, Owned] = {}
        self._folder = folder

    def environ(self, url: str | None = None) -> dict[str, str]:
        """Return the environment of a worker; nothing of ours that begins with `HMS_`."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith("HMS_")}
        return mine | {
            "HMS_URL": url or self.url,
            "HMS_LOG_FORMAT": "json",
            "PYTHONPATH": str(ROOT),
            journal.VARIABLE: str(self.journal.path),
        }

    def start(
        self,
        command: Sequence[str],
        environ: Mapping[str, str] | None = None,
        *,
        program: str = sys.executable,
        **options: Any,
    ) -> Owned:
        """Start Python, or another program, with these arguments, and a log of its own."""
        log = self._folder / f"process-{len(self.all) + 1}.log"
        full = self.environ() | dict(environ or {})
        process = Owned([program, *command], log, full, **options)
        self.all[process.pid] = process
        return process

    def hms(
        self,
        *words: str,
        url: str | None = None,
        environ: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Owned:
        """Start a command as its user does."""
        full = dict(environ or {}) | ({} if url is None else {"HMS_URL": url})
        return self.start(["-m", "hms_async", *words], full, **options)

    def run(
        self,
        *flags: str,
        queue: str = "q",
        slots: int = 10,
        target: str = TARGET,
        url: str | None = None,
        **options: Any,
    ) -> Owned:
        """Start `hms run`."""
        return self.hms("run", target, "-Q", queue, "-c", str(slots), *flags, url=url, **options)

    def open_gate(self) -> None:
        """Let handlers of the kind `gate` finish."""
        gate_of(self.journal.path).touch()

    @property
    def alive(self) -> list[Owned]:
        """Those that have not ended."""
        return [process for process in self.all.values() if process.died is None]

    def deaths(self) -> dict[int, int]:
        """Return when processes died, in nanoseconds of the monotonic clock."""
        return {pid: one.died for pid, one in self.all.items() if one.died is not None}

    def log(self, process: Owned | None = None, event: str | None = None) -> list[dict[str, Any]]:
        """Return the log of one process or of all, as far as it is JSON; one event of it."""
        entries: list[dict[str, Any]] = []
        for one in [process] if process else self.all.values():
            for line in one.log.read_text(errors="replace").splitlines():
                with suppress(ValueError):
                    if line.startswith("{"):
                        entries.append(json.loads(line))
        return [entry for entry in entries if event in (None, entry["event"])]

    def close(self) -> None:
        """End all that still live, the frozen ones too."""
        for process in self.alive:
            process.kill()
