"""Taking tasks by hand: a lease for whoever calls `pop_task`, outside a worker."""

import asyncio
import time
from typing import Any

from hms_async.domain.queue import Queue
from hms_async.domain.outcome import Failed, Fault
from hms_async.errors import EnvelopeInvalid, LeaseLost, StoreUnavailable
from hms_async.runtime.exchange import Backoff, Lane, make_incarnation, settlement_of, to_settle
from hms_async.runtime.task import Attempt, Task
from hms_async.storage.codec import decode_envelope
from hms_async.storage.replies import Claim, Exchanged, Settle
from hms_async.storage.store import Store

_BELL_WAIT_S = 1.0
_SETTLE_TIMEOUT_S = 10.0


class Popper:
    """Claims one task at a time, on lanes of its own.

    Args:
        store: Where the queues are.
        name: Who holds the tasks, for lists and logs.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._incarnation = make_incarnation()
        self._lanes: dict[str, list[Lane]] = {}
        self._made = 0
        self._queues: dict[str, Queue] = {}

    async def pop(
        self, queue: str, timeout_s: float, taken: "asyncio.Future[Attempt | None]"
    ) -> None:
        """Claim a task and give it to whoever waits; hand it back when nobody does any more.

        Runs apart from the caller, so that a cancelled caller loses no task.
        """
        lane = self._take_lane(queue)
        until = time.monotonic() + timeout_s
        try:
            while not taken.cancelled():
                reply = await self._exchange(lane, want=1)
                if reply.claims:
                    await self._give(lane, reply, taken)
                    return
                left = until - time.monotonic()
                if left <= 0:
                    taken.set_result(None)
                    return
                due = (reply.next_due_ms or float("inf")) - reply.now_ms
                wait = min(left, _BELL_WAIT_S, max(due / 1_000, 0))
                # 6.2 takes a very short wait as one without end.
                await self._store.wait_for_bell([queue], max(wait, 0.1))
        except Exception as error:  # noqa: BLE001  # it belongs to the caller, whatever it is
            if not taken.done():
                taken.set_exception(error)
        finally:
            self._lanes[queue].append(lane)

    async def _give(
        self, lane: Lane, reply: Exchanged, taken: "asyncio.Future[Attempt | None]"
    ) -> None:
        claim = reply.claims[0]
        settings = (await self._settings(lane.queue, reply.version)).settings
        if taken.cancelled():
            await self._exchange(lane, [Settle(claim.id, claim.token, "release")])
            return
        taken.set_result(
            Attempt(
                claim,
                lane.queue,
                server_ms=reply.now_ms,
                max_result_bytes=settings.max_payload_bytes,
            )
        )

    async def open(self, attempt: Attempt) -> Task[Any] | None:
        """Return the handle of a popped attempt; fail a task that cannot be read instead."""
        try:
            envelope = decode_envelope(attempt.claim.body)
        except EnvelopeInvalid as error:
            attempt.outcome = Failed(Fault("EnvelopeInvalid", str(error)), retryable=False)
            await self.settle(attempt)
            return None
        return Task(
            attempt,
            envelope.payload,
            correlation_id=envelope.correlation_id,
            extend=self.extend,
            settle=self.settle,
        )

    async def extend(self, attempt: Attempt) -> None:
        """Renew a lease.

        Raises:
            LeaseLost: If somebody else has the task.
        """
        claim = attempt.claim
        if await self._store.extend(attempt.queue, [(claim.id, claim.token)]):
            attempt.lost = True
            raise _lost(claim)

    async def settle(self, attempt: Attempt) -> None:
        """Send an outcome.

        Raises:
            LeaseLost: If it was refused: somebody else has the task, or it is gone.
        """
        queue = self._queues[attempt.queue]
        settle = to_settle(attempt, settlement_of(attempt, queue.settings.retry))
        lane = self._take_lane(attempt.queue)
        try:
            reply = await self._exchange(lane, [settle])
        finally:
            self._lanes[attempt.queue].append(lane)
        if reply.settled[0].answer in ("stale", "gone"):
            attempt.lost = True
            raise _lost(attempt.claim)

    async def _exchange(self, lane: Lane, settles: list[Settle] | None = None, want: int = 0) -> Exchanged:
        backoff, until = Backoff(), time.monotonic() + _SETTLE_TIMEOUT_S
        send = lane.exchange
        while True:
            try:
                return await send(settles or (), want)
            except StoreUnavailable:
                if time.monotonic() > until:
                    raise
            send = lane.again
            await backoff.wait()

    async def _settings(self, name: str, version: int) -> Queue:
        queue = self._queues.get(name)
        if queue is None or queue.version != version:
            queue = self._queues[name] = await self._store.queue(name)
        return queue

    def _take_lane(self, queue: str) -> Lane:
        """A lane carries one call at a time, so each call under way has its own."""
        free = self._lanes.setdefault(queue, [])
        if free:
            return free.pop()
        self._made += 1
        return Lane(
            self._store,
            queue,
            worker=self._name,
            incarnation=self._incarnation,
            number=self._made,
        )


def _lost(claim: Claim) -> LeaseLost:
    return LeaseLost(
        claim.id, f"the lease of task {claim.id} is lost: another worker has it, or it has ended"
    )
