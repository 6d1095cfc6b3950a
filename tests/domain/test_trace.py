from typing import Any

import pytest

from hms_async.domain.trace import TraceContext, check_trace, read_trace
from hms_async.errors import ConfigInvalid

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"

INVALID_PARENTS: list[Any] = [
    "",
    7,
    TRACE,
    PARENT.upper(),
    f" {PARENT}",
    f"{PARENT}\n",
    f"00-{TRACE}-{SPAN}",
    f"ff-{TRACE}-{SPAN}-01",
    f"00-{'0' * 32}-{SPAN}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"{PARENT}-more",
    f"01-{TRACE}-{SPAN}-01x",
    f"01-{TRACE}-{SPAN}-01-{'x' * 255}",
]


@pytest.mark.parametrize("parent", [PARENT, f"00-{TRACE}-{SPAN}-00", f"cc-{TRACE}-{SPAN}-01-new"])
def test_a_traceparent_is_taken_of_later_versions_too(parent: str) -> None:
    context = check_trace(parent)

    assert context is not None
    assert (context.traceparent, context.trace_id) == (parent, TRACE)
    assert read_trace({"traceparent": parent}) == context


@pytest.mark.parametrize("parent", INVALID_PARENTS)
def test_a_traceparent_that_is_none_is_refused_by_hand_and_ignored_in_a_header(parent: Any) -> None:
    with pytest.raises(ConfigInvalid, match="traceparent="):
        check_trace(parent)
    assert read_trace({"traceparent": parent, "tracestate": "a=b"}) is None


@pytest.mark.parametrize("state", ["a=b", "rojo=00f067aa0ba902b7, congo=t61rcWkgMzE", "1a@x=y z"])
def test_a_tracestate_goes_with_its_traceparent(state: str) -> None:
    assert check_trace(PARENT, state) == TraceContext(PARENT, state)
    with pytest.raises(ConfigInvalid, match="belongs to a traceparent"):
        check_trace(None, state)
    assert read_trace({"tracestate": state}) is None


@pytest.mark.parametrize("state", ["", "a", "A=b", "a=b,a=c", "a=", "a=\n", "a=é", "a" * 513])
def test_a_tracestate_that_is_none_costs_no_traceparent(state: str) -> None:
    with pytest.raises(ConfigInvalid, match="tracestate="):
        check_trace(PARENT, state)
    assert read_trace({"traceparent": PARENT, "tracestate": state}) == TraceContext(PARENT)


def test_baggage_goes_by_itself_and_is_never_repeated_in_an_error() -> None:
    bag = "case=REQ-1,name=Jos%C3%A9;ttl=3"
    assert check_trace(baggage=bag) == read_trace({"baggage": bag}) == TraceContext(baggage=bag)

    for wrong in ("", "x", "a=é", "secret=a\nb", "a=" + "b" * 8_200):
        with pytest.raises(ConfigInvalid, match="baggage is not valid") as caught:
            check_trace(baggage=wrong)
        assert "secret" not in str(caught.value)
        assert read_trace({"baggage": wrong}) is None


def test_who_says_nothing_has_no_context() -> None:
    assert check_trace() is None
    assert read_trace({}) is None
