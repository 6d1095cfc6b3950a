"""What happened to a queue and its tasks, as its stream of events tells it."""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from hms_async.domain.handoff import Handoff
from hms_async.errors import ConfigInvalid

GAP = "gap"
LONGEST_MESSAGE = 500
"""Characters of a message; the whole is in the task's record."""


TYPES: frozenset[str] = frozenset(
    {
        *("done", "failed", "cancelled", "expired", "retrying", "cancelling", "rescued"),
        *("requeued", "bumped", "paused", "resumed", GAP),
    }
)
"""What happens to a task or a queue, but for what its promise and its incidents say."""

FAMILIES = ("sla.", "incident.")
"""What types begin with that end in a rung's name, or in what became of an incident."""


def check_type(value: str) -> str:
    """Return a type of events, or a family of them.

    Raises:
        ConfigInvalid: If no event has such a type.
    """
    if value not in TYPES and not value.startswith(FAMILIES):
        raise ConfigInvalid(
            f'"{value}" is no type of event: one of {", ".join(sorted(TYPES))}, sla.<rung>, '
            'incident.<what>, or a family, "sla." and "incident."'
        )
    return value


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, as a queue's stream tells it.

    Attributes:
        id: Its place in the stream; give it as `after` to go on from there.
        type: `done`, `failed`, `cancelled`, `expired`, `retrying`, `cancelling`, `rescued`,
            `requeued`, `bumped`, `paused`, `resumed`, `sla.<rung>`; or `gap` when entries before
            this one are gone, so that the reader must look at the state again.
        queue: The queue.
        task_id: The task, if it is about one.
        correlation_id: Its case, if any.
        message: Of a task that is done, its result's `note`, if that is a text; of one that failed,
            why. At most 500 characters.
        handoff: Of a task that is done, the workflow that its handler wants started.
        fields: What else the entry holds.
    """

    id: str
    type: str
    queue: str
    task_id: str | None = None
    correlation_id: str | None = None
    message: str | None = None
    handoff: Handoff | None = None
    fields: Mapping[str, str]


def picking(types: Iterable[str] | None) -> Callable[[Event], bool]:
    """Return what tells whether somebody who asked for these types wants an event.

    A type that ends in a dot stands for all that begin with it. Gaps are always told.

    Raises:
        ConfigInvalid: If it is no collection of types.
    """
    if types is None:
        return lambda _: True
    if isinstance(types, str):
        raise ConfigInvalid(f"types={types!r} is one text: write types=({types!r},)")
    names = frozenset(types) | {GAP}
    families = tuple(name for name in names if name.endswith("."))
    return lambda event: event.type in names or event.type.startswith(families)
