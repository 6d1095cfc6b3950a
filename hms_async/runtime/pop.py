"""Taking tasks by hand: a lease for whoever calls `pop_task`, outside a worker."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
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
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from hms_async.runtime.exchange import Lane, Lanes, settlement_of, to_settle
from hms_async.runtime.task import Attempt, Task
from hms_async.storage.codec import decode_envelope
from hms_async.storage.replies import Claim, Exchanged, Settle
from hms_async.storage.store import Store

if TYPE_CHECKING:
    from hms_async.domain.queue import Queue

_BELL_WAIT_S = 1.0
_SHORTEST_WAIT_S = 0.1  # Redis 6.2 takes a very short wait as one without end
_MARGIN_S = 5.0
_ANSWER_TIMEOUT_S = 10.0

Taken = asyncio.Future[Attempt | None]


class Popper:
    """Claims one task at a time, on lanes of its own.

    Args:
        store: Where the queues are.
        name: Who holds the tasks, for lists and logs.
        group: Where claims run, apart from their callers: a cancelled caller loses no task.
    """

    def __init__(self, store: Store, name: str, group: TaskGroup) -> None:
        self._store = store
        self._group = group
        self._lanes = Lanes(store, name)
        self._free: dict[str, list[Lane]] = {}
        self._queues: dict[str, Queue] = {}
        self._waiting: set[Taken] = set()
        self._suspect: ReferenceType[Attempt] | None = None
        self._closed = False

    def close(self) -> None:
        """Let callers go that still wait; what they might have got is handed back."""
        self._closed = True
        for taken in list(self._waiting):
            if not taken.done():
                taken.set_exception(ClientClosed("the client was closed while pop_task waited"))

    async def pop(self, queue: str, timeout_s: float) -> Task[Any] | None:
        """Return a task under a lease, or `None` when none came in time."""
        until = time.monotonic() + timeout_s
        while True:
            self._check_open()
            attempt = await self._take(queue, until)
            if attempt is None:
                return None
            try:
                envelope = decode_envelope(attempt.claim.body)
            except EnvelopeInvalid as error:
                attempt.outcome = Failed(Fault("EnvelopeInvalid", str(error)), retryable=False)
                await self._settle(attempt)
                continue
            attempt.correlation_id = envelope.correlation_id
            return Task(attempt, envelope.payload, extend=self._extend, settle=self._settle)

    async def _take(self, queue: str, until: float) -> Attempt | None:
        taken: Taken = asyncio.get_running_loop().create_future()
        self._waiting.add(taken)
        taken.add_done_callback(self._waiting.discard)
        self._group.start_soon(self._claim, queue, until, taken, name=f"pop-{queue}")
        try:
            return await taken
        except asyncio.CancelledError:
            # It may have come in the very turn in which the caller was cancelled.
            if not taken.cancelled() and not taken.exception() and (attempt := taken.result()):
                self._group.start_soon(
                    self._release, [attempt.claim], queue, name=f"release-{queue}"
                )
            raise

    async def _claim(self, queue: str, until: float, taken: Taken) -> None:
        lane = self._take_lane(queue)
        try:
            attempt = await self._claim_on(lane, until, taken)
        except (StoreUnavailable, StoreRefused) as error:
            _tell(taken, error)
            # The call may have claimed something: the lane is of use again when that is known.
            await self._take_back(lane)
            return
        except Exception as error:  # noqa: BLE001  # it belongs to the caller, whatever it is
            _tell(taken, error)
            self._free[queue].append(lane)
            return
        self._free[queue].append(lane)
        if not taken.done():
            taken.set_result(attempt)
        elif attempt is not None:
            await self._release([attempt.claim], queue)

    async def _take_back(self, lane: Lane) -> None:
        """Ask for an answer that nobody waits for any more, and hand back what is in it (R2)."""
        try:
            reply = await lane.exchange(unanswered=lambda _: 0, again=True)
        except HMSError:
            return  # its leases end by themselves
        self._free[lane.queue].append(lane)
        if reply.claims:
            await self._release(reply.claims, lane.queue)

    async def _claim_on(self, lane: Lane, until: float, taken: Taken) -> Attempt | None:
        if lane.queue not in self._queues:
            self._queues[lane.queue] = await self._store.queue(lane.queue)
        while not taken.done():
            reply = await self._exchange(lane, want=1)
            if reply.claims:
                return self._attempt(lane.queue, reply)
            left = until - time.monotonic()
            if left <= 0:
                return None
            await self._wait(lane.queue, reply, left, taken)
        return None

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

    async def _wait(self, queue: str, reply: Exchanged, left: float, taken: Taken) -> None:
        if reply.paused:
            # Its bell is for those who may take from it (R13).
            await anyio.sleep(min(left, _BELL_WAIT_S))
            return
        due_ms = (reply.next_due_ms or float("inf")) - reply.now_ms
        wait = max(min(left, _BELL_WAIT_S, due_ms / 1_000), _SHORTEST_WAIT_S)
        # The connection has no time-out of its own: a half-open one would wait for ever.
        with anyio.move_on_after(wait + _MARGIN_S):
            rung = await self._store.wait_for_bell([queue], wait)
            if rung and taken.done():
                with CancelScope(shield=True):
                    await self._store.ring(queue)

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
            raise _lost(claim)
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
        settle = to_settle(attempt, settlement_of(attempt, queue.settings.retry))
        lane = self._take_lane(attempt.queue)
        try:
            reply = await self._exchange(lane, [settle])
        finally:
            self._free[attempt.queue].append(lane)
        if reply.settled[0].answer in ("stale", "gone"):
            attempt.lost = True
            raise _lost(attempt.claim)

    async def _release(self, claims: Sequence[Claim], queue: str) -> None:
        """Let others have what nobody here waits for any more."""
        settles = [Settle(claim.id, claim.token, "release") for claim in claims]
        lane = self._take_lane(queue)
        with suppress(HMSError):  # their leases end by themselves
            await self._exchange(lane, settles)
        self._free[queue].append(lane)

    async def _exchange(
        self, lane: Lane, settles: Sequence[Settle] = (), want: int = 0
    ) -> Exchanged:
        until = time.monotonic() + _ANSWER_TIMEOUT_S

        def unanswered(error: StoreError) -> int:
            if time.monotonic() > until:
                raise error
            return want

        return await lane.exchange(
            settles, want, unanswered=unanswered, suspects=self._may_take_suspect()
        )

    def _may_take_suspect(self) -> bool:
        """Whether no suspect is held; one that its caller has dropped is as good as settled."""
        held = self._suspect() if self._suspect else None
        return held is None or held.outcome is not None or held.lost

    def _take_lane(self, queue: str) -> Lane:
        """A lane carries one call at a time, so each call under way has its own."""
        free = self._free.setdefault(queue, [])
        return free.pop() if free else self._lanes.make(queue)

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosed("the client that took this task is closed")


def _tell(taken: Taken, error: Exception) -> None:
    if not taken.done():
        taken.set_exception(error)


def _lost(claim: Claim) -> LeaseLost:
    return LeaseLost(
        claim.id, f"the lease of task {claim.id} is lost: another worker has it, or it has ended"
    )
