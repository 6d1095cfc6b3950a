"""Leases for workers that are not in this process, such as those that come over HTTP."""

import itertools
import socket
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol, Self

import anyio
import msgspec
from anyio import CancelScope
from anyio.abc import TaskGroup

from hms_async.domain.count import check_count
from hms_async.domain.outcome import Failed, Fault
from hms_async.domain.queue import DAY_MS, SHORTEST_LEASE_MS, check_name
from hms_async.domain.settle import decide_unknowing
from hms_async.domain.trace import TraceContext
from hms_async.errors import ConfigInvalid, EnvelopeInvalid
from hms_async.runtime.calls import LONGEST_WAIT_S, Call, Walk
from hms_async.runtime.claims import Claims, Wish
from hms_async.runtime.doorbell import Doorbell
from hms_async.runtime.exchange import to_send
from hms_async.runtime.guests import Guests
from hms_async.runtime.verdicts import Answer, May, RemoteOutcome, RemoteSettled, Verdicts
from hms_async.storage.codec import decode_envelope
from hms_async.storage.replies import MOST_A_CALL, Claim, Exchanged, Settle
from hms_async.storage.store import Store
from hms_async.telemetry import otel

MOST_QUEUES = 64
"""How many queues one call may name."""


class Leased(msgspec.Struct, frozen=True, kw_only=True):
    """A task under a lease, as a worker elsewhere gets it.

    Attributes:
        id: The task.
        queue: Its queue.
        token: What proves that one holds it.
        payload: What was asked.
        correlation_id: The case it belongs to, if any.
        trace: Which trace it belongs to, if any.
        attempt: Number of this attempt, from 1.
        crashes: Leases lost so far.
        arrived_ms: When its SLA clock started.
        due_ms: When its promise is broken, if it has one.
        waited_ms: How long it waited in a lane.
        lease_ms: How long its holder may be silent.
    """

    id: str
    queue: str
    token: str
    payload: Any
    correlation_id: str | None
    trace: TraceContext | None
    attempt: int
    crashes: int
    arrived_ms: int
    due_ms: int | None
    waited_ms: int
    lease_ms: int


class Popped(msgspec.Struct, frozen=True):
    """The answer to a pop.

    Attributes:
        tasks: What was claimed, all of one queue; empty when nothing came in time.
        drain: Whether we are about to stop: what is asked for from now on, others answer.
    """

    tasks: list[Leased]
    drain: bool = False


class _Asking(Protocol):
    """A way to ask queues for tasks, until something was claimed."""

    ended: bool

    async def ask(self, woken: str | None, *, suspects: bool) -> tuple[str, Exchanged]:
        """Ask the next queue, and return which that was and what it said."""
        ...


class _Rounds:
    """Asks queues in turn, on lanes of ours; who was woken begins where it rang."""

    def __init__(self, claims: Claims, queues: Sequence[str], wish: Wish) -> None:
        self._claims = claims
        self._turns = itertools.cycle(queues)
        self._wish = wish
        self.ended = False

    async def ask(self, woken: str | None, *, suspects: bool) -> tuple[str, Exchanged]:
        queue = woken or next(self._turns)
        return queue, await self._claims.claim(queue, self._wish._replace(suspects=suspects))


class RemoteWorkers:
    """What workers elsewhere do through this process: pop, settle, keep leases alive.

    It is as native workers do it, on the same scripts. Open it for as long as they may come:

        async with RemoteWorkers.open(store) as workers:
            popped = await workers.pop(["q"], worker="go-1", wait_s=30)

    R15 holds for each worker by its name, and in each process that serves it: one with connections
    to two of them may hold two suspects.

    Args:
        store: Where the queues are.
        doorbell: Wakes those who wait; it runs elsewhere.
        name: Who we are, for lists and logs.
        group: Where calls run, apart from their callers. It must live until the last caller is
            gone; cancel it after `drain`.
    """

    def __init__(self, store: Store, doorbell: Doorbell, name: str, group: TaskGroup) -> None:
        self._store = store
        self._doorbell = doorbell
        self._claims = Claims(store, name, group)
        self._guests = Guests(store, group)
        self._verdicts = Verdicts(store, self._claims, self._guests)
        self._waits: dict[_Asking, CancelScope] = {}
        self._walks: dict[tuple[str, int], Walk] = {}
        self._turn = itertools.count()
        self._draining = False

    @classmethod
    @asynccontextmanager
    async def open(cls, store: Store, name: str = "") -> AsyncGenerator[Self]:
        """Serve workers for the length of a block; whoever still waits at its end gets nothing."""
        async with anyio.create_task_group() as group:
            doorbell = Doorbell(store)
            await group.start(doorbell.run, name="doorbell")
            workers = cls(store, doorbell, name or f"{socket.gethostname()}-rest", group)
            try:
                yield workers
            finally:
                workers.drain()
                await workers._claims.aclose()
                group.cancel_scope.cancel()

    @property
    def waiting(self) -> int:
        """How many pops wait for a task now."""
        return len(self._waits)

    def drain(self) -> None:
        """Let those go who wait, with nothing; from now on nothing is claimed any more."""
        self._draining = True
        for scope in list(self._waits.values()):
            scope.cancel()

    async def pop(
        self,
        queues: Sequence[str],
        *,
        worker: str,
        most: int = 1,
        wait_s: float = 0.0,
        lease_ms: int | None = None,
        call: Call | None = None,
    ) -> Popped:
        """Claim tasks for a worker.

        A caller that is cancelled loses none: what was claimed for it is handed back, and the
        attempt is not counted. With a `call` of its own it is kept for the same call again, until
        the lease ends.

        Args:
            queues: Where from; they are asked in turn, and the first that has something gives all.
            worker: The worker's name.
            most: How many tasks, up to 250.
            wait_s: How long to wait for the first one, in seconds; with a `call` up to 30.
            lease_ms: How long the leases are, instead of the queue's; 3 s to a day.
            call: The caller's own number for this. When the answer is lost, the same call again
                gets the same tasks, as far as their leases still hold, with leases renewed, and
                claims nothing more; for a minute at least. It must name the same queues.

        Raises:
            NameInvalid: If a name is outside the alphabet.
            ConfigInvalid: If another argument makes no sense.
            QueueNotFound: If nobody created one of the queues.
            CallSuperseded: If the caller has made a later call in this lane, or this one again.
            StoreError: If the server does not answer in time, or refuses.
        """
        names = _check_queues(queues)
        wish = Wish(_check_most(most), _check_worker(worker), _check_lease(lease_ms))
        if call is not None and wait_s > LONGEST_WAIT_S:
            raise ConfigInvalid(
                f"wait_s={wait_s} is too long: a numbered call waits for up to 30 s"
            )
        began = time.monotonic()
        until = began + wait_s
        self._guests.seen(worker, names)
        if call is None:
            first = next(self._turn) % len(names)
            rounds = _Rounds(self._claims, names[first:] + names[:first], wish)
            popped = await self._pop(rounds, names, wish, until)
        else:
            walk = Walk(self._store, call, names, wish)
            with self._latest(walk):
                popped = await self._pop(walk, names, wish, until)
        if popped.tasks and (spans := otel.spans(self._store.url)):
            ids, carried = [one.id for one in popped.tasks], [one.trace for one in popped.tasks]
            spans.popped(popped.tasks[0].queue, began, worker, ids, carried)
        return popped

    async def settle(
        self, outcomes: Sequence[RemoteOutcome], *, may: May = lambda _: True
    ) -> list[RemoteSettled]:
        """Say what became of tasks, at most 250: one answer for each, in order.

        It is idempotent: an outcome that is sent again answers `already`.

        Args:
            outcomes: What became of them.
            may: Whether the caller may work on a queue's tasks; others are `gone` to it.

        Raises:
            ConfigInvalid: If there are too many.
            StoreError: If the server does not say whose tasks they are: nothing was settled.
        """
        began = time.monotonic()
        settled = await self._verdicts.settle(outcomes, may)
        if spans := otel.spans(self._store.url):
            told = [
                (one.queue, one.id, outcome.word, one.answer in ("ok", "already"), None)
                for outcome, one in zip(outcomes, settled, strict=True)
                if one.queue
            ]
            spans.settled(began, None, told)
        return settled

    async def heartbeat(
        self,
        leases: Sequence[tuple[str, str]],
        *,
        worker: str | None = None,
        lease_ms: int | None = None,
        may: May = lambda _: True,
    ) -> list[Answer]:
        """Renew leases, at most 250, given as pairs of id and token.

        Args:
            leases: The leases.
            worker: The worker's name, if it says so.
            lease_ms: For how long, instead of the queue's lease; what was asked for at the pop is
                not remembered.
            may: Whether the caller may work on a queue's tasks; others are `lost` to it.

        Returns:
            For each `continue`; `cancel` if the task is to be cancelled: it should be stopped and
            released; `drain` if we are about to stop: another process will answer the next one;
            `lost` if the lease is gone: nothing that comes of it will be accepted.

        Raises:
            NameInvalid: If the worker's name is outside the alphabet.
            ConfigInvalid: If there are too many, or the lease is too short or too long.
            StoreError: If the server does not answer, or refuses.
        """
        if worker is not None:
            self._guests.seen(_check_worker(worker))
        return await self._verdicts.extend(
            leases, _check_lease(lease_ms), "drain" if self._draining else "continue", may
        )

    @contextmanager
    def _latest(self, walk: Walk) -> Generator[None]:
        """End the request before this one in its lane, unless this one came late."""
        lane = walk.call.incarnation, walk.call.lane
        if earlier := self._walks.get(lane):
            if walk.call.seq < earlier.call.seq:
                raise walk.call.superseded()
            # Its caller has given it up, if not told us. Without this it might claim for nobody.
            earlier.overtaken = True
            if scope := self._waits.get(earlier):
                scope.cancel()
        self._walks[lane] = walk
        try:
            yield
        finally:
            if self._walks.get(lane) is walk:
                del self._walks[lane]

    async def _pop(self, asking: _Asking, names: list[str], wish: Wish, until: float) -> Popped:
        woken: str | None = None
        while not self._draining:
            tasks = await self._ask(asking, names, wish, woken)
            woken = None
            left = until - time.monotonic()
            if tasks or asking.ended or left <= 0:
                return Popped(tasks, self._draining)
            if not self._draining:
                woken = await self._wait(asking, names, left)
        if woken is not None:
            self._doorbell.pass_on(woken)
        return Popped([], drain=True)

    async def _wait(self, asking: _Asking, names: list[str], left: float) -> str | None:
        with CancelScope(deadline=anyio.current_time() + left) as scope:
            self._waits[asking] = scope
            try:
                return await self._doorbell.wait(names)
            finally:
                del self._waits[asking]
        return None

    async def _ask(
        self, asking: _Asking, names: list[str], wish: Wish, woken: str | None
    ) -> list[Leased]:
        """Ask each queue once, or as far as the one that rang."""
        heard = False
        left = len(names)
        try:
            while left and not (heard or asking.ended or self._draining):
                left -= 1
                worker = wish.worker or ""
                with self._guests.asking(worker) as suspects:
                    queue, reply = await asking.ask(woken, suspects=suspects)
                    self._guests.took(worker, reply.suspect, reply.lease_ms)
                self._doorbell.learn(queue, reply)
                heard = queue == woken
                if tasks := self._read(queue, reply):
                    return tasks
                if reply.claims:
                    heard, left = False, left + 1  # none of them was readable: the next, then
        finally:
            if woken is not None and not heard:
                self._doorbell.pass_on(woken)
        return []

    def _read(self, queue: str, reply: Exchanged) -> list[Leased]:
        """Return what can be given to a worker; what cannot be read fails.

        It must not wait: a caller that is cancelled would lose the others.
        """
        tasks: list[Leased] = []
        unread: list[Settle] = []
        for claim in reply.claims:
            try:
                tasks.append(_leased(claim, queue, reply.lease_ms))
            except EnvelopeInvalid as error:
                fault = Fault("EnvelopeInvalid", str(error))
                settlement = decide_unknowing(Failed(fault, retryable=False), jitter=0)
                unread.append(to_send(claim.id, claim.token, settlement))
        self._claims.settle_apart(queue, unread)
        return tasks


def _leased(claim: Claim, queue: str, lease_ms: int) -> Leased:
    envelope = decode_envelope(claim.body)
    return Leased(
        id=claim.id,
        queue=queue,
        token=claim.token,
        payload=envelope.payload,
        correlation_id=envelope.correlation_id,
        trace=envelope.trace,
        attempt=claim.attempt,
        crashes=claim.crashes,
        arrived_ms=claim.arrived_ms,
        due_ms=claim.due_ms,
        waited_ms=claim.waited_ms,
        lease_ms=lease_ms,
    )


def _check_queues(queues: Sequence[str]) -> list[str]:
    names = sorted({check_name(queue, what="queue name") for queue in queues})
    if not 1 <= len(names) <= MOST_QUEUES:
        raise ConfigInvalid(f"a pop names 1 to {MOST_QUEUES} queues, not {len(names)}")
    return names


def _check_worker(worker: str) -> str:
    return check_name(worker, what="worker")


def _check_most(most: int) -> int:
    if check_count(most, name="most") > MOST_A_CALL:
        raise ConfigInvalid(f"most={most} is too many: up to {MOST_A_CALL} tasks a call")
    return most


def _check_lease(lease_ms: int | None) -> int | None:
    if lease_ms is not None and not SHORTEST_LEASE_MS <= lease_ms <= DAY_MS:
        raise ConfigInvalid(f"a lease of {lease_ms} ms: it has 3 s to a day")
    return lease_ms
