"""The server under measurement: our own, on loopback, its file rewritten between runs only."""

import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.faults.servers import Server as Process
from benchmarks.faults.servers import found
from hms_async.errors import StoreError
from hms_async.storage.connect import connect_for_thread, translated

_READY_S = 20.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Look:
    """What the server had done up to a moment; the difference of two looks is a run's cost.

    Attributes:
        cpu: CPU seconds, user and system, of the server without what rewrites its file.
        commands: Commands run, those inside of scripts and transactions among them.
        reads: How often it read from a connection. A request that waits for its answer is one
            read (more beyond 16 KiB), and so is a whole pipeline: these are the round trips.
    """

    cpu: float
    commands: int
    reads: int

    def since(self, before: "Look") -> "Look":
        """Return what was done after another look."""
        return Look(
            self.cpu - before.cpu, self.commands - before.commands, self.reads - before.reads
        )


class Server:
    """A server that runs.

    Args:
        process: Its process.
    """

    def __init__(self, process: Process) -> None:
        self.url = process.url
        self.name = process.name()
        self._client: Any = connect_for_thread(process.url, timeout_s=_READY_S)
        self._client.config_set("auto-aof-rewrite-percentage", 0)

    def empty(self) -> None:
        """Drop everything, from the file too."""
        self._client.flushall()
        self._client.script_flush()
        self._client.bgrewriteaof()
        while self._client.info("persistence")["aof_rewrite_in_progress"]:
            time.sleep(_POLL_S)

    def look(self) -> Look:
        """Return what it has done so far."""
        info: dict[str, Any] = self._client.execute_command("INFO", "everything")
        return Look(
            float(info["used_cpu_user"]) + float(info["used_cpu_sys"]),
            sum(entry["calls"] for name, entry in info.items() if name.startswith("cmdstat_")),
            int(info["total_reads_processed"]),
        )


@contextmanager
def running(kind: str) -> Generator[Server]:
    """Have a server for the length of a block: `valkey`, the embedded one, or `redis`.

    Raises:
        LookupError: If this machine has none of that kind.
    """
    kinds = found()
    if kind not in kinds:
        raise LookupError(f"no {kind} here; there is {', '.join(kinds) or 'none'}")
    with TemporaryDirectory(prefix="hms-bench-") as folder:
        process = Process(kinds[kind], Path(folder) / "server")
        process.start()
        try:
            _await_ready(process.url)
            yield Server(process)
        finally:
            process.close()


def _await_ready(url: str) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        with suppress(StoreError), translated(), connect_for_thread(url) as connection:
            client: Any = connection
            client.ping()
            return
        time.sleep(_POLL_S)
    raise TimeoutError(f"the server was not ready within {_READY_S:g} s")
