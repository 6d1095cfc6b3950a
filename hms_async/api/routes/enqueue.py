"""Tasks in: one, many, or a stream of lines."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, cast

import msgspec
from fastapi import APIRouter, Header, Query
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hms_async.api import answers, bodies, contract, problems
from hms_async.api.contract import answer, gives, takes
from hms_async.api.door import UNBOUNDED, is_unbounded
from hms_async.api.visit import Enqueuing, Visit
from hms_async.domain.task import Enqueued, NewTask
from hms_async.errors import (
    AccessError,
    EnqueueManyError,
    HMSError,
    IdInUse,
    RequestInvalid,
    RequestTooLarge,
)

router = APIRouter(tags=["tasks"])

_LINES_AT_ONCE = 200
_LONGEST_LINE = 2 * 1_048_576
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", description="Two calls with one key within the window are one task"
    ),
]


@router.post(
    "/oms/enqueue",
    status_code=201,
    summary="Enqueue one task, many, or a stream of lines",
    openapi_extra=takes(bodies.Enqueue, bodies.EnqueueMany, also=[UNBOUNDED]),
    responses=gives(
        answers.Accepted,
        status=201,
        others={200: [answers.Accepted, answers.AcceptedMany], 207: [answers.AcceptedMany]},
        also=[UNBOUNDED],
        refuses=[404, 409],
        body=True,
    ),
)
async def enqueue(
    request: Request,
    visit: Enqueuing,
    key: Key = None,
    queue: Annotated[str | None, Query(description="For lines that name no queue")] = None,
) -> Response:
    """Accept tasks: when this answers, they are stored.

    One task is answered with 201, or with 200 when its id or idempotency key stood for a task
    already. Many are answered in order, with 207 where some were refused. Lines
    (`application/x-ndjson`) are answered with lines while they come. The headers `traceparent`,
    `tracestate` and `baggage` hold for all tasks that say nothing of a trace themselves.
    """
    if is_unbounded(request.headers):
        if key is not None:
            raise RequestInvalid("a stream takes a key in each line: idempotency_key")
        if queue is not None:
            visit.queue(queue)
        return _Stream(visit, queue)
    data = await request.body()
    if contract.has_many(data):
        return await _enqueue_many(visit, data, key)
    one = contract.decode(data, bodies.Enqueue)
    options = msgspec.structs.asdict(one.to_task(key, visit.trace))
    payload = options.pop("payload")
    try:
        accepted = await visit.oms.enqueue(visit.queue(one.queue), payload, **options)
    except IdInUse as error:
        raise visit.tell(error) from error
    document = answers.Accepted(accepted.id, accepted.created)
    return answer(document, 201 if accepted.created else 200)


async def _enqueue_many(visit: Visit, data: bytes, key: str | None) -> Response:
    many = contract.decode(data, bodies.EnqueueMany)
    if key is not None:
        raise RequestInvalid("many tasks take a key each: idempotency_key")
    trace = visit.trace
    tasks = [one.to_task(trace=trace) for one in many.tasks]
    results = await _accept(visit, many.queue, tasks)
    refused = sum(one.error is not None for one in results)
    told = answers.AcceptedMany(accepted=len(results) - refused, refused=refused, results=results)
    return answer(told, 207 if refused else 200)


async def _accept(visit: Visit, queue: str, tasks: list[NewTask]) -> list[answers.Entered]:
    """Enqueue tasks of one queue; each is accepted or refused by itself."""
    results: list[object]
    try:
        results = list(await visit.oms.enqueue_many(visit.queue(queue), tasks))
    except EnqueueManyError as error:
        results = error.results
    return [
        answers.Entered(id=one.id, created=one.created)
        if isinstance(one, Enqueued)
        else answers.Entered(error=problems.problem_of(visit.tell(cast("HMSError", one))))
        for one in results
    ]


class _Stream(Response):
    """Lines in, lines out: each answer says of which line it is.

    A response of its own, as Starlette's reads the request for a disconnect while it streams, and
    the lines with it.
    """

    def __init__(self, visit: Visit, queue: str | None) -> None:
        super().__init__(media_type=UNBOUNDED)
        del self.headers["content-length"]
        self._visit = visit
        self._queue = queue
        self._number = 0
        self._batch: list[tuple[int, NewTask]] = []
        self._batch_queue = ""
        self._trace = visit.trace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answers, as they come."""
        del scope, receive  # the visit has both
        with suppress(ClientDisconnect):  # what it has sent in whole lines is taken
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for told in self._answers():
                await send({"type": "http.response.body", "body": told, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def _answers(self) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in self._visit.request.stream():
            try:
                await self._visit.check()
            except AccessError as refused:
                yield self._tell(self._number + 1, refused)
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                async for told in self._take(line):
                    yield told
            if len(rest) > _LONGEST_LINE:
                error = RequestTooLarge(f"a line is over {_LONGEST_LINE} bytes")
                yield self._tell(self._number + 1, error)
                return
            # What has come is stored and answered before more is waited for.
            async for told in self._flush():
                yield told
        async for told in self._take(rest):
            yield told
        async for told in self._flush():
            yield told

    async def _take(self, line: bytes) -> AsyncIterator[bytes]:
        self._number += 1
        if not line.strip():
            return
        try:
            one = contract.decode(line, bodies.Line)
            queue = one.queue or self._queue
            if queue is None:
                raise RequestInvalid("the line names no queue, and the query neither", path="$")
            task = one.to_task(trace=self._trace)
        except HMSError as error:
            yield self._tell(self._number, error)
            return
        if queue != self._batch_queue or len(self._batch) == _LINES_AT_ONCE:
            async for told in self._flush():
                yield told
            self._batch_queue = queue
        self._batch.append((self._number, task))

    async def _flush(self) -> AsyncIterator[bytes]:
        batch, self._batch = self._batch, []
        if not batch:
            return
        try:
            results = await _accept(self._visit, self._batch_queue, [task for _, task in batch])
        except HMSError:
            # One of them cannot be sent at all, or the queue is none: ask for each by itself.
            for number, task in batch:
                yield await self._one(number, task)
            return
        for (number, _), entered in zip(batch, results, strict=True):
            yield _line(msgspec.structs.replace(entered, line=number))

    async def _one(self, number: int, task: NewTask) -> bytes:
        try:
            results = await _accept(self._visit, self._batch_queue, [task])
        except HMSError as error:
            return self._tell(number, error)
        return _line(msgspec.structs.replace(results[0], line=number))

    @staticmethod
    def _tell(number: int, error: HMSError) -> bytes:
        return _line(answers.Entered(line=number, error=problems.problem_of(error)))


def _line(document: answers.Entered) -> bytes:
    return msgspec.json.encode(document) + b"\n"
