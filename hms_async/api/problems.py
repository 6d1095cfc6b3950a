"""How a request fails: problem details (RFC 9457), with the stable codes of `errors.py`."""

import re
import traceback
from http import HTTPStatus
from math import ceil
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hms_async import errors
from hms_async.domain.redaction import Redactor
from hms_async.telemetry.logs import get_logger

log = get_logger("hms_async.api")

MEDIA_TYPE: Final = "application/problem+json"
_AGAIN_S: Final = 1
"""After how many seconds a caller may try again, where nothing better is known."""

_STATUS: Final[tuple[tuple[type[errors.HMSError], int], ...]] = (
    (errors.RequestTooLarge, 413),
    (errors.RequestInvalid, 400),
    (errors.Unauthenticated, 401),
    (errors.Forbidden, 403),
    (errors.FormStale, 403),
    (errors.QueueNotFound, 404),
    (errors.TaskNotFound, 404),
    (errors.IncidentNotFound, 404),
    (errors.MessageNotFound, 404),
    (errors.CaseNotFound, 404),
    (errors.OperationNotFound, 404),
    (errors.IdInUse, 409),
    (errors.AlreadySettled, 409),
    (errors.LeaseLost, 409),
    (errors.WrongState, 409),
    (errors.QueueNotEmpty, 409),
    (errors.QueueClosing, 409),
    (errors.OperationEnded, 409),
    (errors.TooManyOperations, 429),
    (errors.CallSuperseded, 409),
    (errors.PayloadTooLarge, 413),
    (errors.ConfigInvalid, 422),
    (errors.PayloadInvalid, 422),
    (errors.ResultInvalid, 422),
    (errors.QueueFull, 429),
    (errors.RateLimited, 429),
    (errors.EnqueueUnknown, 503),
    (errors.TooFewReplicas, 503),
    (errors.StoreUnavailable, 503),
    (errors.StoreFull, 503),
    (errors.StoreRefused, 503),
    (errors.ClientClosed, 503),
)
_redactor: Final = Redactor()
_AT: Final = re.compile(r" - at `(?P<path>.*)`$")


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with one part of a request."""

    path: str
    message: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was refused; `code` is stable across releases."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[Fault] = []
    queue: str | None = None
    task_id: str | None = None
    state: str | None = None


def problem_of(error: errors.HMSError) -> Problem:
    """Return what a caller is told of an error."""
    return msgspec.structs.replace(
        plain(status_of(error), _words_of(error), code=error.code),
        errors=_faults_of(error),
        queue=getattr(error, "queue", None),
        task_id=getattr(error, "task_id", None),
        state=getattr(error, "state", None),
    )


def _words_of(error: errors.HMSError) -> str:
    # A store's own words may hold its address, with a password.
    return _redactor.redact_text(str(error)) if isinstance(error, errors.StoreError) else str(error)


def status_of(error: errors.HMSError) -> int:
    """Return the HTTP status of an error; 500 for what should not happen."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def _faults_of(error: errors.HMSError) -> list[Fault]:
    match error:
        case errors.RequestInvalid(path=str(path)):
            return [Fault(path, error.message)]
        case errors.PayloadInvalid():
            return [Fault(error.path, str(error))]
        case _:
            return []


def answer(problem: Problem, *, after_s: float | None = None) -> Response:
    """Return a problem as a response."""
    headers: dict[str, str] = {}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="hms"'
    if problem.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["Retry-After"] = str(max(ceil(after_s or 0), _AGAIN_S))
    return Response(msgspec.json.encode(problem), problem.status, headers, MEDIA_TYPE)


def plain(status: int, detail: str, *, code: str = errors.HMSError.code) -> Problem:
    """Return a problem that is none of our errors: an unknown path, a wrong method."""
    return Problem(
        type=f"urn:hms:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
    )


def from_error(error: errors.HMSError) -> Response:
    """Return the response to an error of ours."""
    problem = problem_of(error)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("api.failed", code=error.code, status=problem.status, error=str(error))
    return answer(problem, after_s=getattr(error, "after_s", None))


def from_bug(request: Request, error: Exception) -> Response:
    """Return the response to an error that nobody foresaw: it is told to the log alone."""
    # As a text: a renderer of the application's might show the variables of its frames.
    trace = "".join(traceback.format_exception(error))
    log.error("api.bug", method=request.method, path=request.url.path, exc=trace, error=repr(error))
    return answer(plain(500, "the server failed; its log says why"))


def invalid_body(error: msgspec.DecodeError) -> errors.RequestInvalid:
    """Return what is wrong with a body, and where."""
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return errors.RequestInvalid(f"the body is not JSON: {text}")
    found = _AT.search(text)
    return errors.RequestInvalid(
        text[: found.start()] if found else text, path=found["path"] if found else "$"
    )


def invalid_parameters(faults: list[dict[str, Any]]) -> Problem:
    """Return what is wrong with the path or the query of a request."""
    found = [
        Fault(".".join(str(part) for part in fault["loc"]), str(fault["msg"])) for fault in faults
    ]
    first = found[0] if found else Fault("query", "not valid")
    problem = plain(400, f"{first.path}: {first.message}", code=errors.RequestInvalid.code)
    return msgspec.structs.replace(problem, errors=found)
