"""Waiting for tasks to end: woken by events, sure by reading (R20)."""

import time
from typing import Any

import anyio

from hms_async.domain.task import TaskRecord, TaskState
from hms_async.errors import ResultTimeout, StoreUnavailable, TaskFailed, TaskNotFound
from hms_async.runtime.exchange import Backoff
from hms_async.storage.events import EventReader
from hms_async.storage.store import Store

_REREAD_S = 1.0
_MARGIN_S = 5.0


async def result(store: Store, task_id: str, timeout_s: float) -> Any:
    """Return a task's result, waiting for its end.

    An event only says that it is worth reading again; the state is read each second as well,
    so that nothing rests on one event.

    Raises:
        TaskNotFound: If no such task is stored.
        TaskFailed: If it ended otherwise than in done.
        ResultTimeout: If it has not ended in time.
        StoreUnavailable: If the server is away at the end of that time.
    """
    until = time.monotonic() + timeout_s
    events: EventReader | None = None
    backoff = Backoff()
    while True:
        left = until - time.monotonic()
        try:
            record = await _read(store, task_id)
            if record.state.ended:
                return _value(record)
            if left <= 0:
                raise ResultTimeout(
                    task_id, f"task {task_id} is {record.state} after {timeout_s:g} s; it goes on"
                )
            if events is None:
                # The place in the stream is fixed before the next read: no end is missed.
                events = EventReader(store, record.queue)
                await events.start()
            else:
                await _until_news(events, task_id, min(left, _REREAD_S))
            backoff = Backoff()
        except StoreUnavailable:
            if left <= 0:
                raise
            await backoff.wait()


async def _until_news(events: EventReader, task_id: str, wait_s: float) -> None:
    until = time.monotonic() + wait_s
    # The server ends the wait; cutting it off at the same moment would cost the connection.
    with anyio.move_on_after(wait_s + _MARGIN_S):
        while (left := until - time.monotonic()) > 0:
            news = await events.read(max(int(left * 1_000), 1))
            if any(event.task_id == task_id for event in news):
                return


async def _read(store: Store, task_id: str) -> TaskRecord:
    record = await store.task(task_id)
    if record is None:
        raise TaskNotFound(task_id)
    return record


def _value(record: TaskRecord) -> Any:
    if record.state is TaskState.DONE:
        return record.result
    raise TaskFailed(record.id, record.state, record.reason or _why(record))


def _why(record: TaskRecord) -> str:
    if record.moved_to:
        return f"it was moved to the queue {record.moved_to}"
    if record.state is TaskState.EXPIRED:
        return "its time was over before an attempt could begin"
    return f"it was {record.state}"
