"""Exchanges for callers who may go away: what was claimed for them is handed back."""

import time
from asyncio import CancelledError, Future, get_running_loop
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import anyio
from anyio import CancelScope
from anyio.abc import TaskGroup

from hms_async.errors import ClientClosed, HMSError, StoreError, StoreRefused, StoreUnavailable
from hms_async.runtime.exchange import Lane, Lanes
from hms_async.storage.replies import MOST_A_CALL, Claim, Exchanged, Settle, Settled
from hms_async.storage.store import Store

ANSWER_TIMEOUT_S = 10.0
_CLOSE_S = 1.0

Answer = Future[Exchanged]


class Wish(NamedTuple):
    """What somebody would like to claim.

    Attributes:
        want: How many tasks.
        worker: For whom, for people; ourselves if not given.
        lease_ms: For how long, instead of the queue's lease.
        suspects: Whether a task that one more crash would fail may be among them (R15).
    """

    want: int = 1
    worker: str | None = None
    lease_ms: int | None = None
    suspects: bool = True


class Claims:
    """Claims and settles on lanes of this process, apart from whoever asks for it.

    Args:
        store: Where the queues are.
        name: Who we are, for lists and logs.
        group: Where calls run: a cancelled caller loses no task.
    """

    def __init__(self, store: Store, name: str, group: TaskGroup) -> None:
        self._group = group
        self._name = name
        self._lanes = Lanes(store, name)
        self._free: dict[str, list[Lane]] = {}
        self._waiting: set[Answer] = set()
        self._idle = anyio.Event()

    async def aclose(self) -> None:
        """Wait for a while for calls under way, and let their callers go then."""
        with CancelScope(shield=True, deadline=anyio.current_time() + _CLOSE_S):
            while self._waiting:
                self._idle = anyio.Event()
                await self._idle.wait()
        self.close("no longer served: ask again")

    def close(self, why: str) -> None:
        """Let callers go that still wait; what they might have got is handed back."""
        for answer in list(self._waiting):
            _tell(answer, ClientClosed(why))

    def _done(self, answer: Answer) -> None:
        self._waiting.discard(answer)
        if not self._waiting:
            self._idle.set()

    async def claim(self, queue: str, wish: Wish) -> Exchanged:
        """Ask a queue for tasks.

        Raises:
            QueueNotFound: If there is no such queue.
            StoreError: If the server does not answer in time, or refuses.
        """
        answer: Answer = get_running_loop().create_future()
        self._waiting.add(answer)
        answer.add_done_callback(self._done)
        self._group.start_soon(self._claim, queue, wish, answer, name=f"claim-{queue}")
        try:
            return await answer
        except CancelledError:
            # It may have come in the very turn in which the caller was cancelled.
            if answer.done() and not answer.cancelled() and not answer.exception():
                self.hand_back(queue, answer.result().claims)
            raise

    async def settle(
        self, queue: str, settles: Sequence[Settle], *, worker: str | None = None
    ) -> list[Settled]:
        """Send outcomes, at most 250.

        Raises:
            QueueNotFound: If there is no such queue.
            StoreError: If the server does not answer in time, or refuses.
        """
        lane = self._take_lane(queue, Wish(worker=worker))
        try:
            reply = await _exchange(lane, settles)
        finally:
            self._free[queue].append(lane)
        return reply.settled

    def hand_back(self, queue: str, claims: Sequence[Claim]) -> None:
        """Let others have what nobody here waits for any more."""
        if claims:
            self._group.start_soon(self._release, queue, claims, name=f"release-{queue}")

    def settle_apart(self, queue: str, settles: Sequence[Settle]) -> None:
        """Send outcomes that nobody waits for, at most 250."""
        if settles:
            self._group.start_soon(self._settle, queue, settles, name=f"settle-{queue}")

    async def _claim(self, queue: str, wish: Wish, answer: Answer) -> None:
        lane = self._take_lane(queue, wish)
        try:
            reply = await _exchange(lane, want=wish.want, suspects=wish.suspects)
        except (StoreUnavailable, StoreRefused) as error:
            _tell(answer, error)
            # The call may have claimed something: the lane is of use again when that is known.
            await self._take_back(lane)
            return
        except Exception as error:  # noqa: BLE001  # it belongs to the caller, whatever it is
            _tell(answer, error)
            self._free[queue].append(lane)
            return
        self._free[queue].append(lane)
        if not answer.done():
            answer.set_result(reply)
        elif reply.claims:
            await self._release(queue, reply.claims)

    async def _take_back(self, lane: Lane) -> None:
        """Ask for an answer that nobody waits for any more, and hand back what is in it (R2)."""
        try:
            reply = await lane.exchange(unanswered=lambda _: 0, again=True)
        except HMSError:
            return  # its leases end by themselves
        self._free[lane.queue].append(lane)
        if reply.claims:
            await self._release(lane.queue, reply.claims)

    async def _release(self, queue: str, claims: Sequence[Claim]) -> None:
        await self._settle(queue, [Settle(claim.id, claim.token, "release") for claim in claims])

    async def _settle(self, queue: str, settles: Sequence[Settle]) -> None:
        with suppress(HMSError):  # their leases end by themselves
            await self.settle(queue, settles[:MOST_A_CALL])

    def _take_lane(self, queue: str, wish: Wish) -> Lane:
        """A lane carries one call at a time, so each call under way has its own."""
        free = self._free.setdefault(queue, [])
        lane = free.pop() if free else self._lanes.make(queue)
        lane.worker, lane.lease_ms = wish.worker or self._name, wish.lease_ms
        return lane


async def _exchange(
    lane: Lane, settles: Sequence[Settle] = (), *, want: int = 0, suspects: bool = True
) -> Exchanged:
    until = time.monotonic() + ANSWER_TIMEOUT_S

    def unanswered(error: StoreError) -> int:
        if time.monotonic() > until:
            raise error
        return want

    return await lane.exchange(settles, want, unanswered=unanswered, suspects=suspects)


def _tell(answer: Answer, error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
