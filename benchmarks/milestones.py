"""How late rungs of the promise speak when many tasks reach them, and what that costs the server.

A real server holds open tasks with the default ladder, of which the page comes sooner. Each rung
is reached over some seconds, or by all tasks at one instant, while a supervisor sweeps. And what
looks at a queue, `stats`, `forecast` and a sweep with nothing to do, is timed beside long queues.
"""

import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import anyio
import msgspec

from benchmarks.speed.quantiles import quantile
from hms_async import AsyncOMSClient, Supervisor
from hms_async.domain.sla import DEFAULT_LADDER
from hms_async.storage import watching
from hms_async.storage.connect import connect_for_thread
from hms_async.storage.embedded import running
from hms_async.storage.replies import RungFired, Swept
from hms_async.storage.store import SWEEP_LIMIT, Store
from hms_async.testing import ManualClock

_SCHEMA = "hms.milestones/v1"
_A_CALL = 250
_APART_S = 10.0  # rungs that all reach at one instant
_MOST_LATE_S = 60.0
_LOOKS = 200


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """What a supervisor did while all tasks went through the ladder.

    Attributes:
        tasks: How many were open.
        over_s: Over how many seconds they reach each rung.
        spoken: How many rungs spoke.
        collapsed: How many lower ones were left to a higher one.
        lag_s: How long after its instant a rung spoke: the median, the 99th percentile, the most.
        calls: How many sweeps there were.
        call_ms: How long one took that had something to say, from the call until its reply was
            read: the median and the most.
        server_cpu_s: The server's CPU time meanwhile.
        took_s: How long it all took.
    """

    tasks: int
    over_s: float
    spoken: int
    collapsed: int
    lag_s: tuple[float, float, float]
    calls: int
    call_ms: tuple[float, float]
    server_cpu_s: float
    took_s: float


class Looked(msgspec.Struct, frozen=True):
    """What looking at a queue cost.

    Attributes:
        waiting: How many tasks waited in it.
        call_ms: The median of each script's calls.
    """

    waiting: int
    call_ms: dict[str, float]


class Report(msgspec.Struct, frozen=True):
    """What was measured.

    Attributes:
        watched: A supervisor's work.
        looked: The cost of a look.
        schema: The form of this document.
    """

    watched: list[Watched]
    looked: list[Looked]
    schema: str = _SCHEMA


class _Noting(Store):
    """A store that notes what its sweeps said, and how long each took."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.rungs: list[RungFired] = []
        self.calls = 0
        self.took_ms: list[float] = []

    async def sweep(self, queue: str, limit: int = SWEEP_LIMIT) -> Swept:
        """Sweep, and note."""
        began = time.perf_counter()
        swept = await super().sweep(queue, limit)
        self.calls += 1
        if swept.rungs:
            self.took_ms.append((time.perf_counter() - began) * 1_000)
        self.rungs += swept.rungs
        return swept


async def watch(url: str, tasks: int, over_s: float) -> Watched:
    """Let a supervisor see all tasks through the ladder."""
    queue = f"over-{over_s:g}"
    apart_s = over_s or _APART_S
    promise_s = apart_s * 100 / (100 - DEFAULT_LADDER[0].percent)
    ladder = [str(rung) for rung in DEFAULT_LADDER[:2]] + [f"100%+{round(apart_s * 1_000)}ms page"]
    async with _Noting(url) as store:
        async with AsyncOMSClient(store=store) as oms:
            await oms.create_queue(queue, sla=promise_s, ladder=ladder)
        await _fill(url, queue, tasks, over_s, until_warned_s=promise_s - apart_s)
        cpu, began = cpu_s(url), time.monotonic()
        expected = tasks * len(DEFAULT_LADDER)
        async with anyio.create_task_group() as group:
            group.start_soon(Supervisor(store=store, queues=[queue]).run)
            with anyio.fail_after(3 * apart_s + _MOST_LATE_S + tasks / 1_000):
                while sum(1 + one.collapsed for one in store.rungs) < expected:  # noqa: ASYNC110
                    await anyio.sleep(0.2)
            group.cancel_scope.cancel()
        lags = [one.late_by_ms / 1_000 for one in store.rungs]
        return Watched(
            tasks=tasks,
            over_s=over_s,
            spoken=len(lags),
            collapsed=expected - len(lags),
            lag_s=(quantile(lags, 0.5), quantile(lags, 0.99), max(lags)),
            calls=store.calls,
            call_ms=(statistics.median(store.took_ms), max(store.took_ms)),
            server_cpu_s=cpu_s(url) - cpu,
            took_s=time.monotonic() - began,
        )


async def _fill(url: str, queue: str, tasks: int, over_s: float, *, until_warned_s: float) -> None:
    """Enqueue tasks with arrivals in the past, so that the first rung is reached a little later."""
    lead_s = 2 + tasks / 5_000
    clock = ManualClock(round((time.time() + lead_s - until_warned_s) * 1_000))
    async with Store(url, clock=clock) as store, AsyncOMSClient(store=store) as oms:
        for first in range(0, tasks, _A_CALL):
            number = min(_A_CALL, tasks - first)
            await oms.enqueue_many(queue, [0] * number)
            clock.advance(over_s * number / tasks)


def cpu_s(url: str) -> float:
    """Return the server's CPU time so far, in seconds."""
    with connect_for_thread(url) as connection:
        client: Any = connection
        info: dict[str, Any] = client.execute_command("INFO", "cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


async def look(url: str, sizes: Sequence[int]) -> list[Looked]:
    """Time looks at a queue while it grows to these lengths."""
    found: list[Looked] = []
    async with Store(url) as store, AsyncOMSClient(store=store) as oms:
        await oms.create_queue("long", sla="24h")
        looks: dict[str, Callable[[], Awaitable[object]]] = {
            "stats": partial(store.stats, "long"),
            "forecast": partial(watching.read_backlog, store, "long"),
            "sweep": partial(store.sweep, "long"),
        }
        there = 0
        for size in sizes:
            for first in range(there, size, 10_000):
                await oms.enqueue_many("long", [0] * min(10_000, size - first))
            there = size
            took = {name: await _median_ms(ask) for name, ask in looks.items()}
            found.append(Looked(size, took))
    return found


async def _median_ms(ask: Callable[[], Awaitable[object]]) -> float:
    times: list[float] = []
    for _ in range(_LOOKS):
        began = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - began) * 1_000)
    return statistics.median(times)


async def measure(*, tasks: int, over_s: Sequence[float], waiting: Sequence[int]) -> Report:
    """Measure all of it, each part on a server of its own."""
    watched: list[Watched] = []
    for spread_s in over_s:
        with running() as server:
            watched.append(await watch(server.url, tasks, spread_s))
    with running() as server:
        return Report(watched, await look(server.url, waiting))


def table(report: Report) -> str:
    """Return the figures as Markdown."""
    head = "open tasks,each rung is reached,rungs spoken (collapsed),lag p50 s,p99 s,max s,calls,"
    head += "a call: median ms,max ms,server CPU s,of one core"
    lines = [f"| {head.replace(',', ' | ')} |", "|---" * 11 + "|"]
    for one in report.watched:
        lag = " | ".join(f"{seconds:.2f}" for seconds in one.lag_s)
        call = " | ".join(f"{ms:.1f}" for ms in one.call_ms)
        reached = f"over {one.over_s:g} s" if one.over_s else "at one instant"
        lines.append(
            f"| {one.tasks:,} | {reached} | {one.spoken:,} ({one.collapsed:,}) | {lag} "
            f"| {one.calls:,} | {call} | {one.server_cpu_s:.1f} "
            f"| {one.server_cpu_s / one.took_s:.0%} |"
        )
    names = list(report.looked[0].call_ms) if report.looked else []
    lines += ["", f"| waiting tasks | {' ms | '.join(names)} ms |", "|---" * (1 + len(names)) + "|"]
    for look_ in report.looked:
        shown = " | ".join(f"{ms:.2f}" for ms in look_.call_ms.values())
        lines.append(f"| {look_.waiting:,} | {shown} |")
    return "\n".join(lines)
