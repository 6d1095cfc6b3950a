"""The lane between this process and a queue: settle and claim in one round trip (R2)."""

import itertools
import os
import random
from collections.abc import Callable, Sequence

import anyio
from anyio import CancelScope

from hms_async.domain.outcome import HandedBack
from hms_async.domain.retry import RetryPolicy
from hms_async.domain.settle import Settlement, decide
from hms_async.errors import StoreError, StoreProtocol, StoreRefused
from hms_async.runtime.task import Attempt
from hms_async.storage.codec import encode_fault
from hms_async.storage.replies import Exchanged, Settle
from hms_async.storage.store import Store

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0


class Backoff:
    """Growing pauses with jitter, while the server cannot be reached."""

    def __init__(self) -> None:
        self._tries = 0

    async def wait(self) -> None:
        """Wait, each time a little longer."""
        longest = min(_FIRST_PAUSE_S * 2**self._tries, _LONGEST_PAUSE_S)
        self._tries = min(self._tries + 1, 10)
        await anyio.sleep(longest * random.uniform(0.5, 1))  # noqa: S311  # spreads load, guards nothing


class Lane:
    """One queue's numbered calls from this process; one is under way at a time.

    An answer that was lost is asked for again with the same number, which the store answers
    without doing anything twice.

    Args:
        store: Where the queue is.
        queue: Its name.
        worker: This process's id, for people.
        incarnation: This process, in tokens.
        number: The lane's number; a process has one lane for each exchange in flight.
        head: Ask for the task that goes next, too.

    Attributes:
        worker: For whom the next call is made, for people.
        lease_ms: For how long the next call claims, instead of the queue's lease.
        busy: Whether a call is under way.
        ahead: What the last call claimed ahead: not to be started before the next is answered.
    """

    def __init__(
        self,
        store: Store,
        queue: str,
        *,
        worker: str,
        incarnation: str,
        number: int,
        head: bool = False,
    ) -> None:
        self.queue = queue
        self._head = head
        self._store = store
        self.worker = worker
        self.lease_ms: int | None = None
        self._incarnation = incarnation
        self._number = number
        self._seq = 0
        self._refused = False
        self.busy = False
        self.ahead: list[Attempt] = []

    async def exchange(
        self,
        settles: Sequence[Settle] = (),
        want: int = 0,
        *,
        ahead: int = 0,
        unanswered: Callable[[StoreError], int],
        again: bool = False,
        suspects: bool = True,
        shielded: bool = True,
    ) -> Exchanged:
        """Settle and claim once, asking until there is an answer.

        Nothing that waits may stand between the answer and whoever takes it: a claim whose
        answer is thrown away would be nobody's until its lease ends. So each try is shielded
        from cancellation, and the caller goes on without a wait.

        Args:
            settles: What is finished.
            want: How many tasks to claim.
            ahead: How many more, as long as the call is answered at once.
            unanswered: Called at each failed try; returns how many tasks are still wanted, since
                a wish may be taken back (R2), or raises to give up.
            again: Ask for the answer of the call before, which was given up.
            suspects: Whether a task that one more crash would fail may be claimed (R15).
            shielded: Not for one who claims nothing, and is about to end: it cannot wait.

        Raises:
            QueueNotFound: If there is no such queue.
            StoreProtocol: If the script failed: it did nothing.
            StoreRefused: If the server refuses us. An earlier try may have been carried out
                unheard, so the next exchange has the same number.
        """
        self._count(again=again)
        backoff = Backoff()
        while True:
            try:
                with CancelScope(shield=shielded):
                    return await self._send(settles, want, ahead, suspects=suspects)
            except StoreProtocol:
                raise
            except StoreRefused:
                self._refused = True
                raise
            except StoreError as error:
                want, ahead = unanswered(error), 0
            await backoff.wait()

    async def claim_at_bell(self, want: int, wait_s: float) -> Exchanged:
        """Claim when the queue's bell rings, or so many seconds have passed.

        The one claim that may be cancelled. However it is cut short, it may have claimed: ask
        `again` then. Suspects are left to others, as this process may get one meanwhile (R15).
        """
        self._count(again=False)
        return await self._send((), want, 0, suspects=False, at_bell_s=wait_s)

    def _count(self, *, again: bool) -> None:
        if not (again or self._refused):
            self._seq += 1
        self._refused = False

    async def _send(
        self,
        settles: Sequence[Settle],
        want: int,
        ahead: int,
        *,
        suspects: bool,
        at_bell_s: float | None = None,
    ) -> Exchanged:
        while True:
            reply = await self._store.exchange(
                self.queue,
                worker=self.worker,
                incarnation=self._incarnation,
                lane=self._number,
                seq=self._seq,
                settles=settles,
                want=want,
                ahead=ahead,
                lease_ms=self.lease_ms,
                suspects=suspects,
                at_bell_s=at_bell_s,
                head=self._head,
            )
            if reply is not None:
                return reply
            # A higher number was seen: ours was answered long ago. Settles may be repeated.
            self._seq += 1


class Lanes:
    """Makes the lanes of this process.

    Lease tokens are made of the process's incarnation and the lane's number (R1), and leases are
    kept by token, so no two lanes have one number, not even those of different queues.

    Args:
        store: Where the queues are.
        worker: This process's id, for people.
        heads: Ask with each call for the task that goes next, to choose among queues.
    """

    def __init__(self, store: Store, worker: str, *, heads: bool = False) -> None:
        self._store = store
        self._heads = heads
        self._worker = worker
        self._incarnation = os.urandom(10).hex()
        self._numbers = itertools.count()

    def make(self, queue: str) -> Lane:
        """Return another lane to a queue."""
        return Lane(
            self._store,
            queue,
            worker=self._worker,
            incarnation=self._incarnation,
            number=next(self._numbers),
            head=self._heads,
        )


def settlement_of(attempt: Attempt, policy: RetryPolicy) -> Settlement:
    """Return what an attempt's outcome leads to; without one it is handed back."""
    claim = attempt.claim
    return decide(
        attempt.outcome or HandedBack(),
        attempts_used=claim.attempt - claim.crashes,
        policy=policy,
        jitter=random.random(),  # noqa: S311  # spreads retries, guards nothing
    )


def to_settle(attempt: Attempt, settlement: Settlement) -> Settle:
    """Return an attempt's settlement as it is sent."""
    traceparent = attempt.processing.traceparent if attempt.processing else ""
    return to_send(attempt.claim.id, attempt.claim.token, settlement, traceparent)


def to_send(task_id: str, token: str, settlement: Settlement, traceparent: str = "") -> Settle:
    """Return a settlement as it is sent; a fault is kept with the span of its attempt."""
    fault = settlement.fault
    body = settlement.result if fault is None else encode_fault(fault, traceparent)
    argument: str | bytes | int | float = settlement.about
    match settlement.word:
        case "retry":
            argument = settlement.delay_ms
        case "error":
            argument = settlement.jitter
        case _:
            pass
    return Settle(task_id, token, settlement.word, argument, body)
