"""Working off acts on many tasks, step by step, whoever began them.

Everything that must survive is in Redis: where the search is, what has been done, and which tasks
are being acted on right now. A lease with a growing number sees to it that one process at a time
works on an operation; when that one dies, another goes on from what is written. Each act is a
checked transition, so to do it again does nothing. The counts hold except for the one step that
was under way when a process died: of its tasks those that are no longer meant count as done, by
whomever.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import anyio
import msgspec
from anyio import CancelScope

from hms_async.domain.operation import (
    MOST_REFUSALS,
    Act,
    Operation,
    OperationState,
    Refusal,
    step_of,
)
from hms_async.domain.selection import Candidate
from hms_async.errors import QueueNotFound, StoreError, StoreProtocol
from hms_async.runtime import removal, search
from hms_async.storage import candidates, operations
from hms_async.storage.candidates import Place
from hms_async.storage.operations import Progress, Taken
from hms_async.storage.store import Store

_PAGES_A_STEP = 10
_TIME_TO_LET_GO_S = 2.0

Sleep = Callable[[float], Awaitable[None]]


async def carry_on(
    store: Store, operation_id: str, *, sleep: Sleep = anyio.sleep
) -> Operation | None:
    """Work on an operation to its end.

    Returns:
        The operation as it was left, ended unless another has taken it over; `None` when it had
        ended before, or another works on it.

    Raises:
        StoreError: If the server cannot be asked; what is written stays, and another goes on.
    """
    taken = await operations.take(store, operation_id)
    if taken is None:
        return None
    work = Work(store, taken)
    try:
        while work.alive:
            pause_s = await work.step()
            if pause_s > 0 and work.alive:
                await sleep(pause_s)
    except StoreError:
        # Away, or full: until the lease ends nobody tries again.
        work.alive = False
        raise
    finally:
        if work.alive:
            # So that another need not wait for the end of the lease.
            with CancelScope(shield=True), anyio.move_on_after(_TIME_TO_LET_GO_S):
                await work.let_go()
    return work.operation


class Work:
    """One process's work on an operation.

    Args:
        store: Where it is.
        taken: The operation, which is ours.
    """

    def __init__(self, store: Store, taken: Taken) -> None:
        self._store = store
        self._taken = taken
        self._most = step_of(taken.operation.rate)
        self.alive = True

    @property
    def operation(self) -> Operation:
        """The operation as it was written last."""
        return self._taken.operation

    async def step(self) -> float:
        """Do one bounded piece of it, and return for how many seconds to pause then.

        Raises:
            StoreError: If the server cannot be asked.
        """
        try:
            return await self._step()
        except QueueNotFound:
            await self._fail("the queue is gone")
        except StoreProtocol as error:
            # Something foreign is in the queue's keys: to try again would meet it again.
            await self._fail(str(error))
        return 0

    async def _step(self) -> float:
        operation, progress = self._taken.operation, self._taken.progress
        if progress.intent:
            await self._find_out(operation, progress)
            return 0
        if operation.state is OperationState.STOPPING and progress.stage != "clearing":
            if await self._give_up():
                await self._end(OperationState.STOPPED)
            return 0
        if operation.act is Act.REMOVE and not removal.is_emptying(progress):
            return await self._remove()
        return await self._search(operation, progress)

    async def _search(self, operation: Operation, progress: Progress) -> float:
        for _ in range(_PAGES_A_STEP):
            looked = await search.look(self._store, operation, progress)
            if looked is None:
                if operation.act is Act.REMOVE:
                    return await self._remove()
                await self._end(OperationState.DONE, progress=progress)
                return 0
            page, progress = looked
            wanted: list[Candidate] = []
            place = progress.place
            for task, behind in page.rows:
                if task is not None and operation.wants(task):
                    if len(wanted) == self._most:
                        break
                    wanted.append(task)
                place = behind
            if wanted:
                return await self._act_on(operation, progress, wanted, place)
            progress = msgspec.structs.replace(progress, place=place)
        await self._write(progress)
        return 0

    async def _act_on(
        self, operation: Operation, progress: Progress, wanted: Sequence[Candidate], behind: Place
    ) -> float:
        """Act on some tasks, having written down on which, and write down what came of it."""
        ids = [task.id for task in wanted]
        # Its answer says as well whether it is still ours, and whether it is to be stopped.
        if not await self._write(msgspec.structs.replace(progress, intent=tuple(ids))):
            return 0
        if self._taken.operation.state is OperationState.STOPPING:
            await self._write(progress)
            return 0
        acted, progress = await self._do(operation, progress, ids)
        await self._write(msgspec.structs.replace(progress, place=behind, intent=()))
        return acted / operation.rate if operation.rate else 0

    async def _do(
        self, operation: Operation, progress: Progress, ids: Sequence[str]
    ) -> tuple[int, Progress]:
        words = await candidates.act(self._store, operation, ids)
        done, refusals = 0, list[Refusal]()
        for task_id, word in zip(ids, words, strict=True):
            if isinstance(word, StoreError) and not isinstance(word, StoreProtocol):
                raise word  # the server is full, or away: those done are found out about
            if word in ("ok", "asked"):
                done += 1
            elif isinstance(word, StoreError):
                refusals.append(Refusal(task_id, str(word)))
            elif word == "body_lost":
                refusals.append(Refusal(task_id, "it has no body left to run"))
            # Any other word: it has moved on since it was looked at, and is not meant any more.
        return done, _counted(progress, done, refusals)

    async def _find_out(self, operation: Operation, progress: Progress) -> None:
        """Finish the step of one that did not: act on those of its tasks that are still meant."""
        found = await candidates.look_at(self._store, operation, progress.intent)
        left = [task.id for task in found if operation.wants(task)]
        progress = msgspec.structs.replace(
            progress, acted=True, done=progress.done + len(progress.intent) - len(left)
        )
        if left:
            _, progress = await self._do(operation, progress, left)
        await self._write(msgspec.structs.replace(progress, intent=()))

    async def _remove(self) -> float:
        outcome = await removal.step(self._store, self._taken)
        if isinstance(outcome, removal.Ended):
            await self._end(outcome.state, outcome.error)
            return 0
        await self._write(outcome.progress, final=outcome.progress.stage == "clearing")
        return outcome.pause_s

    async def _write(self, progress: Progress, *, final: bool = False) -> bool:
        self.alive = await operations.write(self._store, self._taken, progress, final=final)
        return self.alive

    async def _fail(self, error: str) -> None:
        with suppress(StoreProtocol):
            if not await self._give_up():
                return
        await self._end(OperationState.FAILED, error)

    async def _give_up(self) -> bool:
        """Leave things so that it can end here; False when a queue is closed, and is to be cleared.

        Else its name would stay taken for ever.
        """
        operation, progress = self._taken.operation, self._taken.progress
        if operation.act is not Act.REMOVE or progress.stage == "clearing":
            return True
        if await removal.give_up(self._store, operation):
            return True
        progress = msgspec.structs.replace(progress, stage="clearing", intent=())
        await self._write(progress, final=True)
        return False

    async def _end(
        self, state: OperationState, error: str = "", *, progress: Progress | None = None
    ) -> None:
        self.alive = False
        last = self._taken.progress if progress is None else progress
        await operations.end(self._store, self._taken, last, state, error)

    async def let_go(self) -> None:
        """Let another go on with it."""
        self.alive = False
        await operations.let_go(self._store, self._taken)


def _counted(progress: Progress, done: int, refusals: Sequence[Refusal]) -> Progress:
    """Return the progress with what came of a step; who is known to be refused counts once."""
    known = {one.id for one in progress.refusals}
    # Beyond those that are kept nobody knows who was counted, so only the first pass counts.
    fresh = [
        one
        for one in refusals
        if one.id not in known and (len(known) < MOST_REFUSALS or not progress.place.round)
    ]
    return msgspec.structs.replace(
        progress,
        acted=progress.acted or done > 0,
        done=progress.done + done,
        refused=progress.refused + len(fresh),
        refusals=(*progress.refusals, *fresh)[:MOST_REFUSALS],
    )
