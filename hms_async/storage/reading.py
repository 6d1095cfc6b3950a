"""Reading tasks: one with all that is known of it, or a page of a queue's."""

from collections.abc import Sequence
from typing import Any

from hms_async.domain.task import TaskPage, TaskRecord, TaskState
from hms_async.domain.trace import TraceContext
from hms_async.errors import ConfigInvalid
from hms_async.storage import codec
from hms_async.storage.server import Server

_SETS = {
    TaskState.SCHEDULED: "scheduled",
    TaskState.RETRYING: "retry",
    TaskState.IN_PROGRESS: "inflight",
    TaskState.DONE: "done",
    TaskState.FAILED: "failed",
    TaskState.CANCELLED: "cancelled",
    TaskState.EXPIRED: "expired",
}
_LANES = ("suspects", "express", "normal")
_LONGEST_OFFSET = 15


async def read_task(server: Server, queue: str, task_id: str) -> TaskRecord | None:
    """Return a task with its last attempts; `None` when no such task is stored."""
    return next(iter(await read_tasks(server, [(queue, task_id)])), None)


async def read_context(server: Server, queue: str, task_id: str) -> TraceContext | None:
    """Return the context of the trace that a task belongs to, if any."""
    body = await server.ask("GET", server.keys.body(queue, task_id))
    return None if body is None else codec.decode_trace(body)


async def read_last_span(server: Server, queue: str, task_id: str) -> str | None:
    """Return the span of a task's last attempt that failed, as a traceparent, if it had one."""
    entry = await server.ask("LINDEX", server.keys.attempts(queue, task_id), -1)
    return codec.decode_last_span(entry)


async def read_tasks(server: Server, places: Sequence[tuple[str, str]]) -> list[TaskRecord]:
    """Return tasks, given by queue and id, with their last attempts; those that are stored."""
    if not places:
        return []
    keys = server.keys
    queues = list({queue for queue, _ in places})
    async with server.pipeline() as pipe:
        for queue, task_id in places:
            pipe.hgetall(keys.run(queue, task_id))
            pipe.get(keys.body(queue, task_id))
            pipe.lrange(keys.attempts(queue, task_id), 0, -1)
            for part in ("scheduled", "retry", "inflight"):
                pipe.zscore(keys.part(queue, part), task_id)
        for queue in queues:
            _ask_for_drift(pipe, server, queue)
        replies: list[Any] = await pipe.execute(raise_on_error=False)
    clocks = replies[6 * len(places) :]
    drifts = {
        queue: _drift_ms(server, *clocks[2 * n : 2 * n + 2]) for n, queue in enumerate(queues)
    }
    tasks: list[TaskRecord] = []
    for n, (queue, task_id) in enumerate(places):
        run, body, attempts, scheduled, retry, lease = replies[6 * n : 6 * n + 6]
        if isinstance(run, Exception) or b"state" not in run:
            continue
        tasks.append(
            codec.decode_record(
                task_id,
                run,
                _or_none(body),
                attempts=_or_none(attempts) or (),
                starts_ms=_instant(scheduled) or _instant(retry),
                lease_expires_ms=_instant(lease),
                drift_ms=drifts[queue],
            )
        )
    return tasks


async def read_page(
    server: Server, queue: str, state: TaskState, cursor: str | None, limit: int
) -> TaskPage:
    """Return one page of a queue's tasks in a state.

    Waiting tasks come in claim order, ended ones newest first, the others by the instant that
    they wait for. A page may be short: entries left behind are passed over.

    Raises:
        ConfigInvalid: If the cursor is not one that a page gave.
    """
    if state is not TaskState.WAITING:
        _, start = _place(cursor, "set", ("set",))
        return await _page_of_set(server, queue, state, start, limit)
    lane, start = _place(cursor, _LANES[0], _LANES)
    tasks: list[TaskRecord] = []
    for name in _LANES[_LANES.index(lane) :]:
        rest = limit - len(tasks)
        if not rest:
            return TaskPage(tasks, f"{name}:0")
        following, more = await _page_of_lane(server, queue, name, start, rest)
        tasks += following
        if more:
            return TaskPage(tasks, f"{name}:{start + rest}")
        start = 0
    return TaskPage(tasks, None)


async def read_at_risk(server: Server, queue: str, limit: int) -> list[TaskRecord]:
    """Return open tasks past 80 % of their promise, the latest ones first."""
    entries = await server.ask("ZRANGE", server.keys.part(queue, "at_risk"), 0, limit - 1)
    found = await _records(server, queue, [(entry, None) for entry in entries])
    return [task for task, _ in found if not task.state.ended]


async def _page_of_lane(
    server: Server, queue: str, lane: str, start: int, limit: int
) -> tuple[list[TaskRecord], bool]:
    key = server.keys.queue(queue) if lane == "normal" else server.keys.part(queue, lane)
    entries = await server.ask("LRANGE", key, start, start + limit - 1)
    found = await _records(server, queue, [(entry, None) for entry in entries])
    # The record is the truth: an entry that it does not confirm was left behind (R4).
    tasks = [
        task
        for task, run in found
        if run[b"state"] == b"waiting" and run.get(b"lane", b"normal") == lane.encode()
    ]
    return tasks, len(entries) == limit


async def _page_of_set(
    server: Server, queue: str, state: TaskState, start: int, limit: int
) -> TaskPage:
    key = server.keys.part(queue, _SETS[state])
    async with server.pipeline() as pipe:
        ordered = pipe.zrevrange if state.ended else pipe.zrange
        ordered(key, start, start + limit - 1, withscores=True)
        entries = (await pipe.execute())[0]
    found = await _records(server, queue, entries, state)
    tasks = [task for task, run in found if run[b"state"] == state.encode()]
    return TaskPage(tasks, f"set:{start + limit}" if len(entries) == limit else None)


async def _records(
    server: Server,
    queue: str,
    entries: list[tuple[bytes, float | None]],
    state: TaskState | None = None,
) -> list[tuple[TaskRecord, dict[bytes, bytes]]]:
    """Return the tasks of some entries, each with its raw record, where they have one.

    Those that are to be tried again come with their last attempt, which says why.
    """
    ids = [entry.decode(errors="replace") for entry, _ in entries]
    if not ids:
        return []
    async with server.pipeline() as pipe:
        for task_id in ids:
            pipe.hgetall(server.keys.run(queue, task_id))
            pipe.get(server.keys.body(queue, task_id))
        for task_id in ids if state is TaskState.RETRYING else ():
            pipe.lrange(server.keys.attempts(queue, task_id), -1, -1)
        _ask_for_drift(pipe, server, queue)
        *replies, clock, now = await pipe.execute(raise_on_error=False)
    drift_ms = _drift_ms(server, clock, now)
    attempts = replies[2 * len(ids) :] or [()] * len(ids)
    waits = state in (TaskState.SCHEDULED, TaskState.RETRYING)
    leased = state is TaskState.IN_PROGRESS
    return [
        (
            codec.decode_record(
                task_id,
                run,
                _or_none(body),
                attempts=_or_none(tried) or (),
                starts_ms=_instant(score) if waits else None,
                lease_expires_ms=_instant(score) if leased else None,
                drift_ms=drift_ms,
            ),
            run,
        )
        for n, (task_id, (_, score), tried) in enumerate(zip(ids, entries, attempts, strict=True))
        for run, body in [replies[2 * n : 2 * n + 2]]
        if not isinstance(run, Exception) and b"state" in run
    ]


def _ask_for_drift(pipe: Any, server: Server, queue: str) -> None:
    pipe.hmget(server.keys.part(queue, "config"), "clock_stood", "clock_stopped")
    pipe.time()


def _drift_ms(server: Server, clock: Any, now: Any) -> int:
    """Return how far a queue's clock is behind, for all the pauses that stopped it."""
    if isinstance(clock, Exception) or isinstance(now, Exception):
        return 0
    stood_ms, stopped_ms = map(codec.decode_number, clock)
    still_ms = 0 if stopped_ms is None else max(server.now_ms(now) - stopped_ms, 0)
    return max((stood_ms or 0) + still_ms, 0)


def _place(cursor: str | None, first: str, allowed: tuple[str, ...]) -> tuple[str, int]:
    if cursor is None:
        return first, 0
    where, _, offset = cursor.partition(":")
    if where not in allowed or not offset.isdecimal() or len(offset) > _LONGEST_OFFSET:
        raise ConfigInvalid(f"cursor={cursor!r} is not one that a page gave for this state")
    return where, int(offset)


def _or_none(reply: Any) -> Any:
    # A foreign hand put something of another type there; the rest is still worth showing.
    return None if isinstance(reply, Exception) else reply


def _instant(score: Any) -> int | None:
    return int(score) if isinstance(score, float) and abs(score) < float("inf") else None
