"""What it costs to have us: time to start, memory, and what a worker does at rest.

python -m benchmarks.footprint [--json FILE] [--rounds 11] [--tasks 200000] [--idle 20]
                               [--python INTERPRETER]

Each figure stands beside its target, where it has one. Workers and servers are processes of their
own on the loopback interface; servers keep nothing. What else is installed counts: redis-py loads
OpenTelemetry's API and structlog loads rich where they are, uvloop is used. So give the interpreter
of an environment of a plain `pip install hms_async` to learn what that weighs.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import msgspec

from benchmarks.faults.processes import ROOT, Owned
from benchmarks.faults.servers import Kind, Server, found
from hms_async import AsyncOMSClient, QueueStats
from hms_async.storage.embedded import running
from hms_async.storage.store import Store

_PATIENCE_S = 120.0
_LOOK_S = 0.05
_A_CALL = 10_000
_SCHEMA = "hms.footprint/v1"
_PAYLOAD = "x" * 98  # 100 bytes as JSON

_STARTS = {
    "redis.asyncio": ["-c", "import redis.asyncio"],
    "hms_async": ["-c", "import hms_async"],
    "a client": ["-c", "from hms_async import AsyncOMSClient"],
    "client, worker, handler": [
        "-c",
        "from hms_async import AsyncOMSClient, AsyncWorker, handler",
    ],
    "hms --help": ["-m", "hms_async", "--help"],
}
_OVER_REDIS_MS = {"hms_async": 40.0, "client, worker, handler": 40.0, "hms --help": 100.0}


class Figure(msgspec.Struct, frozen=True):
    """One line of the table.

    Attributes:
        name: What was measured.
        value: What came of it.
        unit: What it is counted in.
        target: What it is not to exceed, if anything.
    """

    name: str
    value: float
    unit: str
    target: float | None = None

    def __str__(self) -> str:
        goal = "" if self.target is None else f"{self.target:10,.1f}"
        missed = self.target is not None and self.value > self.target
        return (
            f"{self.name:58} {self.value:10,.1f} {goal:>10}  {self.unit}{'  MISSED' * missed}"
        ).rstrip()


class Size(msgspec.Struct, frozen=True):
    """How much is done for each figure.

    Attributes:
        rounds: How often each program is started, in turn with the others.
        workers: How many workers are measured one after another, for a median.
        flight: How many tasks run at once, in as many slots.
        tasks: How many tasks a worker does for its steadiness; the first quarter warms it up.
        idle_s: For how long a worker at rest is watched.
        queued: How many tasks lie on the server.
        settled_s: For how long something is left alone before it is measured.
        python: The interpreter of what is measured.
    """

    rounds: int = 11
    workers: int = 3
    flight: int = 1_000
    tasks: int = 200_000
    idle_s: float = 20.0
    queued: int = 100_000
    settled_s: float = 3.0
    python: str = sys.executable


class Scene:
    """A server, its clients, and workers that are measured.

    Args:
        url: The server.
        folder: Where logs and compiled modules go.
        oms: A client of it.
        settled_s: For how long something is left alone before it is measured.
        python: The interpreter of the workers.
    """

    def __init__(
        self, url: str, folder: Path, oms: AsyncOMSClient, *, settled_s: float, python: str
    ) -> None:
        self._python = python
        self.url = url
        self.oms = oms
        self.settled_s = settled_s
        self._folder = folder
        self._started = 0

    @asynccontextmanager
    async def worker(self, queue: str, slots: int = 10) -> AsyncGenerator[int]:
        """Have a worker that is ready, at the end killed; gives its process id."""
        await self.oms.create_queue(queue, sla="2h")
        self._started += 1
        log = self._folder / f"worker-{self._started}.log"
        words = ["run", "benchmarks.sleeper:sleep", "-Q", queue, "-c", str(slots), "-l", "warning"]
        command = [self._python, "-m", "hms_async", *words, "-u", self.url]
        process = Owned(command, log, environ(self._folder))
        try:
            await until(lambda: _says_ready(process))
            await anyio.sleep(self.settled_s)
            yield process.pid
        finally:
            process.kill()

    async def until_stats(self, queue: str, holds: Callable[[QueueStats], bool]) -> None:
        """Wait until the queue looks like this."""

        async def look() -> bool:
            return holds(await self.oms.stats(queue))

        await until(look)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is the case.

    Raises:
        TimeoutError: If it does not come about.
    """
    with anyio.fail_after(_PATIENCE_S):
        while not await holds():  # noqa: ASYNC110  # others' state: no event tells of it
            await anyio.sleep(_LOOK_S)


async def _says_ready(process: Owned) -> bool:
    said = process.log.read_text(errors="replace")
    if process.died is not None:
        raise RuntimeError(f"the worker died at its start: {said}")
    return "ready." in said


def environ(folder: Path) -> dict[str, str]:
    """Return the environment of a program as its users have it: its modules are compiled.

    Those of an installed package are; of a checkout they may not be, or not be kept.
    """
    mine = {name: value for name, value in os.environ.items() if not name.startswith("HMS_")}
    mine.pop("PYTHONDONTWRITEBYTECODE", None)
    return mine | {"PYTHONPYCACHEPREFIX": str(folder / "compiled")}


def memory_kb(pid: int) -> dict[str, int]:
    """Return the memory of a process as the kernel sums it up: `Rss`, `Pss`, ..."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()[1:]
    return {name.rstrip(":"): int(size) for name, size, _ in map(str.split, lines)}


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def starts(size: Size, folder: Path) -> Iterator[Figure]:
    """How long programs take from their start to their end."""
    took: dict[str, list[float]] = {name: [] for name in _STARTS}
    for number in range(size.rounds + 1):
        for name, words in _STARTS.items():
            began = time.perf_counter()
            subprocess.run(  # noqa: S603  # our own words
                [size.python, *words],
                env=environ(folder),
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                check=True,
            )
            if number:  # the first round compiles
                took[name].append((time.perf_counter() - began) * 1_000)
    base = statistics.median(took["redis.asyncio"]), min(took["redis.asyncio"])
    yield Figure("start: redis.asyncio alone, median", base[0], "ms")
    yield Figure("start: redis.asyncio alone, least", base[1], "ms")
    for name, times in took.items():
        if name != "redis.asyncio":
            over = statistics.median(times) - base[0], min(times) - base[1]
            goal = _OVER_REDIS_MS.get(name)
            yield Figure(f"start: {name}, beyond redis.asyncio, median", over[0], "ms", goal)
            yield Figure(f"start: {name}, beyond redis.asyncio, least", over[1], "ms", goal)


async def at_start(scene: Scene, size: Size) -> list[Figure]:
    """How much memory a worker has that has done nothing yet."""
    seen: list[dict[str, int]] = []
    for _ in range(size.workers):
        async with scene.worker("start") as pid:
            seen.append(memory_kb(pid))
    rss, pss = (statistics.median(one[kind] for one in seen) / 1_024 for kind in ("Rss", "Pss"))
    return [
        Figure("worker at its start, RSS", rss, "MB", 45),
        Figure("worker at its start, PSS", pss, "MB"),
    ]


async def in_flight(scene: Scene, size: Size) -> list[Figure]:
    """How much memory each task takes that sleeps in its handler."""
    grown: list[float] = []
    for number in range(size.workers):
        queue = f"flight-{number}"
        async with scene.worker(queue, size.flight) as pid:
            before = memory_kb(pid)["Rss"]
            await scene.oms.enqueue_many(queue, [_PATIENCE_S] * size.flight)
            await scene.until_stats(queue, lambda stats: stats.in_progress == size.flight)
            await anyio.sleep(scene.settled_s)
            grown.append((memory_kb(pid)["Rss"] - before) / size.flight)
    return [Figure(f"{size.flight:,} sleeping tasks, RSS each", statistics.median(grown), "kB", 3)]


async def steady(scene: Scene, size: Size) -> list[Figure]:
    """How much memory a worker gains over many tasks that do nothing.

    The allocator may take two megabytes at once, at any time and never again: hence the median.
    The target is less than half of what the smallest object kept of each task would take.
    """
    warm, grown = size.tasks // 4, list[float]()
    for number in range(size.workers):
        queue = f"steady-{number}"
        async with scene.worker(queue, 100) as pid:
            await _drain(scene, queue, warm)
            before = memory_kb(pid)["Rss"]
            await _drain(scene, queue, size.tasks - warm)
            grown.append(memory_kb(pid)["Rss"] - before)
    name = f"RSS after {size.tasks:,} tasks, beyond that after {warm:,}"
    return [Figure(name, statistics.median(grown), "kB", 1_024)]


async def _drain(scene: Scene, queue: str, tasks: int) -> None:
    while tasks > 0:
        await scene.oms.enqueue_many(queue, [0] * min(tasks, _A_CALL))
        tasks -= _A_CALL
        await scene.until_stats(queue, lambda stats: not stats.open)


async def at_rest(scene: Scene, size: Size) -> list[Figure]:
    """What a worker does while there is nothing to do."""
    async with scene.worker("rest") as pid, monitored(scene.url) as commands:
        began, cpu = time.monotonic(), cpu_s(pid)
        count = await commands(size.idle_s)
        took = time.monotonic() - began
        share = (cpu_s(pid) - cpu) / took * 100
    return [
        Figure(f"worker at rest for {size.idle_s:g} s, commands", count / took, "a second", 2),
        Figure(f"worker at rest for {size.idle_s:g} s, CPU", share, "%", 0.5),
    ]


@asynccontextmanager
async def monitored(url: str) -> AsyncGenerator[Callable[[float], Awaitable[int]]]:
    """Listen to a server; gives what counts the commands of clients for some seconds.

    Those that scripts call are not counted: the server marks them.
    """
    host, _, port = url.removeprefix("redis://").partition("/")[0].rpartition(":")
    async with await anyio.connect_tcp(host, int(port)) as stream:
        await stream.send(b"MONITOR\r\n")

        async def count(seconds: float) -> int:
            heard = bytearray()
            with anyio.move_on_after(seconds):
                while True:
                    heard.extend(await stream.receive())
            lines = [line for line in heard.splitlines() if b"[" in line]
            return sum(b" lua]" not in line for line in lines)

        yield count


async def on_server(kind: Kind, folder: Path, size: Size) -> list[Figure]:
    """How much memory of the server a task takes that waits there."""
    server = Server(kind.with_fsync(None), folder)
    server.start()
    try:
        await until(server.answers)
        return [
            Figure(
                f"{server.name()}, 100 bytes queued {'with' if sla else 'without'} a promise",
                await _queued_bytes(server.url, sla, size.queued),
                "bytes a task",
            )
            for sla in (None, "2h")
        ]
    finally:
        server.close()


async def _queued_bytes(url: str, sla: str | None, tasks: int) -> float:
    async with Store(url) as store, AsyncOMSClient(store=store) as oms:
        queue = "with" if sla else "without"
        await oms.create_queue(queue, sla=sla)
        await oms.enqueue(queue, _PAYLOAD)
        before = await _used(store)
        for first in range(0, tasks, _A_CALL):
            await oms.enqueue_many(queue, [_PAYLOAD] * min(tasks - first, _A_CALL))
        return (await _used(store) - before) / tasks


async def _used(store: Store) -> int:
    return int((await store.server_info())["used_memory"])


@contextmanager
def _folder() -> Generator[Path]:
    # Killed processes may leave something behind that is still being written.
    with tempfile.TemporaryDirectory(prefix="hms-", ignore_cleanup_errors=True) as name:
        yield Path(name)


async def measured(size: Size, tell: Callable[[Figure], object]) -> list[Figure]:
    """Measure all of it; each figure is told of as soon as it is there."""
    figures: list[Figure] = []

    def note(more: Iterable[Figure]) -> None:
        for figure in more:
            figures.append(figure)
            tell(figure)

    with _folder() as folder:
        note(starts(size, folder))
        with running() as server:
            async with AsyncOMSClient(server.url) as oms:
                scene = Scene(server.url, folder, oms, settled_s=size.settled_s, python=size.python)
                for part in (at_start, in_flight, steady, at_rest):
                    note(await part(scene, size))
        for kind in found().values():
            note(await on_server(kind, folder / kind.name, size))
    return figures


def _tell(figure: Figure) -> None:
    print(figure, flush=True)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures, too")
    parser.add_argument("--rounds", type=int, default=Size().rounds)
    parser.add_argument("--tasks", type=int, default=Size().tasks)
    parser.add_argument("--idle", type=float, default=Size().idle_s, metavar="SECONDS")
    parser.add_argument("--python", default=Size().python, help="of the environment to measure")
    given = parser.parse_args()
    size = Size(rounds=given.rounds, tasks=given.tasks, idle_s=given.idle, python=given.python)
    print(f"{'':58} {'figure':>10} {'target':>10}")
    figures = anyio.run(measured, size, _tell)
    if given.json:
        document = {"schema": _SCHEMA, "figures": figures}
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")


if __name__ == "__main__":
    main()
