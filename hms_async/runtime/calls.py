"""A caller's own numbered calls: whoever repeats one gets what it claimed, and no more (R2)."""

import time
from collections.abc import Sequence

import msgspec

from hms_async.domain.queue import check_name
from hms_async.errors import CallSuperseded, ConfigInvalid, StoreUnavailable
from hms_async.runtime.claims import ANSWER_TIMEOUT_S, Wish
from hms_async.runtime.exchange import Backoff
from hms_async.storage.replies import Exchanged
from hms_async.storage.store import Store

LONGEST_WAIT_S = 30.0
"""How long a call may wait: with its last exchange, less than the record of a lane is kept (R2)."""

STEPS = 2**20
"""How many exchanges one call may make; the next call's numbers follow."""

_SHORTEST_INCARNATION = 16
_MOST_LANES = 2**16
_MOST_CALLS = 2**32  # numbers of exchanges stay whole in Lua


class Call(msgspec.Struct, frozen=True):
    """The number that a caller gave to one of its calls.

    Attributes:
        incarnation: The caller's process: at least 16 random characters of the alphabet of ids,
            made anew at each start (R1).
        lane: One of its lanes, from 0; a caller has one call under way in each.
        seq: The call's number in the lane: 1, 2, 3, and the same again to repeat one.
    """

    incarnation: str
    lane: int
    seq: int

    def __post_init__(self) -> None:
        check_name(self.incarnation, what="incarnation")
        if len(self.incarnation) < _SHORTEST_INCARNATION:
            raise ConfigInvalid(
                f"incarnation={self.incarnation!r} is too short: at least "
                f"{_SHORTEST_INCARNATION} random characters, made anew by each process"
            )
        _check_number(self.lane, 0, _MOST_LANES, "lane")
        _check_number(self.seq, 1, _MOST_CALLS, "seq")

    def superseded(self) -> CallSuperseded:
        """Return the error that says that the caller has gone on."""
        return CallSuperseded(self.incarnation, self.lane, self.seq)


def _check_number(value: object, first: int, end: int, name: str) -> None:
    if type(value) is not int or not first <= value < end:
        raise ConfigInvalid(f"{name}={value!r} is not a whole number from {first} to {end - 1}")


class Walk:
    """One request for a call: exchanges with its queues, one after the other, until one claims.

    The exchanges of call `seq` are numbered `seq * 2**20 + k`, over all of its queues: exchange k
    goes to the queue seq + k, in the order of their names and round and round. Two requests for one
    call may run at once, even in two processes, when a caller lost patience and repeated it. Both
    walk the same numbers, and together they claim once:

    - A script executes a number once (R2). Whoever comes second with it gets the same answer.
    - Nobody sends k + 1 unless it knows that k was executed and has claimed nothing: by its own
      answer, or by the record that the script keeps of the lane. So a number that has claimed is
      the last of its call, and all requests end there, with the tasks whose lease still holds.

    So nothing may be handed back for a request that was cancelled: another may have the same tasks
    under the same tokens. They stay the caller's until it repeats the call, or their leases end.

    A request that has given up waiting knows only that nothing came so far. If another one of the
    same call goes on unheard, in another process, it may still claim, until the caller's next call
    overtakes it; those tasks are rescued when their leases end.

    Args:
        store: Where the queues are.
        call: The call. When it is repeated it names the same queues.
        queues: Their names, sorted.
        wish: What to claim.

    Attributes:
        call: The call.
        overtaken: Set by whoever makes the same call anew, or a later one: this one ends then.
        ended: Whether something was claimed, in this request or another one.
    """

    def __init__(self, store: Store, call: Call, queues: Sequence[str], wish: Wish) -> None:
        self._store = store
        self.call = call
        self._queues = queues
        self._wish = wish
        self._number: int | None = None
        self.overtaken = False
        self.ended = False

    async def ask(
        self,
        woken: str | None = None,  # noqa: ARG002  # a walk asks in an order of its own
        *,
        suspects: bool,
    ) -> tuple[str, Exchanged]:
        """Make one exchange, and return its queue and answer.

        Where the bell has rung does not matter: the numbers say whose turn it is.

        Raises:
            CallSuperseded: If the caller has made a later call.
            QueueNotFound: If there is no such queue.
            StoreError: If the server does not answer in time, or refuses.
        """
        while True:
            if self.overtaken:
                raise self.call.superseded()
            number = await self._look() if self._number is None else self._number
            self._number = None
            # Each call begins with another queue.
            queue = self._queues[sum(divmod(number, STEPS)) % len(self._queues)]
            reply = await self._exchange(queue, number, suspects=suspects)
            if reply is None:
                continue  # another request, or another call, is further
            if reply.claims:
                self.ended = True
            elif reply.verdict == "replayed" and not self.ended:
                continue  # another request was first; has it claimed something, and lost it?
            else:
                self._number = number + 1
            return queue, reply

    async def _look(self) -> int:
        """Return the number to send: the last one if that has claimed, else the one after it."""
        call = self.call
        records = await self._store.lanes(self._queues, call.incarnation, call.lane)
        last = max(records)
        seq, _ = divmod(last.seq, STEPS)
        if seq > call.seq:
            raise call.superseded()
        if seq < call.seq:
            return call.seq * STEPS
        self.ended = bool(last.ids)
        return last.seq if self.ended else last.seq + 1

    async def _exchange(self, queue: str, number: int, *, suspects: bool) -> Exchanged | None:
        until = time.monotonic() + ANSWER_TIMEOUT_S
        backoff = Backoff()
        wish, call = self._wish, self.call
        while True:
            try:
                return await self._store.exchange(
                    queue,
                    worker=wish.worker or "",
                    incarnation=call.incarnation,
                    lane=call.lane,
                    seq=number,
                    want=wish.want,
                    lease_ms=wish.lease_ms,
                    suspects=suspects,
                )
            except StoreUnavailable:
                if time.monotonic() > until:
                    raise
            await backoff.wait()
