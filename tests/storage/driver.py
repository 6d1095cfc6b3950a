"""A worker process at one queue, by hand."""

from typing import Any

from hms_async.domain.queue import QueueSettings, QueueStats
from hms_async.domain.task import TaskState
from hms_async.storage import codec
from hms_async.storage.replies import Claim, Enqueue, Exchanged, Settle, Settled, Swept
from hms_async.storage.store import SWEEP_LIMIT, Store
from tests.servers import Raw

FAULT = b'{"type":"ValueError","message":"no"}'


class Driver:
    """Sends numbered exchanges and looks at what they left.

    Args:
        store: Where the queue is.
        raw: The same server, past the store.
        queue: The queue's name.
        incarnation: Stands for the process in tokens.
        lane: The number of its lane.
    """

    def __init__(
        self, store: Store, raw: Raw, *, queue: str = "q", incarnation: str = "ab", lane: int = 0
    ) -> None:
        self.store = store
        self.raw = raw
        self.queue = queue
        self.incarnation = incarnation
        self.lane = lane
        self.seq = 0

    def another(self, incarnation: str, lane: int = 0) -> "Driver":
        """Another process, or another lane, at the same queue."""
        return Driver(self.store, self.raw, queue=self.queue, incarnation=incarnation, lane=lane)

    async def create(self, **settings: Any) -> None:
        """Create the queue, or change it."""
        await self.store.configure(self.queue, QueueSettings.create(**settings))

    async def push(self, *ids: str, body: bytes | None = None, **options: Any) -> list[str]:
        """Enqueue tasks; returns `created` or the word of refusal for each."""
        encoded = codec.encode_json(options) if options else b""
        items = [
            Enqueue(task_id, body or codec.encode_envelope(task_id, self.queue, b"1"), encoded)
            for task_id in ids
        ]
        answers = await self.store.enqueue(self.queue, items)
        return ["created" if answer is None else answer.word for answer in answers]

    async def deliver(
        self,
        *settles: Settle,
        want: int = 0,
        seq: int,
        ahead: int = 0,
        lease_ms: int | None = None,
        suspects: bool = True,
    ) -> Exchanged | None:
        """Send an exchange of any number."""
        return await self.store.exchange(
            self.queue,
            worker=f"worker-{self.incarnation}",
            incarnation=self.incarnation,
            lane=self.lane,
            seq=seq,
            settles=settles,
            want=want,
            ahead=ahead,
            lease_ms=lease_ms,
            suspects=suspects,
        )

    async def exchange(
        self,
        *settles: Settle,
        want: int = 0,
        ahead: int = 0,
        lease_ms: int | None = None,
        suspects: bool = True,
    ) -> Exchanged:
        """Send the next exchange."""
        self.seq += 1
        reply = await self.deliver(
            *settles,
            want=want,
            seq=self.seq,
            ahead=ahead,
            lease_ms=lease_ms,
            suspects=suspects,
        )
        assert reply is not None
        return reply

    async def claim(self, want: int = 1) -> list[Claim]:
        """Claim up to `want` tasks."""
        return (await self.exchange(want=want)).claims

    async def claim_one(self) -> Claim:
        """Claim the one task that there must be."""
        (claim,) = await self.claim()
        return claim

    async def settle(
        self, claim: Claim, word: str, argument: str | bytes | float = "", body: bytes = b""
    ) -> Settled:
        """Settle one attempt."""
        reply = await self.exchange(Settle(claim.id, claim.token, word, argument, body))
        return reply.settled[0]

    async def sweep(self, limit: int = SWEEP_LIMIT) -> Swept:
        """A round of a supervisor that has looked all the while (R16)."""
        self.raw.watch(self.queue, (await self.stats_unbalanced()).now_ms)
        return await self.store.sweep(self.queue, limit)

    async def fail(self, *ids: str) -> None:
        """Enqueue tasks, run them, and let them fail for good."""
        await self.push(*ids)
        claims = await self.claim(len(ids))
        assert {claim.id for claim in claims} == set(ids)
        await self.exchange(*[Settle(claim.id, claim.token, "fail", "", FAULT) for claim in claims])

    async def state(self, task_id: str) -> TaskState | None:
        """What the record says."""
        task = await self.store.task(task_id)
        return None if task is None else task.state

    async def stats(self) -> QueueStats:
        """A look at the queue, whose books must balance."""
        stats = await self.stats_unbalanced()
        assert stats.balanced, stats
        return stats

    async def stats_unbalanced(self) -> QueueStats:
        """A look at the queue, whatever a foreign hand has done to it."""
        return await self.store.stats(self.queue)

    def key(self, part: str = "") -> str:
        """A key of the queue; without a part, its normal lane."""
        return self.store.keys.part(self.queue, part) if part else self.store.keys.queue(self.queue)

    def lane_of(self, part: str = "") -> list[str]:
        """The entries of the normal lane, or of `express`."""
        return self.raw.entries(self.key(part))

    def zset(self, part: str) -> dict[str, int]:
        """One of the queue's sorted sets."""
        return self.raw.scores(self.key(part))

    def run(self, task_id: str) -> dict[str, str]:
        """A task's record."""
        return self.raw.fields(self.store.keys.run(self.queue, task_id))

    def counts(self) -> dict[str, int]:
        """The queue's counters."""
        return {name: int(value) for name, value in self.raw.fields(self.key("counts")).items()}

    def events(self, kind: str = "") -> list[dict[str, str]]:
        """The queue's events, of one kind if given; one for each task of an entry."""
        return [
            event | {"id": task_id} if task_id else event
            for event in self.raw.stream(self.key("events"))
            if not kind or event["type"] == kind
            for task_id in event.get("ids", event.get("id", "")).split(" ")
        ]

    def take_token(self) -> bool:
        """Silence the bell; tells whether it had been rung."""
        return self.raw("LPOP", self.key("bell")) is not None
