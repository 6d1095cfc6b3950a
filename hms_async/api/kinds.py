"""Failed tasks by what went wrong: those whose faults are of one kind together."""

from collections.abc import Callable

import msgspec

from hms_async.client import AsyncOMSClient
from hms_async.domain.fingerprint import fingerprint
from hms_async.domain.fingerprint import words as words_of
from hms_async.domain.queue import QueueStats
from hms_async.domain.task import TaskRecord, TaskState

_A_PAGE = 500


class Kind(msgspec.Struct, kw_only=True):
    """Failed tasks of one queue, whose faults are of one kind.

    Attributes:
        queue: The queue.
        fingerprint: That of their faults.
        error_type: What their faults are called.
        words: What they say, with `#` for what differs.
        sample: The newest of them.
        says: What its fault says.
        count: How many there are among those that were looked at.
        first_ms: When the first of them failed.
        last_ms: When the last did.
        retrying: How many that met the same are to be tried again.
    """

    queue: str
    fingerprint: str
    error_type: str
    words: str
    sample: str
    says: str
    count: int = 0
    first_ms: int = 0
    last_ms: int = 0
    retrying: int = 0

    @property
    def rank(self) -> tuple[int, int]:
        """What they are sorted by: the most frequent first, then the latest."""
        return -self.count, -self.last_ms


async def kinds_of(
    oms: AsyncOMSClient, stats: QueueStats, most: int, visible: Callable[[TaskRecord], TaskRecord]
) -> list[Kind]:
    """Return the kinds of a queue's failed tasks.

    Args:
        oms: Where it is.
        stats: A look at it.
        most: How many failed tasks are looked at, the newest.
        visible: Gives what may be seen of a task.
    """
    kinds: dict[str, Kind] = {}
    for task in await _newest(oms, stats.name, TaskState.FAILED, most):
        mark = fingerprint_of(task)
        kind = kinds.get(mark)
        if kind is None:
            kind = kinds[mark] = _kind_of(visible(task), mark)
        kind.count += 1
        at_ms = _ended_ms(task)
        kind.first_ms, kind.last_ms = min(kind.first_ms, at_ms), max(kind.last_ms, at_ms)
    if kinds and stats.retrying:
        for task in await _newest(oms, stats.name, TaskState.RETRYING, min(most, _A_PAGE)):
            if kind := kinds.get(fingerprint_of(task)):
                kind.retrying += 1
    return sorted(kinds.values(), key=lambda kind: kind.rank)


def fingerprint_of(task: TaskRecord) -> str:
    """Return the fingerprint of a task's last fault, as an act on many finds it."""
    if task.error is not None:
        return fingerprint(task.error.get("type", ""), task.error.get("message", ""))
    last = task.attempts[-1] if task.attempts else None
    return fingerprint(last.error_type, last.error) if last else ""


def _kind_of(task: TaskRecord, mark: str) -> Kind:
    fault = task.error or {}
    message = fault.get("message", "")
    return Kind(
        queue=task.queue,
        fingerprint=mark,
        error_type=fault.get("type", ""),
        words=words_of(message) or "nobody said why",
        sample=task.id,
        says=message,
        first_ms=_ended_ms(task),
        last_ms=_ended_ms(task),
    )


def _ended_ms(task: TaskRecord) -> int:
    return task.finished_ms or task.arrived_ms


async def _newest(oms: AsyncOMSClient, queue: str, state: TaskState, most: int) -> list[TaskRecord]:
    tasks: list[TaskRecord] = []
    cursor: str | None = None
    while len(tasks) < most:
        limit = min(most - len(tasks), _A_PAGE)
        page = await oms.list_tasks(queue, state, cursor, limit=limit)
        tasks += page.tasks
        if (cursor := page.cursor) is None:
            break
    return tasks
