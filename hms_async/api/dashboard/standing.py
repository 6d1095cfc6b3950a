"""How all queues stand, and who works: one reading a second at the most, however many look."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

import anyio
import msgspec

from hms_async.client import AsyncOMSClient
from hms_async.domain.series import Series
from hms_async.domain.worker import WorkerCard
from hms_async.runtime.board import Board, Standing
from hms_async.runtime.trends import Trend

_FRESH_S: Final = 0.9
_MOST_SERIES: Final = 200
T = TypeVar("T")


def serving(workers: Sequence[WorkerCard], queue: str) -> list[WorkerCard]:
    """Return the workers that serve a queue."""
    return [card for card in workers if queue in card.queues]


class Slots(NamedTuple):
    """What some workers can do at once.

    Attributes:
        busy: How many tasks they run.
        there: How many they can run; 0 if none has said so, as those over REST.
    """

    busy: int
    there: int

    @classmethod
    def of(cls, workers: Sequence[WorkerCard]) -> "Slots":
        """Return those of some workers together."""
        return cls(sum(one.running or 0 for one in workers), sum(one.slots or 0 for one in workers))


class Look(msgspec.Struct, frozen=True):
    """One look at everything.

    Attributes:
        queues: How each stands, the one nearest to harm first.
        trends: How long attempts waited lately, by queue; of many queues that becomes known bit by
            bit.
        workers: Those that were heard of lately.
        now_ms: The server's clock.
    """

    queues: list[Standing]
    trends: Mapping[str, Trend]
    workers: list[WorkerCard]
    now_ms: int


class _Reading(Generic[T]):
    """Something that is read anew only when the last reading is old."""

    def __init__(
        self, read: Callable[[AsyncOMSClient], Awaitable[T]], *, fresh_s: float = _FRESH_S
    ) -> None:
        self._read = read
        self._fresh_s = fresh_s
        self._reading = anyio.Lock()
        self._last: tuple[float, T] | None = None

    async def get(self, oms: AsyncOMSClient) -> T:
        async with self._reading:
            if self._last is None or time.monotonic() - self._last[0] > self._fresh_s:
                self._last = (time.monotonic(), await self._read(oms))
            return self._last[1]

    def forget(self) -> None:
        self._last = None


class Standings:
    """What pages read of all queues, kept for a moment."""

    def __init__(self) -> None:
        self._all = _Reading(self._read)
        self._workers = _Reading(AsyncOMSClient.workers)
        self._series: dict[tuple[str, str], _Reading[Series]] = {}
        self._board: Board | None = None

    async def get(self, oms: AsyncOMSClient) -> Look:
        """Return how all queues stand.

        Raises:
            StoreError: If the store cannot be asked.
        """
        return await self._all.get(oms)

    async def one(self, oms: AsyncOMSClient, queue: str) -> Standing:
        """Return how one queue stands now.

        Raises:
            QueueNotFound: If nobody created it.
            StoreError: If the store cannot be asked.
        """
        (found,) = await self._looking(oms).look([queue])
        return found

    async def workers(self, oms: AsyncOMSClient) -> list[WorkerCard]:
        """Return the workers that were heard of lately.

        Raises:
            StoreError: If the store cannot be asked.
        """
        return await self._workers.get(oms)

    async def series(self, oms: AsyncOMSClient, queue: str, since: str) -> Series:
        """Return a queue over time; it changes slowly, so it is kept for ten seconds.

        Raises:
            QueueNotFound: If nobody created it.
            StoreError: If the store cannot be asked.
        """
        reading = self._series.get((queue, since))
        if reading is None:
            while len(self._series) >= _MOST_SERIES:
                self._series.pop(next(iter(self._series)))
            reading = _Reading(lambda client: client.series(queue, since=since), fresh_s=10)
            self._series[queue, since] = reading
        return await reading.get(oms)

    def forget(self) -> None:
        """Read anew the next time: something was done."""
        self._all.forget()
        self._workers.forget()

    def _looking(self, oms: AsyncOMSClient) -> Board:
        if self._board is None:
            self._board = oms.board()
        return self._board

    async def _read(self, oms: AsyncOMSClient) -> Look:
        board = self._looking(oms)
        queues = await board.look()
        trends = await board.trends(queues)
        now_ms = max([one.stats.now_ms for one in queues], default=0)
        return Look(queues, trends, await self.workers(oms), now_ms or time.time_ns() // 1_000_000)
