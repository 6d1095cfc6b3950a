import json
from collections import OrderedDict
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_async.domain.outcome import Fault
from hms_async.domain.task import Attempt, TaskState
from hms_async.domain.trace import TraceContext
from hms_async.errors import EnvelopeInvalid, PayloadInvalid, StoreProtocol
from hms_async.storage.codec import (
    DEEPEST,
    decode_envelope,
    decode_fault,
    decode_json,
    decode_record,
    encode_envelope,
    encode_fault,
    encode_json,
)


class Color(StrEnum):
    RED = "red"


class Size(IntEnum):
    SMALL = 1


class Point(NamedTuple):
    x: int


texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**1_000) + 1, 10**1_000 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
strangers = st.sampled_from(
    [
        float("nan"),
        float("inf"),
        float("-inf"),
        b"bytes",
        bytearray(b"bytes"),
        {1, 2},
        frozenset[int](),
        1j,
        Decimal(1),
        datetime(2026, 11, 23, tzinfo=UTC),
        UUID(int=0),
        Color.RED,
        Size.SMALL,
        Point(1),
        OrderedDict[str, int](a=1),
        object(),
        ...,
        len,
        range(3),
        10**1_000,
        -(10**5_000),
        "\ud800",
    ]
)


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def refused(value: Any) -> PayloadInvalid:
    with pytest.raises(PayloadInvalid) as caught:
        encode_json(value)
    return caught.value


@given(json_values)
def test_json_comes_back_unchanged(value: Any) -> None:
    back = decode_json(encode_json(value))

    assert back == value
    assert repr(back) == repr(value)  # 1 is not 1.0, 0.0 is not -0.0, True is not 1


@given(json_values)
def test_what_is_written_is_what_other_languages_read(value: Any) -> None:
    assert json.loads(encode_json(value)) == value


def test_a_tuple_comes_back_as_a_list() -> None:
    assert decode_json(encode_json((1, (2,)))) == [1, [2]]


@given(json_values, strangers)
def test_a_stranger_is_found_wherever_it_is(before: Any, stranger: Any) -> None:
    assert refused(stranger).path == "$"
    assert refused({"a": before, "b": [before, stranger]}).path == "$.b[1]"
    assert refused([before, {"x": (stranger, before)}]).path == "$[1].x[0]"


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ({"photos": [{"size": float("nan")}]}, "$.photos[0].size", "nan is not a JSON number"),
        ([1.0, float("-inf")], "$[1]", "-inf is not a JSON number: write null or text"),
        ({"scan": b"\x00"}, "$.scan", "a value of type bytes is not JSON: convert it"),
        ({"tags": {"a"}}, "$.tags", "a value of type set is not JSON"),
        ({"at": datetime.now(UTC)}, "$.at", "a value of type datetime is not JSON"),
        ({"color": Color.RED}, "$.color", "a value of type Color is not JSON"),
        (
            {"in": OrderedDict[str, object](a=object())},
            "$.in",
            "a value of type OrderedDict is not JSON",
        ),
        ({"a": {1: "x"}}, "$.a", "the key 1 is of type int, not a plain str"),
        ({"a": {None: "x"}}, "$.a", "the key None is of type NoneType, not a plain str"),
        ({Color.RED: 1}, "$", "the key <Color.RED: 'red'> is of type Color, not a plain str"),
        ({"name": "\udc80"}, "$.name", "a string with a lone surrogate is not valid Unicode"),
        ({"a": {"\ud800": 1}}, "$.a", "the key '\\ud800' has a lone surrogate"),
        ([0, 10**1_000], "$[1]", "more than 1,000 digits cannot be read back: write it as text"),
    ],
)
def test_a_refusal_names_the_place_and_the_fault(value: Any, path: str, message: str) -> None:
    error = refused(value)

    assert error.path == path
    assert str(error).startswith(f"{path}: ")
    assert message in str(error)


def test_nesting_has_a_limit() -> None:
    assert decode_json(encode_json(nested(DEEPEST))) == nested(DEEPEST)

    error = refused({"a": nested(DEEPEST)})

    assert error.path == "$.a" + "[0]" * (DEEPEST - 1)
    assert f"nested deeper than {DEEPEST} levels" in str(error)


def test_a_list_or_dict_that_holds_itself_is_refused() -> None:
    circle: list[Any] = []
    circle += [1, circle, circle]
    loop: dict[str, Any] = {}
    loop["again"] = loop

    assert "holds itself" in str(refused(circle))
    assert "holds itself" in str(refused({"a": loop}))


@given(st.binary())
def test_bytes_that_are_no_json_are_read_as_none(data: bytes) -> None:
    try:
        expected = json.loads(data.decode())
    except ValueError:
        expected = None

    if decode_json(data) is not None:
        assert decode_json(data) == expected


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"NaN", b"[" * 100_000, b"1" * 5_000])
def test_what_cannot_be_read_does_not_raise(data: bytes) -> None:
    assert decode_json(data) is None


@given(json_values, st.none() | texts, st.none() | st.integers(0, 2**45))
def test_an_envelope_comes_back_unchanged(
    payload: Any, correlation_id: str | None, eta_ms: int | None
) -> None:
    body = encode_envelope(
        "t1", "mail", encode_json(payload), correlation_id=correlation_id, eta_ms=eta_ms
    )

    envelope = decode_envelope(body)

    assert envelope.payload == payload
    assert envelope.correlation_id == correlation_id


def test_an_envelope_is_what_the_protocol_says() -> None:
    body = encode_envelope("t1", "mail", b"[1]", correlation_id='a"b', eta_ms=1_795_428_000_250)

    assert body == (
        b'{"v":1,"id":"t1","queue":"mail","correlation_id":"a\\"b",'
        b'"eta":"2026-11-23T10:00:00.250Z","payload":[1]}'
    )


PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_the_context_of_a_trace_comes_back_and_what_is_none_is_left_out() -> None:
    trace = TraceContext(PARENT, 'vendor="a\\b"', "case=1")
    body = encode_envelope("t1", "mail", b"[1]", trace=trace)
    assert decode_envelope(body).trace == trace
    assert b'"payload":[1]}' in body

    assert decode_envelope(b'{"payload":1,"tracestate":"a=b"}').trace is None
    assert decode_envelope(b'{"payload":1,"traceparent":7,"baggage":["x"]}').trace is None
    foreign = b'{"traceparent":"' + PARENT.encode() + b'","tracestate":[],"payload":1}'
    assert decode_envelope(foreign).trace == TraceContext(PARENT)


@pytest.mark.parametrize(
    ("body", "payload", "correlation_id"),
    [
        (b'{"payload":null}', None, None),
        (b'{"payload":1,"v":1,"color":"red"}', 1, None),
        (b'{"payload":1,"correlation_id":7}', 1, None),
        ('{"correlation_id":"Bürger","payload":{}}'.encode(), {}, "Bürger"),
    ],
)
def test_envelopes_of_other_languages_are_read(
    body: bytes, payload: Any, correlation_id: str | None
) -> None:
    envelope = decode_envelope(body)

    assert (envelope.payload, envelope.correlation_id) == (payload, correlation_id)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not an envelope"),
        (b"not json", "the body is not an envelope"),
        (b'"text"', "the body is not an envelope"),
        (b"[]", "the body is not an envelope"),
        (b'{"payload":"\xff"}', "the body is not an envelope"),
        (b'{"payload":' + b"[" * 100_000, "nested too deeply"),
        (b'{"v":1}', 'the field "payload" is missing'),
        (b'{"v":2,"payload":1}', "version 2 of the envelope is unknown: this release reads 1"),
        (b'{"v":"1","payload":1}', "version '1' of the envelope is unknown"),
        (b'{"v":true,"payload":1}', "version True of the envelope is unknown"),
        (b'{"v":1.0,"payload":1}', "version 1.0 of the envelope is unknown"),
    ],
)
def test_a_body_that_is_no_envelope_is_refused_with_the_reason(body: bytes, message: str) -> None:
    with pytest.raises(EnvelopeInvalid, match=message):
        decode_envelope(body)


@given(st.binary().filter(lambda body: b"payload" not in body))  # which says what it is
def test_noise_is_refused_as_a_body(body: bytes) -> None:
    with pytest.raises(EnvelopeInvalid):
        decode_envelope(body)


@given(st.text(), st.text(), st.text())
def test_any_fault_can_be_written_and_read(kind: str, message: str, traceback: str) -> None:
    fault = decode_fault(encode_fault(Fault(kind, message, traceback)))

    assert fault["message"] == message.encode(errors="replace").decode()
    assert ("traceback" in fault) == bool(traceback)


def test_a_long_fault_keeps_the_start_of_its_message_and_the_end_of_its_traceback() -> None:
    fault = decode_fault(encode_fault(Fault("E", "a" * 3_000 + "z", "a" * 9_000 + "z")))

    assert fault["message"] == "a" * 2_000
    assert fault["traceback"] == "a" * 7_999 + "z"


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b'{"type":"E","message":5}', {"type": "E", "message": "5"}),
        (b"[]", {"type": "Unreadable", "message": "[]"}),
        (b"\xff", {"type": "Unreadable", "message": "�"}),
    ],
)
def test_a_fault_of_a_foreign_writer_is_shown(data: bytes, fault: dict[str, str]) -> None:
    assert decode_fault(data) == fault


def test_a_record_tells_how_its_task_goes() -> None:
    run = {
        b"queue": b"mail",
        b"state": b"retrying",
        b"prio": b"high",
        b"attempt": b"2",
        b"crashes": b"1",
        b"arrived": b"1795428000250",
        b"sla": b"1.99975e+6",
        b"worker": b"w-1",
        b"error": b'{"type":"ValueError","message":"no ink"}',
    }
    entry = (
        b'{"number":1,"worker":"w-0","started_ms":5,"finished_ms":6,'
        b'"fault":{"type":"E","message":"m","traceback":"t"}}'
    )

    record = decode_record(
        "t1",
        run,
        encode_envelope("t1", "mail", b"[1]", correlation_id="REQ-1"),
        attempts=[entry],
        starts_ms=7,
    )

    assert (record.queue, record.state, record.priority) == ("mail", TaskState.RETRYING, "high")
    assert (record.payload, record.correlation_id, record.raw) == ([1], "REQ-1", None)
    assert (record.attempt, record.crashes, record.worker) == (2, 1, "w-1")
    assert (record.arrived_ms, record.due_ms) == (1_795_428_000_250, 1_795_430_000_000)
    assert (record.starts_ms, record.finished_ms) == (7, None)
    assert record.reason == "ValueError: no ink"
    assert record.attempts == (
        Attempt(
            number=1,
            worker="w-0",
            started_ms=5,
            finished_ms=6,
            error_type="E",
            error="m",
            traceback="t",
        ),
    )


def test_a_record_whose_body_cannot_be_read_keeps_it_raw() -> None:
    record = decode_record("t1", {b"state": b"failed", b"corr": b"REQ-1"}, b"\xff{")

    assert (record.payload, record.raw, record.correlation_id) == (None, b"\xff{", "REQ-1")


@pytest.mark.parametrize("state", [b"sleeping", b"", b"\xff"])
def test_a_state_of_another_release_is_named(state: bytes) -> None:
    with pytest.raises(StoreProtocol, match="task t1 is in an unknown state: b'"):
        decode_record("t1", {b"state": state}, None)


@given(
    st.dictionaries(
        st.sampled_from(
            [b"attempt", b"arrived", b"sla", b"worker", b"corr", b"error", b"result", b"queue"]
        ),
        st.binary() | st.sampled_from([b"inf", b"nan", b"-1e400"]),
    ),
    st.none() | st.binary(),
    st.lists(st.binary() | st.builds(encode_json, json_values), max_size=3),
)
def test_a_record_is_read_whatever_a_foreign_writer_left(
    run: dict[bytes, bytes], body: bytes | None, attempts: list[bytes]
) -> None:
    record = decode_record("t1", {b"state": b"failed"} | run, body, attempts=attempts)

    assert record.raw == body
    assert len(record.attempts) == len(attempts)


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        (b"\xff", ("Unreadable", "�")),
        (b"[1]", ("Unreadable", "[1]")),
        (b'{"number":1,"fault":"no ink"}', ("Unreadable", '"no ink"')),
        (b'{"fault":{"type":"E","message":null}}', ("E", "None")),
        (b"{}", ("", "")),
    ],
)
def test_an_attempt_of_a_foreign_writer_is_shown(entry: bytes, shown: tuple[str, str]) -> None:
    (attempt,) = decode_record("t1", {b"state": b"failed"}, None, attempts=[entry]).attempts

    assert (attempt.error_type, attempt.error) == shown
