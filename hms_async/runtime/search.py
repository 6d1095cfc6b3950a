"""Where an operation looks for its tasks, and in which order.

Acting on a task takes it out of the set that one pages through, and lanes shift as workers claim.
So a place in a sorted set is the score and the id of the last entry behind us, whatever left or
entered the set since. A lane is gone through twice. From its front at first, so that tasks which
are bumped keep their order; what shifts over our place meanwhile is missed. From its back in all
later passes: what is taken in front moves nobody then, and what comes in behind only lets us see
some again. Tasks move from one source to another, too, so passes go on until one has acted on
nothing: whatever stood in one place through the whole of that pass has been looked at. What has
ended moves no more, and is gone through once.
"""

from collections.abc import Sequence

import msgspec

from hms_async.domain.operation import Act, Operation
from hms_async.domain.task import TaskState
from hms_async.storage.candidates import Kind, Page, Place, Source, read_page
from hms_async.storage.operations import Progress
from hms_async.storage.store import Store

PAGE = 200

_LANES = ("suspects", "express", "")
_PARTS = {
    TaskState.SCHEDULED: ("scheduled",),
    TaskState.RETRYING: ("retry",),
    TaskState.WAITING: _LANES,
    TaskState.IN_PROGRESS: ("inflight",),
    TaskState.FAILED: ("failed",),
    TaskState.CANCELLED: ("cancelled",),
    TaskState.EXPIRED: ("expired",),
}


def sources_of(operation: Operation, round_number: int) -> list[Source]:
    """Return how and where a pass looks: a kind of place, and the part of a queue's key."""
    if operation.where.ids:
        return [("ids", "")]
    states = [state for state in operation.states if not (round_number and state.ended)]
    lane: Kind = "back" if round_number else "front"
    return [
        (lane if part in _LANES else "set", part)
        for state in states
        # What is in another lane goes first as it is.
        for part in (("",) if operation.act is Act.BUMP else _PARTS[state])
    ]


async def look(
    store: Store, operation: Operation, progress: Progress
) -> tuple[Page, Progress] | None:
    """Return the next page, and the progress with which it is looked at; `None` at the end."""
    while True:
        place = progress.place
        sources = sources_of(operation, place.round)
        if place.source >= len(sources):
            following = sources_of(operation, place.round + 1)
            if not progress.acted or not following:
                return None
            progress = msgspec.structs.replace(
                progress, place=Place(round=place.round + 1), acted=False
            )
            continue
        source = sources[place.source]
        page = await read_page(store, operation, source, place, PAGE)
        if source[0] == "front" and place.end is None:
            # What comes in meanwhile is not ours, and would have no end.
            place = msgspec.structs.replace(place, end=page.length)
            rows = [(task, msgspec.structs.replace(at, end=page.length)) for task, at in page.rows]
            page = Page(page.more, page.length, rows)
        if not page.rows or (place.end is not None and place.passed >= place.end):
            progress = msgspec.structs.replace(progress, place=_next_source(place))
            continue
        if not page.more:
            *rows, (last, at) = page.rows
            page = Page(page.more, page.length, [*rows, (last, _next_source(at))])
        return page, msgspec.structs.replace(progress, place=place)


def _next_source(place: Place) -> Place:
    return Place(round=place.round, source=place.source + 1)


async def estimate(
    store: Store, operation: Operation, counts: dict[TaskState, int], *, most: int = 5_000
) -> tuple[dict[TaskState, int], bool]:
    """Return how many tasks are meant, and whether they were counted, not estimated.

    Args:
        store: Where the queue is.
        operation: Which tasks are meant.
        counts: How many tasks there are in each state.
        most: How many are looked at in each place; of the others it is taken that they are alike.
    """
    exact_acts = (Act.REQUEUE, Act.CANCEL, Act.PURGE, Act.REMOVE)
    if operation.where.by_state_only and operation.act in exact_acts:
        return {state: counts[state] for state in operation.states}, True
    found: dict[TaskState, float] = dict.fromkeys(operation.states, 0)
    exact = True
    for source in sources_of(operation, 0):
        place, seen, wanted, more, length = Place(), 0, dict[TaskState, int](), True, 0
        while more and seen < most:
            page = await read_page(store, operation, source, place, PAGE)
            length, more = page.length, page.more and bool(page.rows)
            for task, place in page.rows:  # noqa: B007  # the last one is where to go on
                seen += 1
                if task is not None and operation.wants(task):
                    wanted[task.state] = wanted.get(task.state, 0) + 1
        exact = exact and not more
        share = length / seen if more and source[0] != "ids" and seen else 1
        for state, count in wanted.items():
            found[state] = found.get(state, 0) + count * share
    return {state: round(count) for state, count in found.items()}, exact


def counts_of(stats: object, states: Sequence[TaskState]) -> dict[TaskState, int]:
    """Return how many tasks of a queue are in some states, as a look at it says."""
    return {state: int(getattr(stats, state.value)) for state in states}
