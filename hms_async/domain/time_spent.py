"""Where a task's time went, as far as its record tells."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import msgspec

from hms_async.domain.task import TaskRecord, TaskState

_Part = Literal["waited", "ran", "backed_off", "lost"]
_Span = tuple[_Part, int, int]

LEASE_LOST = "LeaseLost"
"""The error type of an attempt whose worker fell silent."""


class TimeSpent(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task's time went, from its arrival to its end, or until now; in ms.

    Attributes:
        waited_ms: In a lane, for a worker to take it. Attempts that were handed back are in here.
        ran_ms: In attempts that came to an outcome.
        backed_off_ms: After a failed attempt, until the next one might begin.
        lost_ms: With workers that fell silent, until somebody noticed.
        unknown_ms: What the record does not tell: attempts before the last ten, the time between
            an end and a requeue, and the last stretch of a task that was cancelled.
    """

    waited_ms: int = 0
    ran_ms: int = 0
    backed_off_ms: int = 0
    lost_ms: int = 0
    unknown_ms: int = 0

    @property
    def total_ms(self) -> int:
        """All of it."""
        parts = (self.waited_ms, self.ran_ms, self.backed_off_ms, self.lost_ms)
        return sum(parts) + self.unknown_ms


def time_spent(task: TaskRecord, now_ms: int) -> TimeSpent:
    """Return where a task's time went.

    Args:
        task: With its last attempts.
        now_ms: The server's clock, for a task that has not ended.
    """
    until_ms = task.finished_ms if task.state.ended and task.finished_ms else now_ms
    parts: dict[_Part, int] = dict.fromkeys(("waited", "ran", "backed_off", "lost"), 0)
    at_ms = task.arrived_ms
    for part, begin_ms, end_ms in _spans(task, until_ms):
        # A foreign hand, or a clock that was set back, may have made spans overlap.
        first_ms, last_ms = max(begin_ms, at_ms), min(end_ms, until_ms)
        if first_ms < last_ms:
            parts[part] += last_ms - first_ms
            at_ms = last_ms
    return TimeSpent(
        waited_ms=parts["waited"],
        ran_ms=parts["ran"],
        backed_off_ms=parts["backed_off"],
        lost_ms=parts["lost"],
        unknown_ms=max(until_ms - task.arrived_ms, 0) - sum(parts.values()),
    )


class _Run(NamedTuple):
    """A stretch with a worker, and what is known of the time after it."""

    started_ms: int
    finished_ms: int
    number: int = 0
    lost: bool = False
    again_ms: int | None = None


def _spans(task: TaskRecord, until_ms: int) -> Iterator[_Span]:
    """Yield what a task did, in order; of the gaps between nothing is known."""
    runs = _runs(task)
    # A cancelled task may have run at last, or been handed back: its record tells neither.
    at_last_unknown = task.state is TaskState.CANCELLED and _has_run_since(task, runs)
    if task.state in (TaskState.DONE, TaskState.IN_PROGRESS) and _has_run_since(task, runs):
        runs.append(_Run(task.started_ms or 0, until_ms))
    # Since when a worker might have taken it; unknown where earlier attempts are not kept.
    free_ms = None if runs and runs[0].number > 1 else task.arrived_ms
    for n, run in enumerate(runs):
        if free_ms is not None:
            yield "waited", free_ms, run.started_ms
        yield "lost" if run.lost else "ran", run.started_ms, run.finished_ms
        free_ms = run.finished_ms if run.lost else None
        if run.again_ms is not None:
            # A rung of the ladder may have let it begin sooner.
            free_ms = min(run.again_ms, runs[n + 1].started_ms if n + 1 < len(runs) else until_ms)
            yield "backed_off", run.finished_ms, free_ms
    if free_ms is not None and not at_last_unknown:
        yield "waited", free_ms, until_ms


def _runs(task: TaskRecord) -> list[_Run]:
    """Return the attempts that are kept, in order."""
    runs = [
        _Run(
            one.started_ms, one.finished_ms, one.number, one.error_type == LEASE_LOST, one.again_ms
        )
        for one in task.attempts
        # Its clock may have been started anew since its first attempts.
        if one.started_ms >= task.arrived_ms
    ]
    return sorted(runs, key=lambda run: run[:2])


def _has_run_since(task: TaskRecord, runs: list[_Run]) -> bool:
    """Tell whether a task was claimed after the attempts that are kept."""
    since_ms = runs[-1].finished_ms if runs else task.arrived_ms
    known = {run.started_ms for run in runs}
    started_ms = task.started_ms
    return started_ms is not None and started_ms >= since_ms and started_ms not in known
