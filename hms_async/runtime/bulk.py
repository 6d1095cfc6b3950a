"""Acts on many tasks, as those who want them deal with them: `oms.operations`."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import msgspec

from hms_async.domain.audit import Actor
from hms_async.domain.count import check_count
from hms_async.domain.duration import Duration, to_ms
from hms_async.domain.operation import Act, Operation, check_act, check_rate
from hms_async.domain.queue import check_name
from hms_async.domain.selection import Where
from hms_async.domain.task import ENTROPY_BYTES, OPEN, make_id
from hms_async.errors import (
    ConfigInvalid,
    OperationEnded,
    OperationNotFound,
    OperationTimeout,
    QueueNotEmpty,
)
from hms_async.runtime import search
from hms_async.runtime.acting import tell
from hms_async.runtime.work import carry_on
from hms_async.storage import operations
from hms_async.storage.operations import MOST_KEPT
from hms_async.storage.store import Store

_LOOK_EVERY_S = 0.2


class Operations:
    """Acts on many tasks of a queue at once.

    An operation is stored and goes on in the background: every supervisor works on those that are
    open, in steps, whatever becomes of whoever began it.

    Args:
        store: Where the queues are.
        acting: Says who acts, given who is named and the reason.
    """

    def __init__(self, store: Store, acting: Callable[[Actor | None, str], Actor]) -> None:
        self._store = store
        self._acting = acting

    async def start(
        self,
        act: Act | str,
        queue: str,
        *,
        where: Where | Mapping[str, Any] | None = None,
        rate: int | None = None,
        reason: str = "",
        by: Actor | None = None,
        dry_run: bool = False,
    ) -> Operation:
        """Begin an act on many tasks.

        Tasks that come in, come back, or end after its begin are left alone.

        Args:
            act: `requeue`, `cancel`, `bump`, `waive`, or `purge`, which cancels all that is open
                and that no worker holds.
            queue: The queue.
            where: Which of its tasks; all that the act is for if not given, and of `requeue` those
                that failed. A `Where`, or a mapping with what `Where.create` takes.
            rate: Tasks a second at most: 100 if not given, of `purge` no limit.
            reason: Why, for the audit.
            by: Who acts.
            dry_run: Only say how many tasks are meant; nothing is stored.

        Raises:
            ConfigInvalid: If something makes no sense; the message says what, and where.
            QueueNotFound: If nobody created the queue.
            TooManyOperations: If so many are open that no more may be.
        """
        check_name(queue, what="queue name")
        meant = Where.read(where)
        checked = check_act(act, meant)
        return await self._begin(
            checked, queue, meant, rate, self._acting(by, reason), dry_run=dry_run
        )

    async def remove(
        self, queue: str, *, force: bool = False, reason: str = "", by: Actor | None = None
    ) -> Operation:
        """Begin to take a queue away; `AsyncOMSClient.delete_queue` says how."""
        check_name(queue, what="queue name")
        if not force:
            stats = await self._store.stats(queue)
            counts = {str(state): int(getattr(stats, state.value)) for state in sorted(OPEN)}
            counts["to_do"] = stats.to_do
            if any(counts.values()):
                raise QueueNotEmpty(queue, counts)
        by = self._acting(by, reason)
        return await self._begin(Act.REMOVE, queue, Where(), None, by, force=force)

    async def _begin(
        self,
        act: Act,
        queue: str,
        where: Where,
        rate: int | None,
        by: Actor,
        *,
        force: bool = False,
        dry_run: bool = False,
    ) -> Operation:
        stats = await self._store.stats(queue)
        operation = Operation(
            id="",
            act=act,
            queue=queue,
            where=where,
            by=by,
            created_ms=stats.now_ms,
            rate=check_rate(rate, act),
            force=force,
        )
        counts = search.counts_of(stats, operation.states)
        by_state, exact = await search.estimate(self._store, operation, counts)
        operation = msgspec.structs.replace(
            operation, matched=sum(by_state.values()), exact=exact, by_state=by_state
        )
        if dry_run:
            return operation
        made = make_id(time.time_ns() // 1_000_000, os.urandom(ENTROPY_BYTES))
        operation = msgspec.structs.replace(operation, id=made)
        created_ms = await operations.start(self._store, operation)
        count = operation.matched
        tell("operation.start", by, does=act.value, queue=queue, op_id=made, count=count)
        return msgspec.structs.replace(operation, created_ms=created_ms)

    async def get(self, operation_id: str) -> Operation:
        """Return an operation and how far it is.

        Raises:
            OperationNotFound: If none of that id is kept; those that have ended are for 30 days.
        """
        return await operations.get(self._store, check_name(operation_id, what="operation id"))

    async def list(self, limit: int = 50) -> list[Operation]:
        """Return the latest operations, the last first; at most 1,000 are kept."""
        if check_count(limit, name="limit") > MOST_KEPT:
            raise ConfigInvalid(f"limit={limit} is over {MOST_KEPT}: more are not kept")
        return await operations.latest(self._store, limit)

    async def stop(
        self, operation_id: str, *, reason: str = "", by: Actor | None = None
    ) -> Operation:
        """Ask an operation to stop; what it has done stays done.

        Whoever works on it hears of it with the next step.

        Raises:
            OperationNotFound: If none of that id is kept.
            OperationEnded: If it has come to its end, or removes a queue that is closed already.
        """
        check_name(operation_id, what="operation id")
        by = self._acting(by, reason)
        match await operations.stop(self._store, operation_id, by):
            case "ok" | "already" as word:
                tell("operation.stop", by, changed=word == "ok", op_id=operation_id)
                return await self.get(operation_id)
            case "gone":
                raise OperationNotFound(operation_id)
            case "final":
                message = f"operation {operation_id} has closed its queue: only its keys are left"
                raise OperationEnded(operation_id, "running", message)
            case state:
                message = f"operation {operation_id} is {state}: there is nothing left to stop"
                raise OperationEnded(operation_id, state, message)

    async def wait(self, operation_id: str, timeout: Duration) -> Operation:  # noqa: ASYNC109  # the interface's word
        """Wait until an operation has come to its end, and return it.

        Whoever waits works on it, too, unless another does: so it comes to its end where no
        supervisor runs.

        Raises:
            OperationNotFound: If none of that id is kept.
            OperationTimeout: If it has not ended in time; it goes on.
        """
        with anyio.move_on_after(to_ms(timeout, name="timeout") / 1_000):
            while not (operation := await self.get(operation_id)).state.ended:
                if not await carry_on(self._store, operation_id):
                    await anyio.sleep(_LOOK_EVERY_S)
            return operation
        raise OperationTimeout(operation_id)
