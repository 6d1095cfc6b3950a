"""From the journal to the verdict: what was lost, done twice, or run by two at once."""

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from benchmarks.faults.journal import Line
from hms_async import Event, QueueStats
from hms_async.domain.counters import ATTEMPTS, ENDS

NOISE_NS = 5_000_000
"""Two live executions closer than this do not count: the moment of a rescue is known by the
server's clock, in whole milliseconds, and a death when its parent has noticed it."""


@dataclass(frozen=True, slots=True)
class Execution:
    """A handler that was called.

    Attributes:
        id: Its task.
        pid: Its process.
        token: Its lease.
        began: When, in nanoseconds of the monotonic clock.
        ended: When it ended, however; None if it never did.
        succeeded: Whether it came to a successful end.
        claimed_ms: When the store gave the lease, by its own clock.
    """

    id: str
    pid: int
    token: str
    began: int
    ended: int | None
    succeeded: bool
    claimed_ms: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known beside the journal; `evidence` makes it.

    Attributes:
        deaths: When processes died, in nanoseconds of the monotonic clock.
        taken: For each task, when the store took a lease away, in milliseconds of its clock.
        wall_ahead_ns: How far the store's clock, the wall clock of this machine, is ahead of the
            monotonic one.
    """

    deaths: Mapping[int, int]
    taken: Mapping[str, Collection[int]]
    wall_ahead_ns: int

    def lease_ended(self, execution: Execution) -> float:
        """Return when the store took the lease of an execution away, if it ever did."""
        moments = self.taken.get(execution.id, ())
        first = min((at for at in moments if at > execution.claimed_ms), default=None)
        return float("inf") if first is None else first * 1_000_000 - self.wall_ahead_ns

    def live_until(self, execution: Execution) -> float:
        """Return the earliest of its end, the death of its process, and the end of its lease."""
        ended = float("inf") if execution.ended is None else execution.ended
        died = self.deaths.get(execution.pid, float("inf"))
        return min(ended, died, self.lease_ended(execution))


def evidence(events: Iterable[Event], deaths: Mapping[int, int]) -> Evidence:
    """Return what processes and a queue's events tell, on this machine, now."""
    taken: dict[str, list[int]] = defaultdict(list)
    for event in events:
        # A task that failed may have failed by its last lost lease.
        if event.type in {"rescued", "failed"} and event.task_id:
            taken[event.task_id].append(int(event.id.partition("-")[0]))
    return Evidence(deaths, taken, wall_ahead_ns=time.time_ns() - time.monotonic_ns())


def executions(lines: Iterable[Line]) -> list[Execution]:
    """Return what was executed, in the order of its start."""
    open_: dict[tuple[int, str], list[Line]] = defaultdict(list)
    found: list[Execution] = []

    def close(start: Line, end: Line | None) -> None:
        found.append(
            Execution(
                id=start.id,
                pid=start.pid,
                token=start.token,
                began=start.at,
                ended=None if end is None else end.at,
                succeeded=end is not None and end.word == "end",
                claimed_ms=start.claimed_ms,
            )
        )

    for line in lines:
        key = line.pid, line.token
        if line.word == "start":
            open_[key].append(line)
        elif line.word != "ignored" and open_[key]:
            close(open_[key].pop(0), line)
    for starts in open_.values():
        for start in starts:
            close(start, None)
    return sorted(found, key=lambda execution: execution.began)


def lost(accepted: Iterable[str], ended: Collection[str]) -> set[str]:
    """Return tasks whose `enqueue` returned and that never came to an end."""
    return set(accepted) - set(ended)


def duplicated(done: Iterable[Execution]) -> set[str]:
    """Return tasks that a handler has brought to a successful end more than once."""
    ends = Counter(execution.id for execution in done if execution.succeeded)
    return {task for task, count in ends.items() if count > 1}


def overlapping(done: Iterable[Execution], evidence: Evidence) -> set[str]:
    """Return tasks of which two executions ran at one time, both with a live lease."""
    by_task: dict[str, list[Execution]] = defaultdict(list)
    for execution in done:
        by_task[execution.id].append(execution)
    return {
        task
        for task, several in by_task.items()
        if any(_meet(one, other, evidence) for one, other in combinations(several, 2))
    }


def _meet(one: Execution, other: Execution, evidence: Evidence) -> bool:
    until = min(evidence.live_until(one), evidence.live_until(other))
    return until - max(one.began, other.began) > NOISE_NS


def miscounted(stats: QueueStats, states: Mapping[str, int], accepted: int) -> list[str]:
    """Return which counters of a queue are not what its tasks' history says.

    Args:
        stats: A look at the queue, when nothing moves any more.
        states: How many of the accepted tasks are in which state, by their records.
        accepted: How many tasks are known to have been accepted.
    """
    totals = stats.totals
    wrong: list[str] = []
    ended = sum(totals.get(field, 0) for field in ATTEMPTS.values())
    if totals.get("claimed", 0) != ended + stats.in_progress:
        wrong.append(f"{totals.get('claimed', 0)} attempts were started, {ended} have ended")
    failed = sum(totals.get(ATTEMPTS[how], 0) for how in ("error", "timeout", "lease_lost"))
    typed = sum(value for name, value in totals.items() if name.startswith("error."))
    if failed != typed:
        wrong.append(f"{failed} attempts have failed, {typed} by their types")
    came_in = sum(totals.get(field, 0) for field in ("accepted", "adopted", "requeued"))
    if came_in != accepted:
        return wrong  # others did, or some twice: the records do not tell of each end
    return wrong + [
        f"{totals.get(state, 0)} {state}, {states.get(state, 0)} by the records"
        for state in ENDS
        if totals.get(state, 0) != states.get(state, 0)
    ]


def unproven(done_in_store: Iterable[str], done: Iterable[Execution]) -> set[str]:
    """Return tasks that the store calls done although no handler came to a successful end."""
    return set(done_in_store) - {execution.id for execution in done if execution.succeeded}
