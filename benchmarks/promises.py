"""What share of promises one worker keeps that serves queues with different ones.

Each run offers a worker three queues: a tight promise with short tasks, a medium one, and a loose
one of which half lies there at the start. The others arrive by seeded Poisson processes. Promises
are scaled down to seconds, and the load is relative to what the same worker has been measured to
do. Two orders take turns on the same arrivals: ours (R22), and plain rotation.
"""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count, groupby
from typing import Any, Literal
from unittest import mock

import anyio
import msgspec

from benchmarks.speed.quantiles import spread
from hms_async import AsyncOMSClient, AsyncWorker, Task, handler
from hms_async.domain.sla import Late
from hms_async.runtime import plan as planning
from hms_async.runtime.choice import Choice
from hms_async.runtime.feed import Feed
from hms_async.storage.embedded import running

SLOTS = 8
_SCHEMA = "hms.promises/v1"
_FULL = 1.0

OrderName = Literal["ours", "in turn"]


class Kind(msgspec.Struct, frozen=True):
    """One queue of the mix.

    Attributes:
        name: What it is called in the table.
        promise_s: How long a task may take.
        work_s: How long its handler sleeps.
        share: Its part of all work.
        backlog: Which part of its tasks is there at the start.
    """

    name: str
    promise_s: float
    work_s: float
    share: float
    backlog: float = 0.0


MIX = (
    Kind("tight", 0.5, 0.03, 0.4),
    Kind("medium", 1.5, 0.1, 0.3),
    Kind("loose", 4.0, 0.3, 0.3, backlog=0.5),
)


class Case(msgspec.Struct, frozen=True):
    """One line of the table.

    Attributes:
        load: The work offered in a run, as a share of what the worker can do meanwhile.
        order: By which it chooses among its queues.
        late: What its queues say of tasks that are past due.
    """

    load: float
    order: OrderName
    late: Late = "after_others"

    def __str__(self) -> str:
        return self.order if self.late == "after_others" else f'{self.order}, `late="{self.late}"`'


CASES = (
    *(Case(load, order) for load in (0.8, 1.0, 1.2) for order in ("ours", "in turn")),
    Case(1.2, "ours", "run_anyway"),
)


class Run(msgspec.Struct, frozen=True):
    """What came of one run.

    Attributes:
        case: What was run.
        tasks: How many tasks each queue had.
        kept: How many of them were done in time.
    """

    case: Case
    tasks: dict[str, int]
    kept: dict[str, int]

    def share(self, queue: str | None = None) -> float:
        """Return the share of promises kept, of one queue or of all."""
        names = [queue] if queue else list(self.tasks)
        return sum(map(self.kept.__getitem__, names)) / sum(map(self.tasks.__getitem__, names))


class InTurn(Choice):
    """A fair rotation among the queues that want slots: the one served longest ago."""

    def __init__(self) -> None:
        super().__init__()
        self._turns = count(1)
        self._served: defaultdict[str, int] = defaultdict(int)
        self._chosen = ""

    def among(self, free_slots: int) -> Feed | None:
        """Return the queue whose turn it is; `None` if none wants a slot."""
        rivals = [feed for feed in self if feed.contends(free_slots)]
        if not rivals:
            return None
        first = min(rivals, key=lambda feed: self._served[feed.name])
        self._chosen = first.name
        return first

    def taken(self) -> None:
        """Send the queue that has just had its turn to the end."""
        self._served[self._chosen] = next(self._turns)


_CHOICES: Mapping[OrderName, type[Choice]] = {"ours": Choice, "in turn": InTurn}


def arrivals(kind: Kind, work_s: float, seconds: float, seed: int) -> list[float]:
    """Return when the tasks of a queue arrive, in seconds from the start.

    Args:
        kind: The queue.
        work_s: The work of all queues together.
        seconds: How long tasks arrive.
        seed: Makes it the same for both orders.
    """
    tasks = max(round(work_s * kind.share / kind.work_s), 1)
    at_once = round(tasks * kind.backlog)
    # Given how many there are, the instants of a Poisson process are uniform.
    dice = random.Random(f"{seed} {kind.name}")  # is to be repeated
    return [0.0] * at_once + sorted(dice.uniform(0, seconds) for _ in range(tasks - at_once))


class Bench:
    """Runs cases on one server, one after another.

    Args:
        oms: A client of it.
        url: Its address.
    """

    def __init__(self, oms: AsyncOMSClient, url: str) -> None:
        self._oms = oms
        self._url = url
        self._numbers = count(1)

    async def capacity(self, order: OrderName, seconds: float) -> float:
        """Return the seconds of work that a worker does each second, with all queues full."""
        offered = SLOTS * seconds
        everything = {kind: [0.0] * len(arrivals(kind, offered, 1, 0)) for kind in MIX}
        began = time.monotonic()
        await self._serve(Case(_FULL, order), everything)
        work_s = sum(kind.work_s * len(instants) for kind, instants in everything.items())
        return work_s / (time.monotonic() - began)

    async def run(self, case: Case, *, capacity: float, seconds: float, seed: int) -> Run:
        """Offer a worker so much work over so many seconds, and see which promises it keeps."""
        offered = case.load * capacity * seconds
        plan = {kind: arrivals(kind, offered, seconds, seed) for kind in MIX}
        late_s = await self._serve(case, plan)
        return Run(
            case,
            tasks={kind.name: len(instants) for kind, instants in plan.items()},
            kept={kind.name: sum(late <= 0 for late in late_s[kind]) for kind in plan},
        )

    async def _serve(
        self, case: Case, plan: Mapping[Kind, Sequence[float]]
    ) -> Mapping[Kind, Sequence[float]]:
        """Do all tasks of a plan; returns by how much each was later than its promise."""
        late_s: dict[Kind, list[float]] = {kind: [] for kind in plan}
        names = {kind: f"{kind.name}-{next(self._numbers)}" for kind in plan}
        left = sum(map(len, plan.values()))
        done = anyio.Event()

        def work_for(kind: Kind) -> Callable[[Task[float]], Any]:
            @handler(queue=names[kind])
            async def work(task: Task[float]) -> None:
                nonlocal left
                await anyio.sleep(kind.work_s)
                late_s[kind].append(time.monotonic() - task.payload)
                left -= 1
                if not left:
                    done.set()

            return work

        for kind, name in names.items():
            await self._oms.create_queue(name, sla=kind.promise_s, late=case.late)
        worker = AsyncWorker(
            handlers=[work_for(kind) for kind in plan], url=self._url, concurrency=SLOTS
        )
        with mock.patch.object(planning, "Choice", _CHOICES[case.order]):
            async with anyio.create_task_group() as group:
                await group.start(worker.run)
                began = time.monotonic()
                for kind, instants in plan.items():
                    group.start_soon(self._arrive, names[kind], kind, instants, began)
                await done.wait()
                worker.stop()
        return late_s

    async def _arrive(
        self, queue: str, kind: Kind, instants: Sequence[float], began: float
    ) -> None:
        """Enqueue each task at its instant, whether or not the worker keeps up."""
        for instant, together in groupby(instants):
            await anyio.sleep(max(began + instant - time.monotonic(), 0))
            due = began + instant + kind.promise_s
            await self._oms.enqueue_many(queue, [due for _ in together])


class Report(msgspec.Struct, frozen=True):
    """What was measured.

    Attributes:
        slots: How many tasks the worker does at once.
        capacity: How many seconds of work it did in a second.
        seconds: How long tasks arrived in each run.
        mix: The queues.
        runs: All of them.
        schema: The form of this document.
    """

    slots: int
    capacity: float
    seconds: float
    mix: tuple[Kind, ...]
    runs: list[Run]
    schema: str = _SCHEMA


async def measure(*, seconds: float, rounds: int, seed: int = 1) -> Report:
    """Run all cases in turn, so that a machine that grows slow is slow for all."""
    with running() as server:
        async with AsyncOMSClient(server.url) as oms:
            bench = Bench(oms, server.url)
            capacity = max([await bench.capacity(order, seconds / 3) for order in _CHOICES])
            run = partial(bench.run, capacity=capacity, seconds=seconds)
            runs = [
                await run(case, seed=seed + number)
                for number in range(rounds)
                for case in (CASES if number % 2 == 0 else reversed(CASES))
            ]
    return Report(SLOTS, capacity, seconds, MIX, runs)


def _shown(shares: Sequence[float]) -> str:
    median, least, most = spread(shares)
    return f"**{median:.0%}** ({least:.0%}..{most:.0%})"


def table(report: Report) -> str:
    """Return the shares as Markdown."""
    names = [kind.name for kind in report.mix]
    mix = "; ".join(
        f"{kind.name}: {kind.promise_s:g} s, tasks of {kind.work_s * 1_000:g} ms, "
        f"{kind.share:.0%} of the work"
        + f", {kind.backlog:.0%} of it there at the start"
        * bool(kind.backlog)
        for kind in report.mix
    )
    worker = f"The worker has {report.slots} slots, of which it can use "
    lines = [
        f"{report.seconds:g} s of arrivals. {mix}. {worker}{report.capacity / report.slots:.0%}.",
        "",
        f"| load | order | all | {' | '.join(names)} |",
        "|---" * (3 + len(names)) + "|",
    ]
    for case in CASES:
        if runs := [run for run in report.runs if run.case == case]:
            shares = [_shown([run.share(name) for run in runs]) for name in (None, *names)]
            lines.append(f"| {case.load:.0%} | {case} | {' | '.join(shares)} |")
    return "\n".join(lines)
