"""The tasks that an act on many looks for, a page at a time, and the act itself."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from hms_async.domain.operation import Act, Operation
from hms_async.domain.selection import Candidate
from hms_async.domain.task import TaskState
from hms_async.errors import StoreError
from hms_async.storage.codec import decode_fault, decode_number
from hms_async.storage.server import Server

Kind = Literal["front", "back", "set", "ids"]
"""How a source is gone through: a lane from either end, a sorted set upwards, ids as given."""
Source = tuple[Kind, str]
"""How it is gone through, and the part of the queue's key; empty for the normal lane."""


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


async def read_page(
    server: Server, operation: Operation, source: Source, place: Place, limit: int
) -> Page:
    """Return a page of a source, with what is to be known of each task in it.

    Args:
        server: Where the queue is.
        operation: For which operation.
        source: Where it looks.
        place: What is behind us.
        limit: How many entries.
    """
    (kind, part), where = source, operation.where
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
        "candidates", operation.queue, kind, part, limit, int(where.of_faults), *tail
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
    faults = operation.where.of_faults
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
    # These two keep the reason in the task's record.
    if operation.act is Act.WAIVE:
        rest = (operation.by.reason or f"operation {operation.id}", "", "")
    elif name == "cancel":
        rest = ("", "", f"operation {operation.id}", *rest)
    replies = await server.run_many(name, operation.queue, [(one, *rest) for one in ids])
    return [reply if isinstance(reply, StoreError) else str(reply.decode()) for reply in replies]


# The script of each act, and what it is told beside the id; who acts is not told.
_SCRIPTS: dict[Act, tuple[str, tuple[str, ...]]] = {
    Act.REQUEUE: ("requeue", ("0", "", "", "")),
    Act.CANCEL: ("cancel", ()),
    Act.BUMP: ("bump", ("", "", "")),
    Act.WAIVE: ("waive", ()),
    Act.PURGE: ("cancel", ("1",)),
    Act.REMOVE: ("cancel", ()),
}
_ENDED_PARTS = frozenset({"failed", "cancelled", "expired"})


def _candidate(queue: str, kind: Kind, part: str, row: list[bytes]) -> Candidate | None:
    """Return the task of an entry; `None` for what is none, or stands here no more (R4)."""
    if len(row) == 2:  # noqa: PLR2004  # an entry without a record
        return None
    task_id, _, state, of, lane, arrived, accepted, requeued, *row = row
    finished, corr, cancel, sla, waived, *rest = row
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
        taken_in_ms=decode_number(requeued or accepted or None) or arrived_ms,
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
