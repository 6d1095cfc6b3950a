"""What the counters cost, and a scrape of them.

The scripts are called with the counters and without, in turn, call by call, so that a machine that
grows slow is slow for both. What is left out is all that only metrics need: the histograms, the
counters of a minute, and whether promises were kept. Totals of tasks stay, as the queue itself goes
by them. And a worker drains a queue both ways, in pairs of rounds.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest.mock import patch

import anyio
import msgspec

from benchmarks.milestones import cpu_s
from hms_async import AsyncOMSClient, AsyncWorker, Task
from hms_async.storage import measure as measuring
from hms_async.storage.embedded import running
from hms_async.storage.replies import Enqueue, Settle
from hms_async.storage.scripts import Script, load
from hms_async.storage.store import Store
from hms_async.telemetry.metrics import QueueMetrics

_SCHEMA = "hms.counting/v1"
_SLOTS = 100
_SIZES = (100, 10)
_LOOKS = 30
WITHOUT = {
    "local function observe(into, value)\n": "local function observe() do return end\n",
    "  if not instant then return 0 end\n": "  do return instant and NOW - instant or 0 end\n",
    "add_to(STATS, n, fields, amounts)\n": "\n",
    "minute_is_new = redis.call('HLEN', STATS) == 0\n": "\n",
    "redis.call('HINCRBY', STATS, 'accepted', accepted)\n": "\n",
    "kept.missed = kept.missed + 1\n": "\n",
    "kept.met = kept.met + 1\n": "\n",
}


class Pair(msgspec.Struct, frozen=True):
    """Two rounds, one after the other, with counters and without.

    Attributes:
        rates: Tasks a second.
        server_us: What a task cost the server, in microseconds of its CPU.
    """

    rates: tuple[float, float]
    server_us: tuple[float, float]


class Calls(msgspec.Struct, frozen=True):
    """What calls of a script took, with counters and without, each from its send to its reply.

    Attributes:
        script: Which.
        size: How many tasks a call had.
        us: Microseconds for each task, the median of the calls.
        lost: Which share is lost to counting, the median of the pairs.
    """

    script: str
    size: int
    us: tuple[float, float]
    lost: float


class Scrape(msgspec.Struct, frozen=True):
    """What one scrape costs.

    Attributes:
        queues: Of how many queues.
        scripts: How many scripts it calls.
        commands: How many commands that is for the server, those inside of the scripts included.
        round_trips: How often the server read from a connection.
        read_ms: How long the read takes, the median.
        text_ms: How long it takes with the text, the median.
        kilobytes: How long the text is.
    """

    queues: int
    scripts: int
    commands: int
    round_trips: int
    read_ms: float
    text_ms: float
    kilobytes: float


class Report(msgspec.Struct, frozen=True):
    """What was measured.

    Attributes:
        calls: What the scripts took.
        tasks: How many there were in a round.
        pairs: The rounds.
        scrape: The cost of a scrape.
        schema: The form of this document.
    """

    calls: list[Calls]
    tasks: int
    pairs: list[Pair]
    scrape: Scrape
    schema: str = _SCHEMA

    def lost(self, cost: Callable[[Pair], float]) -> float:
        """Return which share is lost to counting, the median over the pairs."""
        return statistics.median(cost(pair) for pair in self.pairs)


@cache
def without_counters(name: str) -> Script:
    """Return a script that counts nothing that only metrics need."""
    text = load(name).text
    for counting, nothing in WITHOUT.items():
        text = text.replace(counting, nothing)
    return Script.of(name, text)


@contextmanager
def _counting(on: bool) -> Generator[None]:  # noqa: FBT001  # reads like a switch
    if on:
        yield
    else:
        with patch("hms_async.storage.server.load", without_counters):
            yield


async def _call(url: str, calls: int, size: int) -> list[Calls]:
    """Call the scripts of a task's life, with so many tasks each time."""
    took: dict[str, dict[bool, list[float]]] = {
        script: {True: [], False: []} for script in ("enqueue", "exchange")
    }
    settles: list[list[Settle]] = [[], []]
    async with Store(url) as store, AsyncOMSClient(store=store) as oms:
        for lane in (0, 1):
            await oms.create_queue(f"{size}-{lane}", sla="2h")
        for number in range(calls):
            # Both ways, in either order, at either queue: whatever else differs evens out.
            for lane in (0, 1) if number % 2 else (1, 0):
                on = (number // 2 + lane) % 2 == 0
                queue = f"{size}-{lane}"
                names = [f"{size}-{number}-{n}-{lane}" for n in range(size)]
                items = [Enqueue(name, b'{"v":1,"payload":0}') for name in names]
                with _counting(on):
                    began = time.perf_counter()
                    await store.enqueue(queue, items)
                    between = time.perf_counter()
                    reply = await store.exchange(
                        queue,
                        worker="w",
                        incarnation="counting",
                        lane=lane,
                        seq=number + 1,
                        settles=settles[lane],
                        want=size,
                    )
                    ended = time.perf_counter()
                claims = reply.claims if reply else []
                settles[lane] = [
                    Settle(claim.id, claim.token, "done", "", b"0") for claim in claims
                ]
                took["enqueue"][on].append(between - began)
                took["exchange"][on].append(ended - between)
    return [
        Calls(
            script,
            size,
            (_us(times[True], size), _us(times[False], size)),
            statistics.median(
                on / off - 1 for on, off in zip(times[True], times[False], strict=True)
            ),
        )
        for script, times in took.items()
    ]


def _us(times: list[float], size: int) -> float:
    return statistics.median(times) / size * 1e6


async def _drain(url: str, tasks: int) -> tuple[float, float]:
    """Drain a queue; returns tasks a second, and microseconds of the server for each."""
    async with AsyncOMSClient(url) as oms:
        await oms.create_queue("q", sla="2h")
        await oms.enqueue_many("q", [0] * tasks)
        left, done = tasks, anyio.Event()

        async def handle(_: Task[Any]) -> None:
            nonlocal left
            left -= 1
            if not left:
                done.set()

        worker = AsyncWorker(
            queue="q", handler=handle, concurrency=_SLOTS, url=url, supervise=False
        )
        cpu, began = cpu_s(url), time.perf_counter()
        figures = 0.0, 0.0
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run)
            await done.wait()
            took, used = time.perf_counter() - began, cpu_s(url) - cpu
            figures = tasks / took, used / tasks * 1e6
            group.cancel_scope.cancel()
    return figures


async def _scrape(url: str, queues: int) -> Scrape:
    async with Store(url) as store, AsyncOMSClient(store=store) as oms:
        for number in range(queues):
            await oms.create_queue(f"q{number}", sla="2h")
            await oms.enqueue_many(f"q{number}", [0] * 20)
        seconds = itertools.count()
        exporter = QueueMetrics(store, clock=lambda: float(next(seconds)))
        text = await exporter.text()
        before = await _info(store)
        await measuring.read(store)
        after = await _info(store)
        read: list[float] = []
        whole: list[float] = []
        for _ in range(_LOOKS):
            began = time.perf_counter()
            await measuring.read(store)
            between = time.perf_counter()
            await exporter.text()
            whole.append((time.perf_counter() - between) * 1_000)
            read.append((between - began) * 1_000)
    scripts, commands, reads = (now - then for now, then in zip(after, before, strict=True))
    # The look itself is a command and a read.
    return Scrape(
        queues,
        scripts,
        commands - 1,
        reads - 1,
        statistics.median(read),
        statistics.median(whole),
        len(text) / 1_000,
    )


async def _info(store: Store) -> tuple[int, int, int]:
    """Return how many scripts were called so far, how many commands, and reads."""
    info = await store.ask("INFO", "everything")
    scripts = sum(
        info[name]["calls"] for name in ("cmdstat_eval", "cmdstat_evalsha") if name in info
    )
    return scripts, int(info["total_commands_processed"]), int(info["total_reads_processed"])


async def measure(*, calls: int, tasks: int, rounds: int, queues: int) -> Report:
    """Measure all of it, on one server that is emptied between rounds."""
    pairs: list[Pair] = []
    with running() as server:
        called = [one for size in _SIZES for one in await _call(server.url, calls, size)]
        async with Store(server.url) as store:
            for number in range(rounds):
                # Whoever comes first takes turns as well.
                order = (True, False) if number % 2 == 0 else (False, True)
                found: dict[bool, tuple[float, float]] = {}
                for on in order:
                    await store.ask("FLUSHALL")
                    with _counting(on):
                        found[on] = await _drain(server.url, tasks)
                pairs.append(
                    Pair(
                        rates=(found[True][0], found[False][0]),
                        server_us=(found[True][1], found[False][1]),
                    )
                )
            await store.ask("FLUSHALL")
        return Report(called, tasks, pairs, await _scrape(server.url, queues))


def table(report: Report) -> str:
    """Return the figures as Markdown."""
    rate = report.lost(lambda pair: 1 - pair.rates[0] / pair.rates[1])
    server = report.lost(lambda pair: pair.server_us[0] / pair.server_us[1] - 1)
    scrape = report.scrape
    lines = [
        "|  | with counters | without | lost |",
        "|---|---|---|---|",
        *(
            f"| `{one.script}`, {one.size} tasks a call, us a task | {one.us[0]:.2f} | "
            f"{one.us[1]:.2f} | {one.lost:.1%} |"
            for one in report.calls
        ),
        _row(
            f"drain, {len(report.pairs)} pairs of {report.tasks:,} tasks: tasks/s",
            [pair.rates for pair in report.pairs],
            rate,
        ),
        _row("drain: server CPU us a task", [pair.server_us for pair in report.pairs], server),
        "",
    ]
    lines.append(
        f"A scrape of {scrape.queues} queues: {scrape.scripts} script calls "
        f"({scrape.commands:,} commands inside of them and beside), {scrape.round_trips} round "
        f"trips, {scrape.read_ms:.1f} ms until all is read, {scrape.text_ms:.1f} ms with the text "
        f"of {scrape.kilobytes:.0f} kB."
    )
    return "\n".join(lines)


def _row(name: str, values: list[tuple[float, float]], lost: float) -> str:
    on, off = (statistics.median(pair[n] for pair in values) for n in (0, 1))
    return f"| {name} | {on:,.1f} | {off:,.1f} | {lost:.1%} |"
