"""The floor under hms_async: its scripts called in a loop, with no handlers, slots or leases."""

import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

from benchmarks.subjects.common import NOTE, QUEUE, Promise, Subject, Work, run

_ITEMS_A_CALL = 250  # as the client sends them


class Floor(Subject):
    """One connection that enqueues, or one that claims and settles as many as fit in one call."""

    requirements: ClassVar = ("hms-async",)
    variants: ClassVar = {"floor": Promise("late", "24 h, the last 10,000")}
    at_once: ClassVar = None
    bulk: ClassVar = "the enqueue script, 250 tasks a call"
    settings: ClassVar = "the bare scripts of hms"
    cannot: ClassVar = dict.fromkeys(
        (
            "io-10",
            "io-50",
            "enqueue-group",
            "latency",
            "open-500",
            "open-5000",
            "due-5000",
            "processes",
        ),
        "",
    )

    @asynccontextmanager
    async def producing(self) -> AsyncGenerator[None]:
        from hms_async import AsyncOMSClient  # noqa: PLC0415
        from hms_async.storage.store import Store  # noqa: PLC0415

        async with AsyncOMSClient(self.url) as client:
            await client.create_queue(QUEUE, sla="2h")
        async with Store(self.url) as self._store:
            yield

    async def enqueue(self, sent: float, due: float | None = None) -> None:
        del due
        await self.enqueue_many([sent])

    async def enqueue_many(self, sents: Sequence[float]) -> None:
        from hms_async.storage.replies import Enqueue  # noqa: PLC0415

        for first in range(0, len(sents), _ITEMS_A_CALL):
            items: list[Enqueue] = []
            for sent in sents[first : first + _ITEMS_A_CALL]:
                name = uuid.uuid4().hex
                payload = f'{{"sent":{sent},"note":"{NOTE}"}}'
                body = f'{{"v":1,"id":"{name}","queue":"{QUEUE}","payload":{payload}}}'
                items.append(Enqueue(name, body.encode()))
            await self._store.enqueue(QUEUE, items)

    def work(self, handle: Work, concurrency: int) -> None:
        run(self._drain(handle, concurrency))

    async def _drain(self, handle: Work, concurrency: int) -> None:
        """Claim and settle until nothing is left."""
        from hms_async.storage.replies import Settle  # noqa: PLC0415
        from hms_async.storage.store import Store  # noqa: PLC0415

        settles: list[Settle] = []
        seq = 0
        async with Store(self.url) as store:
            while True:
                seq += 1
                reply = await store.exchange(
                    QUEUE,
                    worker="floor",
                    incarnation=uuid.UUID(int=1).hex,
                    lane=0,
                    seq=seq,
                    settles=settles,
                    want=concurrency,
                )
                claims = reply.claims if reply else []
                for _ in claims:
                    await handle(0.0)
                if not claims and not settles:
                    return
                settles = [Settle(claim.id, claim.token, "done", "", b"null") for claim in claims]


SUBJECT = Floor
