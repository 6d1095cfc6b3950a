"""Workers in any language: tasks out under a lease, outcomes back in, heartbeats."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from hms_async.api import answers, bodies, problems
from hms_async.api.contract import answer, gives, read, read_one_or_many, takes
from hms_async.api.visit import Visit, Working
from hms_async.api.waiting import wait_ms
from hms_async.domain.duration import to_ms
from hms_async.domain.outcome import Fault, Word
from hms_async.domain.trace import read_trace
from hms_async.errors import HMSError, LeaseLost, RequestInvalid, TaskNotFound
from hms_async.runtime.calls import Call
from hms_async.runtime.verdicts import RemoteOutcome, RemoteSettled

if TYPE_CHECKING:
    from hms_async.runtime.remote import Leased

router = APIRouter(prefix="/oms", tags=["workers"])

L = TypeVar("L", bound=bodies.Leased)

_SETTLED = gives(
    answers.Settled,
    answers.SettledMany,
    others={207: [answers.SettledMany]},
    refuses=[404, 409],
    body=True,
)
"""What each way of settling answers."""


@router.post(
    "/pop",
    summary="Take tasks under a lease",
    openapi_extra=takes(bodies.Pop),
    responses=gives(answers.Popped, refuses=[404, 409], body=True),
)
async def pop(request: Request, visit: Working) -> Response:
    """Take up to `max` tasks from one queue of those named, waiting for the first if need be.

    Each is the caller's until its lease ends: settle it with its `token`, and renew the lease with
    `POST /oms/heartbeat` meanwhile. No task in time gives an empty list. A `traceparent` is
    the trace that a task belongs to: send it along with what you ask of others.
    """
    body = await read(request, bodies.Pop)
    queues = _queues(body)
    for queue in queues:
        visit.queue(queue)
    tasks: list[Leased] = []
    async with visit.while_there(stopping=False):
        popped = await visit.house.workers.pop(
            queues,
            worker=body.worker or visit.caller.name.replace(":", "-"),
            most=body.max,
            wait_s=wait_ms(body.wait, name="wait") / 1_000,
            lease_ms=None if body.lease is None else to_ms(body.lease, name="lease"),
            call=_call(body),
        )
        tasks = popped.tasks
    if visit.gone and body.seq is None and tasks:
        # Nobody reads the answer: others may have the tasks. A call that has a number is repeated.
        back = [RemoteOutcome(id=one.id, token=one.token, word="release") for one in tasks]
        await visit.house.workers.settle(back)
    return answer(
        answers.Popped(
            tasks=[answers.LeasedTask.of(one) for one in tasks], drain=visit.stopping.is_set()
        )
    )


def _queues(body: bodies.Pop) -> list[str]:
    if (body.queue is None) == (body.queues is None):
        raise RequestInvalid("name either a queue or several queues", path="$.queue")
    return list(dict.fromkeys(body.queues or [body.queue or ""]))


def _call(body: bodies.Pop) -> Call | None:
    given = (body.incarnation, body.lane, body.seq)
    if given == (None, None, None):
        return None
    if body.incarnation is None or body.lane is None or body.seq is None:
        raise RequestInvalid("incarnation, lane and seq belong together: give all or none")
    return Call(body.incarnation, body.lane, body.seq)


@router.post(
    "/complete",
    summary="Say that tasks are done",
    openapi_extra=takes(bodies.Completed, bodies.Many[bodies.Completed]),
    responses=_SETTLED,
)
async def complete(request: Request, visit: Working) -> Response:
    """Settle attempts whose tasks are done; saying it again is harmless."""
    told = read_trace(request.headers)

    def outcome(body: bodies.Completed) -> RemoteOutcome:
        return RemoteOutcome(
            id=body.id,
            token=body.token,
            word="done",
            result=body.result,
            handoff=body.handoff,
            traceparent=body.span(told),
        )

    return await _settle(request, visit, bodies.Completed, outcome)


@router.post(
    "/fail",
    summary="Say that attempts failed",
    openapi_extra=takes(bodies.Failed, bodies.Many[bodies.Failed]),
    responses=_SETTLED,
)
async def fail(request: Request, visit: Working) -> Response:
    """Settle attempts that failed: for good, or to be retried as the queue says."""
    told = read_trace(request.headers)

    def outcome(body: bodies.Failed) -> RemoteOutcome:
        fault = Fault(body.type, body.reason, body.traceback)
        word: Word = "error" if body.retryable else "fail"
        return RemoteOutcome(
            id=body.id, token=body.token, word=word, fault=fault, traceparent=body.span(told)
        )

    return await _settle(request, visit, bodies.Failed, outcome)


@router.post(
    "/retry",
    summary="Ask for another attempt",
    openapi_extra=takes(bodies.RetryAsked, bodies.Many[bodies.RetryAsked]),
    responses=_SETTLED,
)
async def retry(request: Request, visit: Working) -> Response:
    """Settle attempts that are to be made again: after a delay, or when the queue says."""
    told = read_trace(request.headers)

    def outcome(body: bodies.RetryAsked) -> RemoteOutcome:
        return RemoteOutcome(
            id=body.id,
            token=body.token,
            word="error" if body.delay is None else "retry",
            fault=Fault("RetryAsked", body.reason),
            delay_ms=None if body.delay is None else to_ms(body.delay, name="delay"),
            traceparent=body.span(told),
        )

    return await _settle(request, visit, bodies.RetryAsked, outcome)


@router.post(
    "/release",
    summary="Hand tasks back",
    openapi_extra=takes(bodies.Leased, bodies.Many[bodies.Leased]),
    responses=_SETTLED,
)
async def release(request: Request, visit: Working) -> Response:
    """Hand back tasks that were not finished; the attempt is not counted, and they go first."""

    def outcome(body: bodies.Leased) -> RemoteOutcome:
        return RemoteOutcome(id=body.id, token=body.token, word="release")

    return await _settle(request, visit, bodies.Leased, outcome)


async def _settle(
    request: Request, visit: Visit, kind: type[L], outcome: Callable[[L], RemoteOutcome]
) -> Response:
    given, many = await read_one_or_many(request, kind)
    outcomes = [outcome(one) for one in given]
    told = await visit.house.workers.settle(outcomes, may=visit.sees)
    if not many:
        if (error := _error_of(told[0])) is not None:
            raise error
        return answer(_settled(told[0]))
    results = [_settled(one) for one in told]
    refused = any(one.error is not None for one in results)
    return answer(answers.SettledMany(results=results), 207 if refused else 200)


def _error_of(one: RemoteSettled) -> HMSError | None:
    match one.answer:
        case "gone":
            return TaskNotFound(one.id)
        case "stale":
            return LeaseLost(one.id)
        case _:
            return one.error


def _settled(one: RemoteSettled) -> answers.Settled:
    error = _error_of(one)
    return answers.Settled(
        id=one.id,
        state=one.state,
        already=one.answer == "already",
        error=None if error is None else problems.problem_of(error),
    )


@router.post(
    "/heartbeat",
    summary="Renew leases",
    openapi_extra=takes(bodies.Beat, bodies.Many[bodies.Beat]),
    responses=gives(answers.BeatAnswer, answers.Beats, body=True),
)
async def heartbeat(request: Request, visit: Working) -> Response:
    """Renew leases, and learn of each task whether to go on with it.

    `continue`; `cancel`: somebody wants it cancelled, stop and settle it in any way; `drain`: go on
    with it, and take no more here; `lost`: somebody else has it, or it has ended.
    """
    given, many = await read_one_or_many(request, bodies.Beat)
    words = await visit.house.workers.heartbeat(
        [(one.id, one.token) for one in given],
        worker=next((one.worker for one in given if one.worker), None),
        may=visit.sees,
    )
    beats = [
        answers.BeatAnswer(id=one.id, answer=word) for one, word in zip(given, words, strict=True)
    ]
    return answer(answers.Beats(results=beats) if many else beats[0])
