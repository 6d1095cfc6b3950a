"""Taking tasks by hand: a lease for whoever calls `pop_task`, outside a worker."""

import time
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, ref

import anyio
from anyio import CancelScope
from anyio.abc import TaskGroup

from hms_async.domain.outcome import Failed, Fault
from hms_async.errors import (
    CancelRequested,
    ClientClosed,
    EnvelopeInvalid,
    HMSError,
    LeaseLost,
)
from hms_async.runtime.claims import Claims, Wish
from hms_async.runtime.doorbell import Doorbell
from hms_async.runtime.exchange import settlement_of, to_settle
from hms_async.runtime.task import Attempt, Task
from hms_async.storage.codec import decode_trace
from hms_async.storage.replies import Exchanged
from hms_async.storage.store import Store
from hms_async.telemetry import otel

if TYPE_CHECKING:
    from hms_async.domain.queue import Queue

_CLOSED = "the client was closed while pop_task waited"


class Popper:
    """Claims one task at a time, on lanes of its own.

    Args:
        store: Where the queues are.
        name: Who holds the tasks, for lists and logs.
        group: Where claims run, apart from their callers: a cancelled caller loses no task.
        doorbell: Wakes those who wait; it runs elsewhere.
    """

    def __init__(self, store: Store, name: str, group: TaskGroup, doorbell: Doorbell) -> None:
        self._store = store
        self._name = name
        self._group = group
        self._doorbell = doorbell
        self._claims = Claims(store, name, group)
        self._queues: dict[str, Queue] = {}
        self._waits: set[CancelScope] = set()
        self._suspect: ReferenceType[Attempt] | None = None
        self._closed = False

    def close(self) -> None:
        """Let callers go that still wait; what they might have got is handed back."""
        self._closed = True
        for scope in list(self._waits):
            scope.cancel()
        self._claims.close(_CLOSED)

    async def pop(self, queue: str, timeout_s: float) -> Task[Any] | None:
        """Return a task under a lease, or `None` when none came in time."""
        began = time.monotonic()
        until = began + timeout_s
        self._check_open()
        while True:
            reply = await self._claim(queue)
            if reply.claims:
                if (task := await self._read(queue, reply)) is not None:
                    if spans := otel.spans(self._store.url):
                        carried = [decode_trace(one.body) for one in reply.claims]
                        spans.popped(queue, began, self._name, [task.id], carried)
                    return task
            elif (left := until - time.monotonic()) <= 0:
                return None
            else:
                await self._wait(queue, left)
            self._check_not_closed()

    def _check_not_closed(self) -> None:
        if self._closed:
            raise ClientClosed(_CLOSED)

    async def _claim(self, queue: str) -> Exchanged:
        if queue not in self._queues:
            try:
                self._queues[queue] = await self._store.queue(queue)
            finally:
                self._check_not_closed()
        reply = await self._claims.claim(queue, Wish(suspects=self._may_take_suspect()))
        self._doorbell.learn(queue, reply)
        return reply

    async def _wait(self, queue: str, left: float) -> None:
        with CancelScope(deadline=anyio.current_time() + left) as scope:
            self._waits.add(scope)
            try:
                await self._doorbell.wait([queue])
            finally:
                self._waits.discard(scope)

    async def _read(self, queue: str, reply: Exchanged) -> Task[Any] | None:
        """Return the task that was claimed; one that cannot be read has failed then."""
        attempt = self._attempt(queue, reply)
        try:
            envelope = attempt.open_envelope()
        except EnvelopeInvalid as error:
            attempt.outcome = Failed(Fault("EnvelopeInvalid", str(error)), retryable=False)
            await self._settle(attempt)
            return None
        return Task(attempt, envelope.payload, extend=self._extend, settle=self._settle)

    def _attempt(self, queue: str, reply: Exchanged) -> Attempt:
        if reply.version != self._queues[queue].version:
            self._group.start_soon(self._reload, queue, name=f"reload-{queue}")
        attempt = Attempt(
            reply.claims[0],
            queue,
            server_ms=reply.now_ms,
            max_result_bytes=self._queues[queue].settings.max_payload_bytes,
        )
        if reply.suspect is not None:
            self._suspect = ref(attempt)
        return attempt

    async def _reload(self, name: str) -> None:
        try:
            self._queues[name] = await self._store.queue(name)
        except HMSError:
            return  # the next claim says it again

    async def _extend(self, attempt: Attempt) -> None:
        """Renew a lease.

        Raises:
            LeaseLost: If somebody else has the task.
            CancelRequested: If it is to be cancelled.
        """
        self._check_open()
        claim = attempt.claim
        extended = await self._store.extend(attempt.queue, [(claim.id, claim.token)])
        if extended.lost:
            attempt.lost = True
            raise LeaseLost(claim.id)
        if extended.cancelling:
            attempt.cancel_asked = True
            raise CancelRequested(claim.id)

    async def _settle(self, attempt: Attempt) -> None:
        """Send an outcome.

        Raises:
            LeaseLost: If it was refused: somebody else has the task, or it is gone.
        """
        self._check_open()
        queue = self._queues[attempt.queue]
        began = time.monotonic()
        settle = to_settle(attempt, settlement_of(attempt, queue.settings.retry))
        (settled,) = await self._claims.settle(attempt.queue, [settle])
        lost = settled.answer in ("stale", "gone")
        if spans := otel.spans(self._store.url):
            ended = (attempt.queue, settle.id, settle.word, not lost, None)
            spans.settled(began, self._name, [ended])
        if lost:
            attempt.lost = True
            raise LeaseLost(attempt.claim.id)

    def _may_take_suspect(self) -> bool:
        """Whether no suspect is held; one that its caller has dropped is as good as settled."""
        held = self._suspect() if self._suspect else None
        return held is None or held.outcome is not None or held.lost

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosed("the client that took this task is closed")
