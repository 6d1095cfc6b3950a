"""The lane between this process and a queue: settle and claim in one round trip (R2)."""

import os
import random
from collections.abc import Sequence

import anyio

from hms_async.domain.outcome import HandedBack
from hms_async.domain.retry import RetryPolicy
from hms_async.domain.settle import Settlement, decide
from hms_async.runtime.task import Attempt
from hms_async.storage.codec import encode_fault
from hms_async.storage.replies import Exchanged, Settle
from hms_async.storage.store import Store

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0


def make_incarnation() -> str:
    """Return what makes this process's tokens unlike those of any other, ever (R1)."""
    return os.urandom(10).hex()


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
    """

    def __init__(
        self, store: Store, queue: str, *, worker: str, incarnation: str, number: int = 0
    ) -> None:
        self.queue = queue
        self._store = store
        self._worker = worker
        self._incarnation = incarnation
        self._number = number
        self._seq = 0

    async def exchange(self, settles: Sequence[Settle] = (), want: int = 0) -> Exchanged:
        """Settle and claim once; raises what the store raises.

        Raises:
            StoreUnavailable: If no answer came. Call `again` with the same arguments, or with
                `want=0` to take back the wish: what was claimed comes back either way.
        """
        self._seq += 1
        return await self.again(settles, want)

    async def again(self, settles: Sequence[Settle] = (), want: int = 0) -> Exchanged:
        """Send the last number once more."""
        while True:
            reply = await self._store.exchange(
                self.queue,
                worker=self._worker,
                incarnation=self._incarnation,
                lane=self._number,
                seq=self._seq,
                settles=settles,
                want=want,
            )
            if reply is not None:
                return reply
            # A higher number was seen: ours was answered long ago. Settles may be repeated.
            self._seq += 1


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
    """Return a settlement as it is sent."""
    body = settlement.result if settlement.fault is None else encode_fault(settlement.fault)
    argument = settlement.delay_ms if settlement.word == "retry" else ""
    return Settle(attempt.claim.id, attempt.claim.token, settlement.word, argument, body)
