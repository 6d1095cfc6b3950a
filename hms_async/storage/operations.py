"""Acts on many tasks: what is kept of each, and the pages and acts that they consist of."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from hms_async.domain.audit import Actor
from hms_async.domain.operation import Act, Operation, OperationState, Refusal
from hms_async.domain.selection import Candidate, Where
from hms_async.domain.task import TaskState
from hms_async.errors import OperationNotFound, StoreError, StoreProtocol, TooManyOperations
from hms_async.storage.codec import UNREADABLE, decode_fault, decode_number
from hms_async.storage.server import Server

MOST_OPEN = 100
MOST_KEPT = 1_000
LEASE_MS = 15_000

Kind = Literal["front", "back", "set", "ids"]


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far the search for tasks is.

    Attributes:
        round: The number of the pass over all sources.
        source: The number of the source in it.
        passed: Of a lane, how many of its entries are behind us; of ids, how many.
        end: Of a lane that is gone through from its front, its length when that was begun.
        score: Of a set, the score of the last entry behind us.
        id: The id of that.
    """

    round: int = 0
    source: int = 0
    passed: int = 0
    end: int | None = None
    score: str = ""
    id: str = ""


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far an operation is, as whoever works on it writes it down.

    Attributes:
        place: Where to go on looking.
        acted: Whether this pass has acted on a task.
        intent: Tasks that are being acted on; whoever takes over finds out what became of it.
        done: How many tasks the act was done to.
        refused: How many it could not be done to.
        refusals: The first of those.
        stage: Of a removal, how far that is.
        patience_ms: Of a removal, until when it waits for workers.
        told: Of a removal, what is given up, for people.
        cleared: Of a removal, how many tasks have been forgotten.
    """

    place: Place = Place()
    acted: bool = False
    intent: tuple[str, ...] = ()
    done: int = 0
    refused: int = 0
    refusals: tuple[Refusal, ...] = ()
    stage: Literal["", "emptying", "clearing"] = ""
    patience_ms: int | None = None
    told: str = ""
    cleared: int = 0


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What does not change of an operation."""

    act: Act
    queue: str
    where: Where
    by: Actor
    rate: int | None = None
    force: bool = False
    matched: int = 0
    exact: bool = True
    by_state: dict[TaskState, int] = {}


class Taken(msgspec.Struct):
    """An operation that is ours to work on.

    Attributes:
        operation: What it is.
        progress: How far it is.
        fence: The number of our lease.
        now_ms: The server's time at the last answer.
    """

    operation: Operation
    progress: Progress
    fence: int
    now_ms: int


class Page(msgspec.Struct, frozen=True):
    """Some entries of one source.

    Attributes:
        more: Whether there may be others behind them.
        length: How long the lane or set is.
        rows: The task of each, if it is one of the queue in this place, and the place behind it.
    """

    more: bool
    length: int
    rows: list[tuple[Candidate | None, Place]]


async def start(server: Server, operation: Operation) -> int:
    """Begin an operation under its id and return when that was; begun once, it stays so.

    Raises:
        TooManyOperations: If so many are open that no more may be.
    """
    by = operation.by
    asked = Asked(
        act=operation.act,
        queue=operation.queue,
        where=operation.where,
        by=by,
        rate=operation.rate,
        force=operation.force,
        matched=operation.matched,
        exact=operation.exact,
        by_state=operation.by_state,
    )
    reply = await server.run_on(
        "start_operation",
        _keys(server, operation.id),
        operation.id,
        server.keys.operation_prefix,
        MOST_OPEN,
        MOST_KEPT,
        by.who,
        by.via,
        by.reason,
        operation.act,
        operation.queue,
        msgspec.json.encode(asked),
    )
    if reply == b"full":
        raise TooManyOperations(
            f"{MOST_OPEN} operations are open: wait for one, or stop one with `hms op stop`"
        )
    return int(reply[1])


async def get(server: Server, operation_id: str) -> Operation:
    """Return an operation.

    Raises:
        OperationNotFound: If none of that id is kept.
    """
    fields = await server.ask("HGETALL", server.keys.operation(operation_id))
    if not fields:
        raise OperationNotFound(operation_id)
    return _read(operation_id, fields)[0]


async def latest(server: Server, limit: int) -> list[Operation]:
    """Return operations, the latest first; what nobody can read is left out."""
    async with server.pipeline() as pipe:
        pipe.zrevrange(server.keys.operations, 0, limit - 1)
        ids = [one.decode(errors="replace") for one in (await pipe.execute())[0]]
    if not ids:
        return []
    async with server.pipeline() as pipe:
        for operation_id in ids:
            pipe.hgetall(server.keys.operation(operation_id))
        records: list[Any] = await pipe.execute(raise_on_error=False)
    found: list[Operation] = []
    for operation_id, fields in zip(ids, records, strict=True):
        if fields and not isinstance(fields, Exception):
            try:
                found.append(_read(operation_id, fields)[0])
            except StoreProtocol:
                continue
    return found


async def due(server: Server) -> list[str]:
    """Return the ids of operations on which nobody works, those left longest in front.

    It is one small command as long as none is open.
    """
    if not await server.ask("ZCARD", server.keys.open_operations):
        return []
    now_ms = server.now_ms(await server.ask("TIME"))
    found = await server.ask(
        "ZRANGEBYSCORE", server.keys.open_operations, "-inf", now_ms, "LIMIT", 0, MOST_OPEN
    )
    return [one.decode(errors="replace") for one in found]


async def queue_of(server: Server, operation_id: str) -> str | None:
    """Return the queue of an operation; `None` when it is gone."""
    reply = await server.ask("HGET", server.keys.operation(operation_id), "queue")
    return None if reply is None else _text(reply)


async def take(server: Server, operation_id: str) -> Taken | None:
    """Take an operation to work on it; `None` when it has ended, or another works on it."""
    reply = await server.run_on(
        "take_operation", _keys(server, operation_id), operation_id, LEASE_MS
    )
    if not isinstance(reply, list):
        return None
    fence, now_ms, flat = reply
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    operation, progress = _read(operation_id, fields)
    return Taken(operation, progress, fence, now_ms)


async def write(server: Server, taken: Taken, progress: Progress, *, final: bool = False) -> bool:
    """Write down how far it is, and keep it for another while.

    Args:
        server: Where it is.
        taken: The operation; afterwards it knows what was written, and how it stands.
        progress: How far it is.
        final: Whether it cannot be stopped from now on.

    Returns:
        False when another works on it.
    """
    fields: list[str | bytes] = ["progress", msgspec.json.encode(progress)]
    if final:
        fields += ["final", "1"]
    return await _write(server, taken, progress, LEASE_MS, "", "", fields)


async def end(
    server: Server, taken: Taken, progress: Progress, state: OperationState, error: str = ""
) -> bool:
    """Write down that it has come to its end; False when another works on it."""
    fields: list[str | bytes] = ["progress", msgspec.json.encode(progress), "error", error]
    told = f"done {progress.done}, refused {progress.refused}"
    outcome = f"{told}; {error}" if error else told
    return await _write(server, taken, progress, 0, state, outcome, fields)


async def let_go(server: Server, taken: Taken) -> None:
    """Let another go on with it at once."""
    await _write(server, taken, taken.progress, 0, "", "", [])


async def stop(server: Server, operation_id: str, by: Actor) -> str:
    """Ask that it ends: `ok`, `already`, `gone`, `final`, or the state that it has ended in."""
    reply = await server.run_on(
        "stop_operation", _keys(server, operation_id), operation_id, by.who, by.via, by.reason
    )
    return str(reply.decode())


async def candidates(
    server: Server, operation: Operation, kind: Kind, part: str, place: Place, limit: int
) -> Page:
    """Return a page of a source, with what is to be known of each task in it.

    Args:
        server: Where the queue is.
        operation: For which operation.
        kind: How it is gone through.
        part: The part of the queue's key; empty for the normal lane.
        place: What is behind us.
        limit: How many entries.
    """
    where = operation.where
    faults = where.error_type is not None or where.error is not None
    tail: list[str | int]
    match kind:
        case "front" | "back":
            tail = [place.passed]
        case "set":
            # Of the ended those that were there; what ends later stands behind them.
            highest = operation.created_ms if part in _ENDED_PARTS else "inf"
            tail = [place.score, place.id, highest]
        case "ids":
            tail = [*where.ids[place.passed : place.passed + limit]]
    more, length, rows = await server.run(
        "candidates", operation.queue, kind, part, limit, int(faults), *tail
    )
    following: list[tuple[Candidate | None, Place]] = []
    for n, row in enumerate(rows, 1):
        behind = msgspec.structs.replace(
            place, passed=place.passed + n, score=_text(row[1]), id=_text(row[0])
        )
        following.append((_candidate(operation.queue, kind, part, row), behind))
    if kind == "ids":
        more = place.passed + len(rows) < len(where.ids)
    return Page(bool(more), length, following)


async def look_at(server: Server, operation: Operation, ids: Sequence[str]) -> list[Candidate]:
    """Return what is to be known of some tasks; those that are gone are missing."""
    faults = operation.where.error_type is not None or operation.where.error is not None
    _, _, rows = await server.run(
        "candidates", operation.queue, "ids", "", len(ids), int(faults), *ids
    )
    found = [_candidate(operation.queue, "ids", "", row) for row in rows]
    return [one for one in found if one is not None]


async def act(server: Server, operation: Operation, ids: Sequence[str]) -> list[str | StoreError]:
    """Do an operation's act to some tasks; returns the word of each, or why it could not be done.

    The operation stands in the audit, with its begin and its end. Its tasks do not: so many entries
    would push out all others.

    Raises:
        StoreError: If the server cannot be asked.
    """
    name, rest = _SCRIPTS[operation.act]
    if operation.act is Act.WAIVE:
        rest = (operation.by.reason or f"operation {operation.id}", "", "")  # it is in the record
    replies = await server.run_many(name, operation.queue, [(one, *rest) for one in ids])
    return [reply if isinstance(reply, StoreError) else str(reply.decode()) for reply in replies]


# The script of each act, and what it is told beside the id; who acts is not told.
_SCRIPTS: dict[Act, tuple[str, tuple[str, ...]]] = {
    Act.REQUEUE: ("requeue", ("0", "", "", "")),
    Act.CANCEL: ("cancel", ("", "", "", "")),
    Act.BUMP: ("bump", ("", "", "")),
    Act.WAIVE: ("waive", ()),
    Act.PURGE: ("cancel", ("", "", "", "1")),
    Act.REMOVE: ("cancel", ("", "", "", "")),
}
_ENDED_PARTS = frozenset({"failed", "cancelled", "expired"})


def _keys(server: Server, operation_id: str) -> tuple[str, ...]:
    keys = server.keys
    return keys.operation(operation_id), keys.operations, keys.open_operations, keys.audit


async def _write(  # noqa: PLR0913  # what one script takes
    server: Server,
    taken: Taken,
    progress: Progress,
    lease_ms: int,
    ends: str,
    outcome: str,
    fields: list[str | bytes],
) -> bool:
    operation = taken.operation
    reply = await server.run_on(
        "write_operation",
        _keys(server, operation.id),
        operation.id,
        taken.fence,
        lease_ms,
        ends,
        outcome,
        *fields,
    )
    if reply == b"stale":
        return False
    state, taken.now_ms = OperationState(reply[0].decode()), reply[1]
    taken.progress = progress
    taken.operation = msgspec.structs.replace(operation, state=state)
    return True


def _read(operation_id: str, fields: Mapping[bytes, bytes]) -> tuple[Operation, Progress]:
    try:
        asked = msgspec.json.decode(fields[b"asked"], type=Asked)
        progress = msgspec.json.decode(fields.get(b"progress", b"{}"), type=Progress)
        operation = Operation(
            id=operation_id,
            act=asked.act,
            queue=asked.queue,
            where=asked.where,
            by=asked.by,
            created_ms=int(fields[b"created"]),
            state=OperationState(fields[b"state"].decode()),
            rate=asked.rate,
            force=asked.force,
            matched=asked.matched,
            exact=asked.exact,
            by_state=asked.by_state,
            done=progress.done,
            refused=progress.refused,
            refusals=progress.refusals,
            error=fields.get(b"error", b"").decode(errors="replace"),
            started_ms=decode_number(fields.get(b"started")),
            finished_ms=decode_number(fields.get(b"finished")),
        )
    except (*UNREADABLE, ValueError, LookupError) as error:
        raise StoreProtocol(f"operation {operation_id} cannot be read: {error}") from error
    return operation, progress


def _candidate(queue: str, kind: Kind, part: str, row: list[bytes]) -> Candidate | None:
    """Return the task of an entry; `None` for what is none, or stands here no more (R4)."""
    if len(row) == 2:  # noqa: PLR2004  # an entry without a record
        return None
    task_id, _, state, of, lane, arrived, accepted, finished, corr, cancel, sla, waived, *rest = row
    if of.decode(errors="replace") != queue:
        return None
    if kind in ("front", "back") and (state, lane or b"normal") != (
        b"waiting",
        part.encode() or b"normal",
    ):
        return None
    try:
        known = TaskState(state.decode(errors="replace"))
    except ValueError:
        return None
    arrived_ms = decode_number(arrived or None) or 0
    fault = decode_fault(rest[0]) if rest and rest[0] else {}
    return Candidate(
        id=_text(task_id),
        state=known,
        arrived_ms=arrived_ms,
        taken_in_ms=decode_number(accepted or None) or arrived_ms,
        finished_ms=decode_number(finished or None),
        correlation_id=_text(corr) or None,
        error_type=fault.get("type", ""),
        error=fault.get("message", ""),
        goes_first=lane not in (b"", b"normal"),
        cancel_asked=cancel != b"",
        promised=sla != b"" and waived == b"",
    )


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


# Removing a queue.


class Closing(msgspec.Struct, frozen=True):
    """What a queue held when it was to be closed.

    Attributes:
        closed: Whether it is.
        waiting: Entries of its lanes.
        in_progress: Tasks that workers hold.
        scheduled: Tasks that are not due yet.
        retrying: Tasks that wait for another attempt.
        to_do: Messages, and tasks on their way to other queues, in its outbox.
        undelivered: Messages that were given up.
    """

    closed: bool
    waiting: int
    in_progress: int
    scheduled: int
    retrying: int
    to_do: int
    undelivered: int

    @property
    def counts(self) -> dict[str, int]:
        """What was open, by name."""
        names = ("waiting", "in_progress", "scheduled", "retrying", "to_do")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


async def begin_removal(server: Server, operation: Operation) -> None:
    """Let a queue take no more tasks; those that are there can still come to their end."""
    await server.run("remove", operation.queue, "begin", operation.id, "")


async def reopen(server: Server, operation: Operation) -> None:
    """Let a queue take tasks again."""
    await server.run("remove", operation.queue, "reopen", operation.id, "")


async def close(server: Server, operation: Operation, *, whatever: bool) -> Closing:
    """Take a queue out of service if nothing is open in it, or whatever is."""
    word = "1" if whatever else ""
    *numbers, closed = await server.run("remove", operation.queue, "close", operation.id, word)
    return Closing(closed == b"1", *map(int, numbers))


async def clear(server: Server, operation: Operation, limit: int) -> tuple[bool, int]:
    """Clear a part of a closed queue's keys; returns whether there is more, and tasks forgotten.

    Raises:
        StoreProtocol: If the queue is not one that this operation has closed.
    """
    reply = await server.run("clear", operation.queue, operation.id, limit)
    if reply == b"stale":
        raise StoreProtocol(f'queue "{operation.queue}" is not closed by {operation.id} any more')
    more, cleared = reply
    return more == 1, cleared


async def forget_queue(server: Server, operation: Operation, now_ms: int) -> None:
    """Take away what is left of a cleared queue, its name at the last.

    Its counters of each minute expire by themselves; one that is created anew is not to have them.
    The name leaves the set of queues before the mark that nobody can create it leaves: the other way
    round it would leave the set of one that has just been created anew.
    """
    minute = now_ms // 60_000
    names = [
        server.keys.part(operation.queue, f"stats:{one}")
        for one in range(minute - _MINUTES_KEPT, minute + 2)
    ]
    async with server.pipeline() as pipe:
        for first in range(0, len(names), _NAMES_A_CALL):
            pipe.unlink(*names[first : first + _NAMES_A_CALL])
        # What operators did to it is kept as long as what they did to many tasks at once.
        pipe.pexpire(server.keys.part(operation.queue, "audit"), _AUDIT_KEPT_MS)
        await pipe.execute()
    await server.ask("SREM", server.keys.queues, operation.queue)
    await server.run("remove", operation.queue, "forget", operation.id, "")


_MINUTES_KEPT = 2_881
_NAMES_A_CALL = 500
_AUDIT_KEPT_MS = 30 * 86_400_000
