"""A case: all tasks of one correlation id, and what they tell together."""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from hms_async.domain.task import TaskRecord, TaskState
from hms_async.domain.time_spent import time_spent

_MOST_TELLING = (
    TaskState.IN_PROGRESS,
    TaskState.RETRYING,
    TaskState.WAITING,
    TaskState.SCHEDULED,
)


class CaseSummary(msgspec.Struct, frozen=True, kw_only=True):
    """How a case stands.

    Times are sums over its tasks, so those that were under way at once count each. They are made
    from the records, as far as these tell: see `TimeSpent`.

    Attributes:
        counts: How many tasks are in which state; only states that some are in.
        open: How many have not ended.
        ended: How many have.
        at: The task that tells where the case is: one that runs, else one that is tried again,
            waits, or is scheduled; the last to end when none is open.
        since_ms: Since when that task has been where it is; `None` when its record does not say.
        began_ms: When the first of them arrived.
        ended_ms: When the last of them ended; `None` while one is open.
        waiting_ms: How long they waited in a lane.
        running_ms: How long attempts ran, those that were lost with their worker included.
        retrying_ms: How long they backed off after failed attempts, and what nobody can tell.
    """

    counts: Mapping[TaskState, int]
    open: int
    ended: int
    at: TaskRecord
    since_ms: int | None
    began_ms: int
    ended_ms: int | None
    waiting_ms: int
    running_ms: int
    retrying_ms: int


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """All stored tasks of one correlation id.

    Attributes:
        correlation_id: The case.
        tasks: By arrival, across all queues.
        more: Whether the case has earlier tasks that are not shown.
        summary: How it stands, as far as the tasks shown tell.
        now_ms: The server's clock at that time.
    """

    correlation_id: str
    tasks: list[TaskRecord]
    more: bool
    summary: CaseSummary
    now_ms: int


def sum_up(tasks: Sequence[TaskRecord], now_ms: int) -> CaseSummary:
    """Return how a case stands.

    Args:
        tasks: Its tasks, by arrival; at least one.
        now_ms: The server's clock.
    """
    counts = Counter(task.state for task in tasks)
    open_tasks = [task for task in tasks if not task.state.ended]
    times = [time_spent(task, now_ms) for task in tasks]
    if open_tasks:
        at = min(open_tasks, key=lambda task: _MOST_TELLING.index(task.state))
    else:
        at = max(tasks, key=lambda task: task.finished_ms or 0)
    return CaseSummary(
        counts=counts,
        open=len(open_tasks),
        ended=len(tasks) - len(open_tasks),
        at=at,
        since_ms=_since_ms(at),
        began_ms=min(task.arrived_ms for task in tasks),
        ended_ms=None if open_tasks else at.finished_ms,
        waiting_ms=sum(one.waited_ms for one in times),
        running_ms=sum(one.ran_ms + one.lost_ms for one in times),
        retrying_ms=sum(one.backed_off_ms + one.unknown_ms for one in times),
    )


def _since_ms(task: TaskRecord) -> int | None:
    if task.state.ended:
        return task.finished_ms
    if task.state is TaskState.IN_PROGRESS:
        return task.started_ms
    if task.state is TaskState.SCHEDULED:
        return None
    # A task that was requeued has arrived after, or before, the attempts of its earlier life.
    return max([task.arrived_ms, *(attempt.finished_ms for attempt in task.attempts)])
