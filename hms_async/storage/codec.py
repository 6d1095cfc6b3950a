"""Between Python values and the bytes in Redis."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

import msgspec

from hms_async.domain.duration import LONGEST_MS, ms_to_rfc3339
from hms_async.domain.handoff import Handoff
from hms_async.domain.outcome import Fault
from hms_async.domain.task import Attempt, TaskRecord, TaskState
from hms_async.domain.trace import TraceContext, read_trace
from hms_async.errors import EnvelopeInvalid, PayloadInvalid, StoreProtocol

DEEPEST = 200
_LARGEST = 10**1_000
_LEAST = -_LARGEST
_NESTED = frozenset({list, tuple, dict})
_JSON_TYPES = _NESTED | {str, int, float, bool, type(None)}
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MESSAGE_LIMIT = 2_000
_TRACEBACK_LIMIT = 8_000

_encode = msgspec.json.Encoder().encode
# Exact types decide: what was a subclass would come back as something else.
_kind: Callable[[Any], Any] = type


def encode_json(value: Any) -> bytes:
    """Return a JSON value as bytes.

    Only what JSON can carry back unchanged is taken: exact `str`, `int`, finite `float`,
    `bool`, `None`, and `list`, `tuple` (which comes back as a list) and `dict` of them with
    `str` keys.

    Raises:
        PayloadInvalid: If something else is inside; its `path` says where.
    """
    # The encoder itself would turn NaN into null and sets into lists without a word.
    if _is_sound(value, 0):
        try:
            return _encode(value)
        except UnicodeEncodeError:
            pass  # a lone surrogate: the search below names the place
    path, message = _find_fault(value, "$", 0) or ("$", "cannot be written as JSON")
    raise PayloadInvalid(message, path=path)


def _is_sound(value: Any, depth: int) -> bool:
    kind = _kind(value)
    if kind is str or value is None or kind is bool:
        return True
    if kind is int:
        return bool(_LEAST < value < _LARGEST)
    if kind is float:
        return isfinite(value)
    if kind not in _NESTED or depth >= DEEPEST:
        return False
    if kind is dict:
        for key in value:
            if type(key) is not str:
                return False
        value = value.values()
    for item in value:  # noqa: SIM110  # a generator takes half as long again
        # Most are texts, and a call for each would take as long as all the rest.
        if type(item) is not str and not _is_sound(item, depth + 1):
            return False
    return True


def _find_fault(value: Any, path: str, depth: int) -> tuple[str, str] | None:
    if message := _fault_of(value, depth):
        return path, message
    for step, item in _parts(value):
        if fault := _find_fault(item, path + step, depth + 1):
            return fault
    return None


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    kind = _kind(value)
    if kind is dict:
        yield from ((f".{key}", item) for key, item in value.items())
    elif kind is list or kind is tuple:
        yield from ((f"[{index}]", item) for index, item in enumerate(value))


def _fault_of(value: Any, depth: int) -> str | None:
    """Return what is wrong with a value itself, whatever is inside it."""
    kind = _kind(value)
    if kind not in _JSON_TYPES:
        return (
            f"a value of type {kind.__name__} is not JSON: convert it to text, number, list or dict"
        )
    if kind is str and not _is_unicode(value):
        return "a string with a lone surrogate is not valid Unicode"
    if kind is int and not _LEAST < value < _LARGEST:
        return "a number of more than 1,000 digits cannot be read back: write it as text"
    if kind is float and not isfinite(value):
        return f"{value} is not a JSON number: write null or text instead"
    if kind in _NESTED and depth >= DEEPEST:
        return f"nested deeper than {DEEPEST} levels, or a list or dict that holds itself"
    if kind is dict:
        return next(filter(None, map(_fault_of_key, value)), None)
    return None


def _fault_of_key(key: Any) -> str | None:
    if type(key) is not str:
        return f"the key {key!r} is of type {type(key).__name__}, not a plain str"
    return None if _is_unicode(key) else f"the key {key!r} has a lone surrogate: not valid Unicode"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def decode_json(data: bytes) -> Any:
    """Return the JSON value that these bytes are; `None` for bytes that are none."""
    try:
        return msgspec.json.decode(data)
    except UNREADABLE:
        return None


def encode_envelope(
    task_id: str,
    queue: str,
    payload: bytes,
    *,
    correlation_id: str | None = None,
    eta_ms: int | None = None,
    run_timeout_ms: int | None = None,
    trace: TraceContext | None = None,
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
    if run_timeout_ms is not None:
        extra += f'"run_timeout_ms":{run_timeout_ms},'
    if trace is not None:
        fields = msgspec.structs.asdict(trace).items()
        extra += "".join(f'"{name}":{_encode(text).decode()},' for name, text in fields if text)
    head = f'{{"v":1,"id":"{task_id}","queue":"{queue}",{extra}"payload":'
    return b"".join((head.encode(), payload, b"}"))


class _Carried(msgspec.Struct, frozen=True):
    traceparent: Any = None
    tracestate: Any = None
    baggage: Any = None


class _Envelope(_Carried, frozen=True):
    v: Any = 1
    payload: Any = msgspec.UNSET
    correlation_id: Any = None
    run_timeout_ms: Any = None


_carried_decoder = msgspec.json.Decoder(_Carried)
_envelope_decoder = msgspec.json.Decoder(_Envelope)


class Envelope(msgspec.Struct, frozen=True):
    """What was asked of a worker.

    Attributes:
        payload: Any JSON value.
        correlation_id: The case it belongs to, if any.
        run_timeout_ms: How long one attempt may run, if that is its own.
        trace: The context of the trace that it belongs to, if any.
    """

    payload: Any
    correlation_id: str | None
    run_timeout_ms: int | None = None
    trace: TraceContext | None = None


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
    if type(read.v) is not int or read.v != 1:
        raise EnvelopeInvalid(
            f"version {read.v!r} of the envelope is unknown: this release reads 1"
        )
    if read.payload is msgspec.UNSET:
        raise EnvelopeInvalid('the field "payload" is missing')
    correlation, longest = read.correlation_id, read.run_timeout_ms
    return Envelope(
        read.payload,
        correlation if isinstance(correlation, str) else None,
        longest if type(longest) is int and 0 < longest <= LONGEST_MS else None,
        None
        if read.traceparent is None and read.baggage is None
        else read_trace(msgspec.structs.asdict(read)),
    )


def encode_fault(fault: Fault, traceparent: str = "") -> bytes:
    """Return why an attempt failed, as the JSON that is kept of it; long texts are cut.

    Args:
        fault: Why.
        traceparent: The span of the attempt, where spans are made.
    """
    fields = {
        "type": _clean(fault.type, _MESSAGE_LIMIT),
        "message": _clean(fault.message, _MESSAGE_LIMIT),
    }
    if fault.traceback:
        # The end of a traceback says what happened, its beginning only how it got there.
        fields["traceback"] = _clean(fault.traceback[-_TRACEBACK_LIMIT:], _TRACEBACK_LIMIT)
    if traceparent:
        fields["traceparent"] = traceparent
    return _encode(fields)


def _clean(text: str, limit: int) -> str:
    return text[:limit].encode(errors="replace").decode()


def decode_fault(data: bytes) -> dict[str, str]:
    """Return a kept fault; whatever a foreign writer left there is shown as its message."""
    try:
        fields = msgspec.json.decode(data, type=dict[str, Any])
    except UNREADABLE:
        return {"type": "Unreadable", "message": data[:_MESSAGE_LIMIT].decode(errors="replace")}
    return {name: str(value) for name, value in fields.items()}


_handoff_decoder = msgspec.json.Decoder(Handoff)


def decode_handoff(data: bytes | None) -> Handoff | None:
    """Return a kept hand-off; `None` for what is none."""
    try:
        return _handoff_decoder.decode(data) if data else None
    except UNREADABLE:
        return None


def decode_record(
    task_id: str,
    run: Mapping[bytes, bytes],
    body: bytes | None,
    *,
    attempts: Sequence[bytes] = (),
    starts_ms: int | None = None,
    lease_expires_ms: int | None = None,
    drift_ms: int = 0,
) -> TaskRecord:
    """Return a task from its keys; what cannot be read stays as raw bytes.

    Args:
        task_id: Its id.
        run: Its record.
        body: Its envelope.
        attempts: Its last attempts.
        starts_ms: When it is due to start.
        lease_expires_ms: When its lease ends.
        drift_ms: How far the queue's clock is behind; what of it came after its arrival is added
            to the instant at which it is due.

    Raises:
        StoreProtocol: If the record has a state that this release does not know.
    """
    raw, payload, correlation = body, None, _text(run.get(b"corr"))
    traceparent = None
    if body is not None:
        try:
            envelope = decode_envelope(body)
        except EnvelopeInvalid:
            pass
        else:
            raw, payload = None, envelope.payload
            traceparent = None if envelope.trace is None else envelope.trace.traceparent
            # The scripts go by the record, a producer may have named the case to them alone.
            correlation = correlation or envelope.correlation_id
    error = run.get(b"error")
    result = run.get(b"result")
    return TaskRecord(
        id=task_id,
        queue=_text(run.get(b"queue")) or "",
        state=_state(task_id, run.get(b"state")),
        payload=payload,
        correlation_id=correlation,
        priority="high" if run.get(b"prio") == b"high" else "normal",
        goes_first=run.get(b"state") == b"waiting" and run.get(b"lane", b"normal") != b"normal",
        attempt=decode_number(run.get(b"attempt")) or 0,
        crashes=decode_number(run.get(b"crashes")) or 0,
        arrived_ms=decode_number(run.get(b"arrived")) or 0,
        due_ms=_due_ms(run, drift_ms),
        waived=_text(run.get(b"waived")),
        moved_to=_text(run.get(b"moved_to")),
        again_of=_text(run.get(b"again_of")),
        again_as=_text(run.get(b"again_as")),
        expires_ms=decode_number(run.get(b"expires")),
        starts_ms=starts_ms,
        started_ms=decode_number(run.get(b"started")),
        finished_ms=decode_number(run.get(b"finished")),
        lease_expires_ms=lease_expires_ms,
        cancel_asked_ms=decode_number(run.get(b"cancel")),
        cancel_by=_text(run.get(b"cancel_by")),
        cancel_reason=_text(run.get(b"cancel_reason")),
        worker=_text(run.get(b"worker")),
        result=None if result is None else decode_json(result),
        error=None if error is None else decode_fault(error),
        handoff=decode_handoff(run.get(b"handoff")),
        attempts=tuple(_attempt(entry) for entry in attempts),
        traceparent=traceparent,
        raw=raw,
    )


def _due_ms(run: Mapping[bytes, bytes], drift_ms: int) -> int | None:
    arrived_ms, sla_ms = decode_number(run.get(b"arrived")), decode_number(run.get(b"sla"))
    if arrived_ms is None or sla_ms is None:
        return None
    grace_ms = drift_ms - (decode_number(run.get(b"shift")) or 0) if drift_ms else 0
    return arrived_ms + sla_ms + grace_ms


def _state(task_id: str, value: bytes | None) -> TaskState:
    try:
        return TaskState(_text(value) or "")
    except ValueError as error:
        raise StoreProtocol(f"task {task_id} is in an unknown state: {value!r}") from error


class _Attempt(msgspec.Struct, frozen=True):
    number: int = 0
    worker: str = ""
    started_ms: int = 0
    finished_ms: int = 0
    again_ms: int | None = None
    fault: msgspec.Raw = msgspec.Raw(b"{}")


_attempt_decoder = msgspec.json.Decoder(_Attempt)


def _attempt(entry: bytes) -> Attempt:
    try:
        read = _attempt_decoder.decode(entry)
    except UNREADABLE:
        read = _Attempt(fault=msgspec.Raw(entry))
    fault = decode_fault(bytes(read.fault))
    return Attempt(
        number=read.number,
        worker=read.worker,
        started_ms=read.started_ms,
        finished_ms=read.finished_ms,
        error_type=fault.get("type", ""),
        error=fault.get("message", ""),
        traceback=fault.get("traceback", ""),
        again_ms=read.again_ms,
        traceparent=fault.get("traceparent"),
    )


def decode_trace(body: bytes) -> TraceContext | None:
    """Return the context of a trace in an envelope; `None` without one."""
    try:
        return read_trace(msgspec.structs.asdict(_carried_decoder.decode(body)))
    except UNREADABLE:
        return None


def decode_last_span(entry: bytes | None) -> str | None:
    """Return the span of an attempt, as it is kept; `None` if nobody made one."""
    trace = None if entry is None else read_trace({"traceparent": _attempt(entry).traceparent})
    return None if trace is None else trace.traceparent


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")


def decode_number(value: bytes | None) -> int | None:
    """Return a whole number of a record; `None` for what is none."""
    try:
        return None if value is None else int(float(value))
    except (ValueError, OverflowError):
        return None
