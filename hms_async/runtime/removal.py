"""Taking a queue away, as an operation that can be gone on with at any step.

By force: the queue takes no more tasks and is paused, what no worker holds is cancelled, and
workers are asked to cancel the rest. Then, or at once without force, one script looks whether
anything is open and closes the queue. Only then its keys are cleared, a bounded part at a time.
"""

import msgspec

from hms_async.domain.operation import Operation, OperationState
from hms_async.errors import QueueNotEmpty
from hms_async.storage import removal
from hms_async.storage.candidates import Place
from hms_async.storage.operations import Progress, Taken
from hms_async.storage.removal import Closing
from hms_async.storage.store import Store

PATIENCE_MS = 60_000
"""For how long workers may go on with what they were asked to cancel."""
_PAUSE_S = 0.5
_CHUNK = 200
_CHUNKS_A_STEP = 5


class Further(msgspec.Struct, frozen=True):
    """It goes on.

    Attributes:
        progress: How far it is.
        pause_s: For how long to wait before the next step.
    """

    progress: Progress
    pause_s: float = 0


class Ended(msgspec.Struct, frozen=True):
    """It has come to its end.

    Attributes:
        state: How.
        error: Why, or what was given up.
    """

    state: OperationState
    error: str


def is_emptying(progress: Progress) -> bool:
    """Return whether tasks are being looked for."""
    return progress.stage == "emptying"


async def give_up(store: Store, operation: Operation) -> bool:
    """Let the queue take tasks again; it stays paused, for whoever stopped this to decide.

    Returns:
        False when it is closed already, by one who died before that was written down.
    """
    return await removal.reopen(store, operation)


async def step(store: Store, taken: Taken) -> Further | Ended:
    """Do the next bounded piece of a removal, but for the search for tasks."""
    operation, progress = taken.operation, taken.progress
    if progress.stage == "clearing":
        return await _clear(store, taken)
    if not operation.force:
        closing = await removal.close(store, operation, whatever=False)
        if closing.closed:
            return _closed(progress, closing)
        return Ended(OperationState.FAILED, str(QueueNotEmpty(operation.queue, closing.counts)))
    if not progress.stage:
        await removal.begin_removal(store, operation)
        await store.pause(operation.queue, paused=True, reason=f"removed by {operation.by.who}")
        return Further(msgspec.structs.replace(progress, stage="emptying"))
    return await _close_by_force(store, taken)


async def _close_by_force(store: Store, taken: Taken) -> Further:
    """Close the queue when a pass has found nothing more to act on."""
    operation, progress = taken.operation, taken.progress
    if progress.told:
        closing = await removal.close(store, operation, whatever=True)
        return _closed(progress, closing)
    closing = await removal.close(store, operation, whatever=False)
    if closing.closed:
        return _closed(progress, closing)
    until_ms = progress.patience_ms or taken.now_ms + PATIENCE_MS
    if closing.in_progress and taken.now_ms < until_ms:
        # A dead worker's tasks come back when their leases end, to be cancelled then.
        await store.sweep(operation.queue)
        again = msgspec.structs.replace(progress, place=Place(), acted=False, patience_ms=until_ms)
        return Further(again, _PAUSE_S)
    # It is written down first, so that it is told whatever happens then.
    return Further(msgspec.structs.replace(progress, told=_told(closing)))


def _closed(progress: Progress, closing: Closing) -> Further:
    told = progress.told or _told(closing)
    return Further(msgspec.structs.replace(progress, stage="clearing", told=told))


def _told(closing: Closing) -> str:
    """Return what is given up with the queue, for people; empty for nothing."""
    words = {
        "waiting": "entries of its lanes",
        "in_progress": "tasks that workers still held",
        "scheduled": "scheduled tasks",
        "retrying": "retrying tasks",
        "to_do": "messages, or tasks on their way to other queues, in its outbox",
    }
    parts = [
        f"{closing.counts[name]} {said}" for name, said in words.items() if name in closing.counts
    ]
    if closing.undelivered:
        parts.append(f"{closing.undelivered} messages that no receiver took")
    return f"given up with the queue: {', '.join(parts)}" if parts else ""


async def _clear(store: Store, taken: Taken) -> Further | Ended:
    operation, progress = taken.operation, taken.progress
    for _ in range(_CHUNKS_A_STEP):
        cleared = await removal.clear(store, operation, _CHUNK)
        if cleared is None:
            return _done(progress)  # one who died then had come as far as that
        more, forgotten = cleared
        progress = msgspec.structs.replace(progress, cleared=progress.cleared + forgotten)
        if not more:
            await removal.forget_queue(store, operation, taken.now_ms)
            return _done(progress)
    return Further(progress)


def _done(progress: Progress) -> Ended:
    forgotten = f"{progress.cleared} tasks forgotten" if progress.cleared else ""
    return Ended(OperationState.DONE, "; ".join(filter(None, (progress.told, forgotten))))
