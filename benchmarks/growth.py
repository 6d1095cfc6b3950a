"""Whether a worker stays as fast while what waits grows, and the queues that it serves.

All figures are of one server and one process. Each rate is that of the same number of tasks: what
differs is only how many lie behind them, or over how many queues they are spread.
"""

import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

import anyio
import msgspec

from hms_async import AsyncOMSClient, AsyncWorker, Task
from hms_async.runtime.handlers import bind
from hms_async.storage.embedded import running
from hms_async.storage.store import Store

_SCHEMA = "hms.growth/v1"
_SLOTS = 100
_A_CALL = 10_000
_LOOKS = 30


class Length(msgspec.Struct, frozen=True):
    """One length of a queue.

    Attributes:
        waiting: How many tasks lay behind those that were done.
        rates: Tasks a second, of each round.
        stats_ms: How long a look at the queue takes, the median.
        sweep_ms: The same for a supervisor's sweep.
    """

    waiting: int
    rates: list[float]
    stats_ms: float
    sweep_ms: float


class Spread(msgspec.Struct, frozen=True):
    """One number of queues that a worker serves.

    Attributes:
        queues: How many.
        rates: Tasks a second, of each round.
    """

    queues: int
    rates: list[float]


class Report(msgspec.Struct, frozen=True):
    """What was measured.

    Attributes:
        tasks: How many were done for each rate.
        lengths: By how many wait.
        spreads: By how many queues are served.
        schema: The form of this document.
    """

    tasks: int
    lengths: list[Length]
    spreads: list[Spread]
    schema: str = _SCHEMA


async def measure(
    *, tasks: int, waiting: Sequence[int], queues: Sequence[int], rounds: int
) -> Report:
    """Measure all of it, the lengths and the spreads in turn in each round."""
    lengths: dict[int, list[float]] = {many: [] for many in waiting}
    spreads: dict[int, list[float]] = {many: [] for many in queues}
    looks: dict[int, tuple[float, float]] = {}
    with running() as server:
        async with Store(server.url) as store, AsyncOMSClient(store=store) as oms:
            for _ in range(rounds):
                for many, rates in lengths.items():
                    await store.ask("FLUSHALL")
                    await _fill(oms, "long", tasks + many)
                    rates.append(await _drain(server.url, ["long"], tasks))
                    looks[many] = await _look(store, oms)
                for many, rates in spreads.items():
                    await store.ask("FLUSHALL")
                    names = [f"queue-{number}" for number in range(many)]
                    for name, share in zip(names, _shares(tasks, many), strict=True):
                        await _fill(oms, name, share)
                    rates.append(await _drain(server.url, names, tasks))
    return Report(
        tasks,
        [Length(many, rates, *looks[many]) for many, rates in lengths.items()],
        [Spread(many, rates) for many, rates in spreads.items()],
    )


def _shares(tasks: int, queues: int) -> Iterator[int]:
    for number in range(queues):
        yield tasks * (number + 1) // queues - tasks * number // queues


async def _fill(oms: AsyncOMSClient, queue: str, tasks: int) -> None:
    await oms.create_queue(queue, sla="2h")
    for first in range(0, tasks, _A_CALL):
        await oms.enqueue_many(queue, [0] * min(_A_CALL, tasks - first))


async def _drain(url: str, queues: Sequence[str], tasks: int) -> float:
    """Do so many tasks of some queues; returns tasks a second, from the first start to the end."""
    left, began, ended, done = tasks, 0.0, 0.0, anyio.Event()

    async def handle(_: Task[Any]) -> None:
        nonlocal left, began, ended
        began = began or time.perf_counter()
        left -= 1
        if not left:
            ended = time.perf_counter()
            done.set()

    handlers = [bind(handle, queue) for queue in queues]
    worker = AsyncWorker(handlers=handlers, concurrency=_SLOTS, url=url, supervise=False)
    async with anyio.create_task_group() as group:
        group.start_soon(worker.run)
        await done.wait()
        group.cancel_scope.cancel()
    return tasks / (ended - began)


async def _look(store: Store, oms: AsyncOMSClient) -> tuple[float, float]:
    """Return how long a look and a sweep take, in ms."""
    took: list[tuple[float, float]] = []
    for _ in range(_LOOKS):
        began = time.perf_counter()
        await oms.stats("long")
        between = time.perf_counter()
        await store.sweep("long")
        took.append((between - began, time.perf_counter() - between))
    return (
        statistics.median(looked for looked, _ in took) * 1_000,
        statistics.median(swept for _, swept in took) * 1_000,
    )


def table(report: Report) -> str:
    """Return the figures as Markdown."""
    first = statistics.median(report.lengths[0].rates)
    lines = [
        "| waiting behind | tasks/s | of the first | stats ms | sweep ms |",
        "|---|---|---|---|---|",
        *(
            f"| {one.waiting:,} | {_rates(one.rates)} | {statistics.median(one.rates) / first:.0%} "
            f"| {one.stats_ms:.2f} | {one.sweep_ms:.2f} |"
            for one in report.lengths
        ),
        "",
    ]
    first = statistics.median(report.spreads[0].rates)
    lines += [
        "| queues | tasks/s | of the first |",
        "|---|---|---|",
        *(
            f"| {one.queues:,} | {_rates(one.rates)} | {statistics.median(one.rates) / first:.0%} |"
            for one in report.spreads
        ),
    ]
    return "\n".join(lines)


def _rates(rates: Sequence[float]) -> str:
    return f"**{statistics.median(rates):,.0f}** ({min(rates):,.0f}..{max(rates):,.0f})"
