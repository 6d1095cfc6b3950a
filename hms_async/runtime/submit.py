"""Coalescing: `enqueue` calls made in one turn of the event loop leave as one script call."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

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
from hms_async.runtime.order import Order, Orders
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
    """One caller's orders. They are sent in order, so what is known is known of the first ones.

    Attributes:
        future: Where the caller waits; cancelled when the caller was.
        deadline: Until when, on the monotonic clock; nothing of it is sent afterwards.
        orders: What to send.
        results: What became of the first of them.
        under_way: How many have been sent and are answered or may still be.
        maybe_sent: How many the server may have without our having heard of it.
        error: What the last send met.
    """

    future: "asyncio.Future[Sequence[Result]]"
    deadline: float
    orders: Sequence[Order]
    results: list[Result] | tuple[()] = ()  # most calls are answered at once
    under_way: int = 0
    maybe_sent: int = 0
    error: StoreUnavailable | None = None

    def came_back(self, error: HMSError, *, behind: bool = False) -> None:
        """Note that no answer will come, and whether they may have arrived all the same.

        Args:
            error: What was met.
            behind: Whether it was met by what was sent ahead of them: it says nothing of them then.
        """
        maybe = behind
        if isinstance(error, StoreUnavailable):
            self.error = error
            maybe = maybe or is_ambiguous(error)
        if maybe:
            self.maybe_sent = max(self.maybe_sent, self.under_way)
        self.under_way = 0

    @property
    def sent(self) -> int:
        """How many need not be sent any more, as far as is known."""
        return max(len(self.results), self.under_way)

    def answer(self, results: list[Result]) -> None:
        """Note what became of the next ones, unless the caller was let go meanwhile."""
        if len(self.results) == len(self.orders):
            return
        if self.results:
            self.results += results
        else:
            self.results = results
        if len(self.results) == len(self.orders) and not self.future.done():
            self.future.set_result(self.results)

    def give_up(self) -> None:
        """Answer what can be said without waiting any longer."""
        error = self.error or StoreUnavailable("the server has not answered")
        known = len(self.results)
        sent = max(self.sent, self.maybe_sent)
        unknown = [_unknown(order, error) for order in self.orders[known:sent]]
        self.answer([*unknown, *[error] * (len(self.orders) - sent)])


class _Span(NamedTuple):
    """The next orders of a call, as many as go out together, and where in it they begin."""

    call: _Call
    start: int
    orders: Sequence[Order]


class Submitter:
    """Sends orders, many at a time, and repeats what got no answer (R7).

    Args:
        store: Where they go.
        durable: How many replicas are to have a task before its caller hears of it.
    """

    def __init__(self, store: Store, *, durable: int = 0) -> None:
        self._store = store
        self._durable = durable
        self._waiting = defaultdict[str, deque[_Call]](deque)
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

    def submit(self, queue: str, orders: Sequence[Order]) -> "asyncio.Future[Sequence[Result]]":
        """Send orders; the future has what became of each, in order.

        A caller that is cancelled stops waiting; its orders go out all the same.
        """
        if self._closed:
            raise ClientClosed("the client is closed: nothing was sent")
        future: asyncio.Future[Sequence[Result]] = asyncio.get_running_loop().create_future()
        call = _Call(future, time.monotonic() + ENQUEUE_TIMEOUT_S, orders)
        self._waiting[queue].append(call)
        self._forget_answered()
        self._calls.append(call)
        self._called.set()
        self._wanted.set()
        return future

    async def submit_many(self, queue: str, orders: Orders) -> list[Result]:
        """Send any number of orders and wait for what became of each, in order.

        They are sent in parts, each with the whole time for itself: a million tasks take half a
        minute. When a part gets no answer in time, those behind it are not sent.
        """
        results: list[Result] = []
        for part in orders.apart(_ITEMS_A_TIMEOUT):
            results += await self.submit(queue, part)
            if isinstance(results[-1], EnqueueUnknown | StoreUnavailable):
                unsent = StoreUnavailable("not sent, as the server did not answer those before")
                return results + [unsent] * (len(orders) - len(results))
        return results

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
                for queue, calls in list(self._waiting.items()):
                    alone = len(self._waiting) == 1 and not self._durable
                    if alone and _fill_a_part(calls):
                        await self._send_in_turn(queue, calls)
                    else:
                        await self._send(queue, _take(calls))
                    if not calls:
                        del self._waiting[queue]

    async def _send_in_turn(self, queue: str, calls: deque[_Call]) -> None:
        """Send what waits for a queue part by part, each before the one ahead of it is answered.

        So the server works on one while the next one is made. It ends when a part would not be
        full, or another queue has something.
        """
        under_way = deque([_take(calls)])
        # Before a connection is made: its callers may be let go meanwhile.
        first_part = _leave(under_way[-1])

        def parts() -> Iterator[list[Order]]:
            yield first_part
            while _fill_a_part(calls) and len(self._waiting) == 1:
                under_way.append(_take(calls))
                yield _leave(under_way[-1])

        def take(answers: list[Refused | None]) -> None:
            self._answered(queue, under_way.popleft(), answers, 0)

        try:
            await self._store.enqueue_in_turn(queue, parts(), take)
        except HMSError as error:
            # The last first, as it is noted with a call how far it had come.
            first, *behind = under_way
            for span in chain(*behind):
                span.call.came_back(error, behind=True)
            for span in first:
                span.call.came_back(error)
            while under_way:
                await self._send(queue, under_way.popleft())

    async def _send(self, queue: str, spans: list[_Span]) -> None:
        backoff = Backoff()
        while spans := [span for span in spans if time.monotonic() < span.call.deadline]:
            try:
                answers, replicas = await self._ask(queue, _leave(spans))
            except HMSError as error:
                for span in spans:
                    span.call.came_back(error)
                if not isinstance(error, StoreUnavailable):
                    await self._refused(queue, spans, error)
                    return
            else:
                self._answered(queue, spans, answers, replicas)
                return
            await backoff.wait()

    def _answered(
        self,
        queue: str,
        spans: list[_Span],
        answers: list[Refused | None],
        replicas: int | StoreError,
    ) -> None:
        rest = iter(answers)
        for call, _, orders in spans:
            answered = zip(orders, rest, strict=False)
            call.answer(self._results(queue, call, answered, replicas))

    async def _ask(
        self, queue: str, orders: list[Order]
    ) -> tuple[list[Refused | None], int | StoreError]:
        if not self._durable:
            return await self._store.enqueue(queue, orders), 0
        return await self._store.enqueue_durably(
            queue, orders, replicas=self._durable, timeout_ms=int(DURABLE_TIMEOUT_S * 1_000)
        )

    def _results(
        self,
        queue: str,
        call: _Call,
        answered: Iterable[tuple[Order, Refused | None]],
        replicas: int | StoreError,
    ) -> list[Result]:
        resent = call.maybe_sent > len(call.results)
        results = [
            Enqueued(order.id, created=True)
            if refused is None
            else _refusal(queue, order, refused, resent=resent)
            for order, refused in answered
        ]
        if not self._durable:
            return results
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

    async def _refused(self, queue: str, spans: list[_Span], error: HMSError) -> None:
        """Answer all of a call that was refused whole, after a closer look at a broken one."""
        if isinstance(error, StoreProtocol) and sum(len(span.orders) for span in spans) > 1:
            for call, start, orders in spans:
                for index, order in enumerate(orders, start):
                    await self._send(queue, [_Span(call, index, [order])])
            return
        for span in spans:
            span.call.answer([error] * len(span.orders))


def _unknown(order: Order, error: StoreUnavailable) -> EnqueueUnknown:
    unknown = EnqueueUnknown(order.id)
    unknown.__cause__ = error
    return unknown


def _refusal(queue: str, order: Order, refused: Refused, *, resent: bool) -> Result:
    match refused.word:
        case "exists":
            # Our own id, sent before without an answer: it was created then.
            ours = resent and order.own_id and refused.id == order.id
            return Enqueued(refused.id, created=ours)
        case "id_in_use":
            return IdInUse(order.id, refused.detail)
        case "full":
            return QueueFull(queue, int(refused.detail))
        case "too_large":
            return PayloadTooLarge(
                f'queue "{queue}" takes at most {refused.detail} bytes of JSON: keep the '
                "data elsewhere and send where it is, or raise max_payload_bytes"
            )
        case word:
            return StoreProtocol(f"enqueue answered {word!r}")


def _fill_a_part(calls: deque[_Call]) -> bool:
    """Tell whether what waits is as much as a call carries, or the rest of something larger."""
    if not calls:
        return False
    return max(len(calls), len(calls[0].orders)) >= _ITEMS_A_CALL or calls[0].sent > 0


def _leave(spans: list[_Span]) -> list[Order]:
    """Note that they are on their way, and return all that is in them."""
    for call, start, orders in spans:
        call.under_way = start + len(orders)
    return [order for span in spans for order in span.orders]


def _take(calls: deque[_Call]) -> list[_Span]:
    """Take the next orders, by number and size so that no call keeps the server busy for long."""
    spans: list[_Span] = []
    number, size = 0, 0
    now = time.monotonic()
    while calls and number < _ITEMS_A_CALL:
        call, start = calls[0], calls[0].sent
        if now < call.deadline:
            orders = call.orders[start : start + _ITEMS_A_CALL - number]
            for index, order in enumerate(orders):
                size += len(order.body)
                if size > _BYTES_A_CALL and (number or index):
                    return [*spans, _Span(call, start, orders[:index])] if index else spans
            spans.append(_Span(call, start, orders))
            number += len(orders)
            if start + len(orders) < len(call.orders):
                break
        calls.popleft()
    return spans
