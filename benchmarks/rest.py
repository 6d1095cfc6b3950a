"""What HTTP costs: a queue drained by pop and complete beside a native worker, and wake-ups.

The worker is this process in both cases, the API a process of its own. Over HTTP it has some
connections, on each of which it pops, then says what it has popped is done, and so on.
"""

import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import msgspec
from anyio.streams.buffered import BufferedByteReceiveStream

from benchmarks.faults.processes import Owned
from benchmarks.footprint import cpu_s
from benchmarks.speed.quantiles import latencies, spread
from benchmarks.speed.server import Server, running
from hms_async import AsyncOMSClient, AsyncWorker, Task, handler

CONNECTIONS = 4
SLOTS = 100
_SCHEMA = "hms.rest/v1"
_PATIENCE_S = 60.0
_A_CALL = 5_000
_LOOK_S = 0.01


class Drain(msgspec.Struct, frozen=True):
    """One queue drained.

    Attributes:
        way: How.
        rate: Tasks a second.
        api_ms: CPU of the API a task, in milliseconds.
        server_ms: CPU of the server a task, in milliseconds.
        commands: Commands of the server a task, those inside of scripts among them.
    """

    way: str
    rate: float
    api_ms: float
    server_ms: float
    commands: float


class Report(msgspec.Struct, frozen=True):
    """What was measured.

    Attributes:
        tasks: How many a queue had, by way.
        drains: All runs.
        wake_ms: How long after an enqueue call began a long poll was answered.
        schema: The form of this document.
    """

    tasks: dict[str, int]
    drains: list[Drain]
    wake_ms: dict[str, float]
    schema: str = _SCHEMA


class Connection:
    """A connection to the API, with as little of HTTP as is needed, so that its cost is not ours.

    Args:
        url: Where the API is.
    """

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self._host, self._port = where.hostname or "", where.port or 80

    @asynccontextmanager
    async def open(self) -> AsyncGenerator["Connection"]:
        """Connect."""
        async with await anyio.connect_tcp(self._host, self._port) as self._stream:
            self._reader = BufferedByteReceiveStream(self._stream)
            yield self

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Make one call, and return the document in its answer.

        Raises:
            RuntimeError: If it was refused.
        """
        data = b"" if body is None else msgspec.json.encode(body)
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(data)}"
        await self._stream.send(head.encode() + b"\r\n\r\n" + data)
        answer = (await self._reader.receive_until(b"\r\n\r\n", 65_536)).decode().lower()
        length = int(answer.partition("content-length: ")[2].partition("\r\n")[0])
        document = await self._reader.receive_exactly(length)
        if not answer.startswith("http/1.1 200"):
            raise RuntimeError(f"{path}: {document.decode()}")
        return msgspec.json.decode(document)


@contextmanager
def serving(url: str, command: str = "api") -> Generator[tuple[Owned, str]]:
    """Run `hms api`, or another command that serves; gives the process and where it serves."""
    with tempfile.TemporaryDirectory(prefix="hms-bench-") as folder:
        log = Path(folder) / "api.log"
        words = [sys.executable, "-m", "hms_async", command, "--bind", "127.0.0.1:0"]
        words += ["--log-level", "error"]
        process = Owned(words, log, os.environ | {"HMS_URL": url})
        try:
            deadline = time.monotonic() + _PATIENCE_S
            while "ready." not in (said := log.read_text()):
                if process.died is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"hms api does not serve: {said}")
                time.sleep(_LOOK_S)
            yield process, said.partition("API:")[2].split()[0].removesuffix("/oms")
        finally:
            process.terminate()
            process.join(_PATIENCE_S)


async def native(url: str, tasks: int) -> float:
    """Drain the queue as a worker process does; returns how many seconds it took."""
    left, began, ended = tasks, 0.0, 0.0
    done = anyio.Event()

    @handler(queue="q")
    async def work(_: Task[Any]) -> None:
        nonlocal left, began, ended
        began = began or time.monotonic()
        left -= 1
        if not left:
            ended = time.monotonic()
            done.set()

    worker = AsyncWorker(handlers=[work], url=url, concurrency=SLOTS)
    async with anyio.create_task_group() as group:
        group.start_soon(worker.run)
        await done.wait()
        worker.stop()
    return ended - began


async def over_http(url: str, tasks: int, *, most: int) -> float:
    """Drain the queue by pop and complete; returns how many seconds it took."""
    left = tasks

    async def drain(connection: Connection) -> None:
        nonlocal left
        asked = {"queue": "q", "max": most, "worker": "bench"}
        while left > 0:
            popped = (await connection.ask("POST", "/oms/pop", asked))["tasks"]
            done = [{"id": one["id"], "token": one["token"]} for one in popped]
            if done:
                body = done[0] if most == 1 else {"tasks": done}
                await connection.ask("POST", "/oms/complete", body)
                left -= len(done)

    async def connected() -> None:
        async with Connection(url).open() as connection:
            await drain(connection)

    began = time.monotonic()
    async with anyio.create_task_group() as group:
        for _ in range(CONNECTIONS):
            group.start_soon(connected)
    return time.monotonic() - began


async def wake_ups(oms: AsyncOMSClient, url: str, count: int) -> list[float]:
    """Let one long poll after another be woken; returns after how many seconds each had its task.

    From just before the enqueue call in this process to the answer's end in it.
    """
    lags: list[float] = []
    began = answered = 0.0

    async def poll(connection: Connection) -> None:
        nonlocal answered
        asked = {"queue": "q", "wait": "30s", "worker": "bench"}
        one = (await connection.ask("POST", "/oms/pop", asked))["tasks"][0]
        answered = time.monotonic()
        await connection.ask("POST", "/oms/complete", {"id": one["id"], "token": one["token"]})

    async with Connection(url).open() as connection, Connection(url).open() as other:
        for _ in range(count):
            async with anyio.create_task_group() as group:
                group.start_soon(poll, connection)
                while not (await other.ask("GET", "/status"))["polls"]:
                    pass
                began = time.monotonic()
                await oms.enqueue("q", None)
            lags.append(answered - began)
    return lags


async def measure(*, tasks: int, singles: int, rounds: int, wakes: int) -> Report:
    """Run all ways in turn, so that a machine that grows slow is slow for all."""
    with running("valkey") as server, serving(server.url) as (api, url):
        ways: dict[str, tuple[int, Callable[[int], Awaitable[float]]]] = {
            "native worker": (tasks, partial(native, server.url)),
            "HTTP, batches of 50": (tasks, partial(over_http, url, most=50)),
            "HTTP, one by one": (singles, partial(over_http, url, most=1)),
        }
        async with AsyncOMSClient(server.url) as oms:
            await oms.create_queue("q")
            drains = [
                await _drain(server, api, oms, way=name, tasks=ways[name][0], drain=ways[name][1])
                for number in range(rounds)
                for name in (list(ways) if number % 2 == 0 else list(reversed(ways)))
            ]
            lags = await wake_ups(oms, url, wakes)
    return Report({name: count for name, (count, _) in ways.items()}, drains, latencies(lags))


async def _drain(
    server: Server,
    api: Owned,
    oms: AsyncOMSClient,
    *,
    way: str,
    tasks: int,
    drain: Callable[[int], Awaitable[float]],
) -> Drain:
    for first in range(0, tasks, _A_CALL):
        await oms.enqueue_many("q", [None] * min(_A_CALL, tasks - first))
    before, cpu = server.look(), cpu_s(api.pid)
    seconds = await drain(tasks)
    spent = server.look().since(before)
    return Drain(
        way=way,
        rate=tasks / seconds,
        api_ms=1_000 * (cpu_s(api.pid) - cpu) / tasks,
        server_ms=1_000 * spent.cpu / tasks,
        commands=spent.commands / tasks,
    )


def table(report: Report) -> str:
    """Return the figures as Markdown."""
    lines = ["| | tasks/s | API CPU ms | server CPU ms | commands |", "|---|---|---|---|---|"]
    for way in report.tasks:
        runs = [run for run in report.drains if run.way == way]
        median, least, most = spread([run.rate for run in runs])
        rest = (_middle([run.api_ms for run in runs]), _middle([run.server_ms for run in runs]))
        commands = _middle([run.commands for run in runs])
        lines.append(
            f"| {way} | **{median:,.0f}** ({least:,.0f}..{most:,.0f}) | {rest[0]:.3g} "
            f"| {rest[1]:.3g} | {commands:.3g} |"
        )
    wake = report.wake_ms
    told = ", ".join(f"{name.removesuffix('_ms')} {wake[name]:.1f}" for name in wake)
    return "\n".join([*lines, "", f"A long poll is woken after, in ms: {told}."])


def _middle(values: Sequence[float]) -> float:
    return spread(values)[0]
