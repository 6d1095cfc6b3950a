"""Between Python values and the bytes in Redis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, cast

import msgspec

from hms_async.domain.duration import ms_to_rfc3339
from hms_async.domain.outcome import Fault
from hms_async.domain.task import Attempt, TaskRecord, TaskState
from hms_async.errors import EnvelopeInvalid, PayloadInvalid

DEEPEST = 200
_MESSAGE_LIMIT = 2_000
_TRACEBACK_LIMIT = 8_000

_encode = msgspec.json.Encoder().encode


def encode_json(value: Any) -> bytes:
    """Return a JSON value as bytes.

    Only what JSON can carry back unchanged is taken: exact `str`, `int`, finite `float`,
    `bool`, `None`, and `list`, `tuple` and `dict` of them with `str` keys.

    Raises:
        PayloadInvalid: If something else is inside; its `path` says where.
    """
    # The encoder itself would turn NaN into null and sets into lists without a word.
    if _is_sound(value, 0):
        try:
            return _encode(value)
        except (UnicodeEncodeError, ValueError, OverflowError):
            pass  # a lone surrogate, most likely: the search below names the place
    path, message = _find_fault(value, "$", 0) or ("$", "cannot be written as JSON")
    raise PayloadInvalid(message, path=path)


def _is_sound(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind is str or kind is int or value is None or kind is bool:
        return True
    if kind is float:
        return isfinite(value)
    if depth >= DEEPEST:
        return False
    if kind is dict:
        for key, item in cast("dict[Any, Any]", value).items():
            if type(key) is not str or not _is_sound(item, depth + 1):
                return False
        return True
    if kind is list or kind is tuple:
        return all(_is_sound(item, depth + 1) for item in cast("list[Any]", value))
    return False


def _find_fault(value: Any, path: str, depth: int) -> tuple[str, str] | None:
    match value:
        case str():
            try:
                value.encode()
            except UnicodeEncodeError:
                return path, "a string with a lone surrogate is not valid Unicode"
        case float() if not isfinite(value):
            return path, f"{value} is not a JSON number"
        case dict() | list() | tuple() if depth >= DEEPEST:
            return path, f"nested deeper than {DEEPEST} levels"
        case dict():
            for key, item in cast("dict[Any, Any]", value).items():
                if type(key) is not str:
                    return path, f"the key {key!r} is not a string"
                if fault := _find_fault(key, path, 0) or _find_fault(
                    item, f"{path}.{key}", depth + 1
                ):
                    return fault
        case list() | tuple():
            for index, item in enumerate(cast("Sequence[Any]", value)):
                if fault := _find_fault(item, f"{path}[{index}]", depth + 1):
                    return fault
        case _:
            pass
    if type(value) in (str, int, float, bool, type(None), dict, list, tuple):
        return None
    name = type(value).__name__
    return path, f"a value of type {name} is not JSON: convert it to text, number, list or dict"


def decode_json(data: bytes) -> Any:
    """Return the JSON value that these bytes are; `None` for bytes that are none."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def encode_envelope(
    task_id: str,
    queue: str,
    payload: bytes,
    *,
    correlation_id: str | None = None,
    eta_ms: int | None = None,
) -> bytes:
    """Return what is stored of a request; written once, never changed.

    Ids and queue names need no escaping, their alphabet is plain. The payload comes last:
    the enqueue script measures it there.
    """
    extra = ""
    if correlation_id is not None:
        extra += f'"correlation_id":{_encode(correlation_id).decode()},'
    if eta_ms is not None:
        extra += f'"eta":"{ms_to_rfc3339(eta_ms)}",'
    head = f'{{"v":1,"id":"{task_id}","queue":"{queue}",{extra}"payload":'
    return b"".join((head.encode(), payload, b"}"))


class _Envelope(msgspec.Struct, frozen=True):
    v: Any = 1
    payload: Any = msgspec.UNSET
    correlation_id: Any = None


_envelope_decoder = msgspec.json.Decoder(_Envelope)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What was asked of a worker.

    Attributes:
        payload: Any JSON value.
        correlation_id: The case it belongs to, if any.
    """

    payload: Any
    correlation_id: str | None


def decode_envelope(body: bytes) -> Envelope:
    """Read a stored request.

    Raises:
        EnvelopeInvalid: If it is not a JSON object, lacks its payload, or has a version that
            this release does not know.
    """
    try:
        read = _envelope_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EnvelopeInvalid(f"the body is not an envelope: {error}") from error
    except RecursionError as error:
        raise EnvelopeInvalid("the body is nested too deeply to be read") from error
    if read.v != 1 or isinstance(read.v, bool):
        raise EnvelopeInvalid(f"version {read.v!r} of the envelope is unknown, this release reads 1")
    if read.payload is msgspec.UNSET:
        raise EnvelopeInvalid('the field "payload" is missing')
    correlation = read.correlation_id
    return Envelope(read.payload, correlation if isinstance(correlation, str) else None)


def encode_fault(fault: Fault) -> bytes:
    """Return why an attempt failed, as the JSON that is kept of it; long texts are cut."""
    fields = {"type": fault.type, "message": _clean(fault.message, _MESSAGE_LIMIT)}
    if fault.traceback:
        # The end of a traceback says what happened, its beginning only how it got there.
        fields["traceback"] = _clean(fault.traceback[-_TRACEBACK_LIMIT:], _TRACEBACK_LIMIT)
    return _encode(fields)


def _clean(text: str, limit: int) -> str:
    return text[:limit].encode(errors="replace").decode()


def decode_fault(data: bytes) -> dict[str, str]:
    """Return a kept fault; whatever a foreign writer left there is shown as its message."""
    value = decode_json(data)
    if isinstance(value, dict):
        return {str(key): str(item) for key, item in cast("dict[Any, Any]", value).items()}
    return {"type": "Unreadable", "message": data[:_MESSAGE_LIMIT].decode(errors="replace")}


def decode_record(
    task_id: str,
    run: Mapping[bytes, bytes],
    body: bytes | None,
    *,
    attempts: Sequence[bytes] = (),
    starts_ms: int | None = None,
    lease_expires_ms: int | None = None,
) -> TaskRecord:
    """Return a task from its keys; what cannot be read stays as raw bytes."""
    raw, payload, correlation = body, None, _text(run.get(b"corr"))
    if body is not None:
        try:
            envelope = decode_envelope(body)
        except EnvelopeInvalid:
            pass
        else:
            raw, payload = None, envelope.payload
            correlation = envelope.correlation_id
    error = run.get(b"error")
    result = run.get(b"result")
    return TaskRecord(
        id=task_id,
        queue=_text(run.get(b"queue")) or "",
        state=TaskState(run[b"state"].decode()),
        payload=payload,
        correlation_id=correlation,
        priority="high" if run.get(b"prio") == b"high" else "normal",
        attempt=_number(run.get(b"attempt")) or 0,
        crashes=_number(run.get(b"crashes")) or 0,
        arrived_ms=_number(run.get(b"arrived")) or 0,
        due_ms=_number(run.get(b"due")),
        starts_ms=starts_ms,
        started_ms=_number(run.get(b"started")),
        finished_ms=_number(run.get(b"finished")),
        lease_expires_ms=lease_expires_ms,
        worker=_text(run.get(b"worker")),
        result=None if result is None else decode_json(result),
        error=None if error is None else decode_fault(error),
        attempts=tuple(_attempt(entry) for entry in attempts),
        raw=raw,
    )


def _attempt(entry: bytes) -> Attempt:
    value = decode_json(entry)
    fields: dict[str, Any] = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    fault = cast("dict[str, Any]", fields.get("fault") or {})
    return Attempt(
        number=int(fields.get("number") or 0),
        worker=str(fields.get("worker") or ""),
        started_ms=int(fields.get("started_ms") or 0),
        finished_ms=int(fields.get("finished_ms") or 0),
        error_type=str(fault.get("type") or ""),
        error=str(fault.get("message") or ""),
        traceback=str(fault.get("traceback") or ""),
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")


def _number(value: bytes | None) -> int | None:
    try:
        return None if value is None else int(float(value))
    except ValueError:
        return None
