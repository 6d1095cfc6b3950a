"""Coalescing: `enqueue` calls made in one turn of the event loop leave as one script call."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence

import anyio
import msgspec

from hms_async.domain.task import Enqueued
from hms_async.errors import (
    ClientClosed,
    EnqueueUnknown,
    HMSError,
    IdInUse,
    PayloadTooLarge,
    QueueFull,
    StoreError,
    StoreProtocol,
    StoreUnavailable,
    TooFewReplicas,
)
from hms_async.runtime.exchange import Backoff
from hms_async.runtime.order import Order
from hms_async.storage.connect import is_ambiguous
from hms_async.storage.replies import Refused
from hms_async.storage.store import Store

ENQUEUE_TIMEOUT_S = 10.0
DURABLE_TIMEOUT_S = 3.0  # less than a command's time-out, or that would come first
_ITEMS_A_CALL = 250
_ITEMS_A_TIMEOUT = 10_000
_BYTES_A_CALL = 4 * 1_048_576

Result = Enqueued | HMSError


class _Call(msgspec.Struct):
    """One caller's orders. A caller that was cancelled leaves a cancelled future behind.

    Attributes:
        future: Where the caller waits.
        deadline: Until when, on the monotonic clock; nothing of it is sent afterwards.
        waiting: Its orders, each on its way.
        results: What is known of them.
        missing: Of how many nothing is.
    """

    future: "asyncio.Future[list[Result]]"
    deadline: float
    waiting: list["_Waiting"]
    results: list[Result | None]
    missing: int

    def give_up(self) -> None:
        """Answer what can be said without waiting any longer."""
        for waiting in self.waiting:
            waiting.give_up()


class _Waiting(msgspec.Struct):
    """One order on its way.

    Attributes:
        order: What to send.
        call: Whose it is, and where in it.
        under_way: Whether a send of it has not been answered yet.
        maybe_sent: Whether one never was, so that the server may have it.
        error: What the last send met.
    """

    order: Order
    call: _Call
    index: int
    under_way: bool = False
    maybe_sent: bool = False
    error: StoreUnavailable | None = None

    def came_back(self, error: StoreUnavailable | None = None) -> None:
        self.under_way = False
        if error is not None:
            self.error = error
            self.maybe_sent = self.maybe_sent or is_ambiguous(error)

    def answer(self, result: Result) -> None:
        self.call.results[self.index] = result
        self.call.missing -= 1
        if not self.call.missing and not self.call.future.done():
            self.call.future.set_result([r for r in self.call.results if r is not None])

    def give_up(self) -> None:
        if self.call.results[self.index] is not None:
            return
        error = self.error or StoreUnavailable("the server has not answered")
        if self.maybe_sent or self.under_way:
            unknown = EnqueueUnknown(self.order.item.id)
            unknown.__cause__ = error
            self.answer(unknown)
        else:
            self.answer(error)


class Submitter:
    """Sends orders, many at a time, and repeats what got no answer (R7).

    Args:
        store: Where they go.
        durable: How many replicas are to have a task before its caller hears of it.
    """

    def __init__(self, store: Store, *, durable: int = 0) -> None:
        self._store = store
        self._durable = durable
        self._waiting: dict[str, list[_Waiting]] = {}
        self._wanted = asyncio.Event()
        self._closed = False
        self._calls: deque[_Call] = deque()  # all have the same time, so the first ends first
        self._called = asyncio.Event()

    def close(self) -> None:
        """Let callers go that still wait; only the server knows what became of their tasks."""
        self._closed = True
        for call in self._calls:
            if not call.future.done():
                call.future.set_exception(
                    ClientClosed(
                        "the client was closed before the server answered, so the tasks may be "
                        "accepted or not"
                    )
                )

    async def submit(self, orders: Sequence[Order]) -> list[Result]:
        """Send orders and wait for what became of each, in order.

        A caller that is cancelled stops waiting; its orders go out all the same. A large number is
        sent in parts, each with the whole time for itself: a million tasks take half a minute.
        When a part gets no answer in time, those behind it are not sent.
        """
        self._check_open()
        results: list[Result] = []
        for start in range(0, len(orders), _ITEMS_A_TIMEOUT):
            results += await self._submit(orders[start : start + _ITEMS_A_TIMEOUT])
            if isinstance(results[-1], EnqueueUnknown | StoreUnavailable):
                unsent = StoreUnavailable("not sent, as the server did not answer those before")
                return results + [unsent] * (len(orders) - len(results))
        return results

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosed("the client is closed: nothing was sent")

    async def _submit(self, orders: Sequence[Order]) -> list[Result]:
        self._check_open()
        call = _Call(
            asyncio.get_running_loop().create_future(),
            time.monotonic() + ENQUEUE_TIMEOUT_S,
            [],
            [None] * len(orders),
            len(orders),
        )
        call.waiting += [_Waiting(order, call, index) for index, order in enumerate(orders)]
        for waiting in call.waiting:
            self._waiting.setdefault(waiting.order.queue, []).append(waiting)
        self._forget_answered()
        self._calls.append(call)
        self._called.set()
        self._wanted.set()
        return await call.future

    def _forget_answered(self) -> None:
        while self._calls and self._calls[0].future.done():
            self._calls.popleft()

    async def watch_time(self) -> None:
        """Let callers go whose time is over, whatever send is under way then, until cancelled.

        The send is left to itself: it may carry orders of others.
        """
        while True:
            self._forget_answered()
            if not self._calls:
                self._called.clear()
                await self._called.wait()
            elif (left := self._calls[0].deadline - time.monotonic()) > 0:
                await anyio.sleep(left)
            else:
                self._calls.popleft().give_up()

    async def run(self) -> None:
        """Send what is submitted, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._waiting:
                by_queue, self._waiting = self._waiting, {}
                for queue, waiting in by_queue.items():
                    for chunk in _chunks(waiting):
                        await self._send(queue, chunk)

    async def _send(self, queue: str, chunk: list[_Waiting]) -> None:
        backoff = Backoff()
        while chunk := _in_time(chunk):
            for waiting in chunk:
                waiting.under_way = True
            try:
                results = await self._results(queue, chunk)
            except StoreUnavailable as error:
                for waiting in chunk:
                    waiting.came_back(error)
            except HMSError as error:
                for waiting in chunk:
                    waiting.came_back()
                await self._refused(queue, chunk, error)
                return
            else:
                for waiting, result in zip(chunk, results, strict=True):
                    waiting.answer(result)
                return
            await backoff.wait()

    async def _results(self, queue: str, chunk: list[_Waiting]) -> list[Result]:
        items = [waiting.order.item for waiting in chunk]
        replicas: int | StoreError = 0
        if self._durable:
            answers, replicas = await self._store.enqueue_durably(
                queue, items, replicas=self._durable, timeout_ms=int(DURABLE_TIMEOUT_S * 1_000)
            )
        else:
            answers = await self._store.enqueue(queue, items)
        results = [_result(*pair) for pair in zip(chunk, answers, strict=True)]
        return [self._proved(result, replicas) for result in results]

    def _proved(self, result: Result, replicas: int | StoreError) -> Result:
        """Return a result that too few replicas have as the error that it is (R21)."""
        if isinstance(result, HMSError):
            return result
        if isinstance(replicas, StoreError):
            error = TooFewReplicas(result.id, 0, self._durable)
            error.__cause__ = replicas
            return error
        if replicas < self._durable:
            return TooFewReplicas(result.id, replicas, self._durable)
        return result

    async def _refused(self, queue: str, chunk: list[_Waiting], error: HMSError) -> None:
        """Answer all of a call that was refused whole, after a closer look at a broken one."""
        if isinstance(error, StoreProtocol) and len(chunk) > 1:
            for waiting in chunk:
                await self._send(queue, [waiting])
            return
        for waiting in chunk:
            waiting.answer(error)


def _in_time(chunk: list[_Waiting]) -> list[_Waiting]:
    """Return those whose caller still waits, or would if it had not been cancelled."""
    now = time.monotonic()
    return [waiting for waiting in chunk if now < waiting.call.deadline]


def _result(waiting: _Waiting, refused: Refused | None) -> Result:
    order = waiting.order
    task_id = order.item.id
    if refused is None:
        return Enqueued(task_id, created=True)
    match refused.word:
        case "exists":
            # Our own id, sent before without an answer: it was created then.
            ours = waiting.maybe_sent and order.own_id and refused.id == task_id
            return Enqueued(refused.id, created=ours)
        case "id_in_use":
            return IdInUse(task_id, refused.detail)
        case "full":
            return QueueFull(order.queue, int(refused.detail))
        case "too_large":
            return PayloadTooLarge(
                f'queue "{order.queue}" takes at most {refused.detail} bytes of JSON: keep the '
                "data elsewhere and send where it is, or raise max_payload_bytes"
            )
        case word:
            return StoreProtocol(f"enqueue answered {word!r}")


def _chunks(waiting: list[_Waiting]) -> list[list[_Waiting]]:
    """Split by number and by size, so that no call keeps the server busy for long."""
    chunks: list[list[_Waiting]] = []
    size = _BYTES_A_CALL
    for one in waiting:
        length = len(one.order.item.body)
        if not chunks or size + length > _BYTES_A_CALL or len(chunks[-1]) >= _ITEMS_A_CALL:
            chunks.append([])
            size = 0
        chunks[-1].append(one)
        size += length
    return chunks
