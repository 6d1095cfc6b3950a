"""How long the dashboard's pages take while the store holds very much."""

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import anyio
import msgspec
from anyio import to_thread
from anyio.streams.buffered import BufferedByteReceiveStream

from benchmarks.footprint import cpu_s
from benchmarks.rest import serving
from benchmarks.speed.quantiles import quantile
from benchmarks.speed.server import running
from hms_async import AsyncOMSClient, TaskState

_SCHEMA = "hms.dashboard/v1"
_A_CALL = 5_000
_PAUSE_S = 1.1  # longer than a reading is kept for all who look


class Page(msgspec.Struct, frozen=True):
    """What one page took.

    Attributes:
        page: Its path.
        p50_ms: Half of the looks were answered within this.
        p95_ms: All but a twentieth were.
        cpu_ms: CPU of the process that serves it, a look.
        bytes: How long it is.
    """

    page: str
    p50_ms: float
    p95_ms: float
    cpu_ms: float
    bytes: int


class Report(msgspec.Struct, frozen=True):
    """What was measured.

    Attributes:
        queues: How many there were.
        tasks: Open tasks in all of them.
        pages: What each page took.
        schema: The form of this document.
    """

    queues: int
    tasks: int
    pages: list[Page]
    schema: str = _SCHEMA


async def measure(*, queues: int, tasks: int, looks: int) -> Report:
    """Fill a store and look at pages, each look long enough after the last to read anew."""
    with running("valkey") as server:
        names = [f"queue-{n:03}" for n in range(queues)]
        async with AsyncOMSClient(server.url) as oms:
            for name in names:
                await oms.create_queue(name, sla="2h")
            for name, share in zip(names, _shares(tasks, queues), strict=True):
                for first in range(0, share, _A_CALL):
                    count = min(_A_CALL, share - first)
                    await oms.enqueue_many(name, [{"n": n} for n in range(count)])
            first_task = (await oms.list_tasks(names[0], TaskState.WAITING, limit=1)).tasks[0].id
        with serving(server.url, "web") as (process, url):
            paths = ("/ui/", f"/ui/q/{names[0]}", f"/ui/t/{first_task}")
            pages = [await _look(url, path, looks, process.pid) for path in paths]
    return Report(queues=queues, tasks=tasks, pages=pages)


def _shares(tasks: int, queues: int) -> Iterator[int]:
    for n in range(queues):
        yield tasks * (n + 1) // queues - tasks * n // queues


async def _look(url: str, path: str, looks: int, pid: int) -> Page:
    await to_thread.run_sync(time.sleep, _PAUSE_S)
    took: list[float] = []
    size = 0
    before = cpu_s(pid)
    for _ in range(looks):
        began = time.perf_counter()
        size = await _get(url, path)
        took.append((time.perf_counter() - began) * 1_000)
        await anyio.sleep(_PAUSE_S)
    return Page(
        page=path,
        p50_ms=round(quantile(took, 0.5), 1),
        p95_ms=round(quantile(took, 0.95), 1),
        cpu_ms=round((cpu_s(pid) - before) * 1_000 / looks, 1),
        bytes=size,
    )


async def _get(url: str, path: str) -> int:
    where = urlsplit(url)
    host, port = where.hostname or "", where.port or 80
    async with await anyio.connect_tcp(host, port) as stream:
        reader = BufferedByteReceiveStream(stream)
        await stream.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        answer = (await reader.receive_until(b"\r\n\r\n", 65_536)).decode().lower()
        if not answer.startswith("http/1.1 200"):
            raise RuntimeError(f"{path}: {answer}")
        length = int(answer.partition("content-length: ")[2].partition("\r\n")[0])
        await reader.receive_exactly(length)
        return length


def table(report: Report) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        f"{report.queues} queues, {report.tasks:,} open tasks",
        "",
        "| page | p50 ms | p95 ms | CPU ms | kB |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.page} | {one.p50_ms:.1f} | {one.p95_ms:.1f} | {one.cpu_ms:.1f} "
        f"| {one.bytes / 1_000:.0f} |"
        for one in report.pages
    ]
    return "\n".join(lines)
