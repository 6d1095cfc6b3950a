"""Acts on many tasks: what is kept of each, and who works on it."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from hms_async.domain.audit import Actor
from hms_async.domain.operation import Act, Operation, OperationState, Refusal
from hms_async.domain.selection import Where
from hms_async.domain.task import TaskState
from hms_async.errors import OperationNotFound, StoreProtocol, TooManyOperations
from hms_async.storage.candidates import Place
from hms_async.storage.codec import UNREADABLE, decode_number
from hms_async.storage.server import Server

MOST_OPEN = 100
MOST_KEPT = 1_000
LEASE_MS = 15_000


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


async def take(server: Server, operation_id: str) -> Taken | None:
    """Take an operation to work on it; `None` when it has ended, or another works on it."""
    reply = await server.run_on(
        "take_operation", _keys(server, operation_id), operation_id, LEASE_MS
    )
    if reply in (b"gone", b"held"):
        return None
    fence, now_ms, flat = reply
    fields: dict[bytes, bytes] = dict(zip(flat[::2], flat[1::2], strict=True))
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
    return await _write(server, taken, progress, LEASE_MS, *fields)


async def end(
    server: Server, taken: Taken, progress: Progress, state: OperationState, error: str = ""
) -> bool:
    """Write down that it has come to its end; False when another works on it."""
    fields: list[str | bytes] = ["progress", msgspec.json.encode(progress), "error", error]
    told = f"done {progress.done}, refused {progress.refused}"
    outcome = f"{told}; {error}" if error else told
    if not await _write(server, taken, progress, 0, *fields, ends=state, outcome=outcome):
        return False
    taken.operation = msgspec.structs.replace(
        taken.operation, error=error, finished_ms=taken.now_ms
    )
    return True


async def let_go(server: Server, taken: Taken) -> None:
    """Let another go on with it at once."""
    await _write(server, taken, taken.progress, 0)


async def stop(server: Server, operation_id: str, by: Actor) -> str:
    """Ask that it ends: `ok`, `already`, `gone`, `final`, or the state that it has ended in."""
    reply = await server.run_on(
        "stop_operation", _keys(server, operation_id), operation_id, by.who, by.via, by.reason
    )
    return str(reply.decode())


def _keys(server: Server, operation_id: str) -> tuple[str, ...]:
    keys = server.keys
    return keys.operation(operation_id), keys.operations, keys.open_operations, keys.audit


async def _write(
    server: Server,
    taken: Taken,
    progress: Progress,
    lease_ms: int,
    *fields: str | bytes,
    ends: str = "",
    outcome: str = "",
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
    taken.operation = msgspec.structs.replace(
        operation,
        state=state,
        done=progress.done,
        refused=progress.refused,
        refusals=progress.refusals,
    )
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
