"""The context of a trace, as it travels with a task: three texts in the formats of the W3C."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from hms_async.errors import ConfigInvalid

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_ZERO: Final = re.compile(r"..-0{32}-|..-.{32}-0{16}-")
_MEMBER: Final = re.compile(
    r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_BAGGAGE: Final = re.compile(
    r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\s*=[\x20-\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]*"
)
_LONGEST_PARENT: Final = 255
_LONGEST_STATE: Final = 512
_MOST_MEMBERS: Final = 32
_LONGEST_BAGGAGE: Final = 8_192
_KNOWN_LENGTH: Final = 55


class TraceContext(msgspec.Struct, frozen=True, gc=False):
    """Where a task comes from, for tools that follow requests through services.

    Attributes:
        traceparent: The trace and the span that asked for the task.
        tracestate: What tracing systems say of it besides.
        baggage: What the application sends along.

    Source: the W3C recommendations Trace Context and Baggage.
    """

    traceparent: str | None = None
    tracestate: str | None = None
    baggage: str | None = None

    def within(self, other: "TraceContext | None") -> "TraceContext":
        """Return it in another's trace, unless it names one itself."""
        if self.traceparent is not None or other is None:
            return self
        return TraceContext(other.traceparent, other.tracestate, self.baggage or other.baggage)

    @property
    def trace_id(self) -> str | None:
        """The trace: 32 hexadecimal digits."""
        return None if self.traceparent is None else self.traceparent[3:35]


def check_trace(
    traceparent: object = None, tracestate: object = None, baggage: object = None
) -> TraceContext | None:
    """Return what somebody gave by hand; `None` if nothing.

    Raises:
        ConfigInvalid: If one of them is not of its format; the message names it.
    """
    if traceparent is None and tracestate is None and baggage is None:
        return None
    if traceparent is not None and not _is_parent(traceparent):
        raise ConfigInvalid(
            f"traceparent={traceparent!r} is not valid: give "
            "00-<32 hexadecimal digits>-<16>-<2>, lower case, neither id all zeros"
        )
    if tracestate is not None and traceparent is None:
        raise ConfigInvalid("tracestate belongs to a traceparent: give that, too")
    if tracestate is not None and not _is_state(tracestate):
        raise ConfigInvalid(
            f"tracestate={tracestate!r} is not valid: give up to {_MOST_MEMBERS} key=value, "
            f"separated by commas, {_LONGEST_STATE} characters at most"
        )
    if baggage is not None and not _is_baggage(baggage):
        raise ConfigInvalid(
            "baggage is not valid: give key=value, separated by commas, values with percent "
            f"escapes, {_LONGEST_BAGGAGE} characters at most"
        )
    return TraceContext(traceparent, tracestate, baggage)  # type: ignore[arg-type]  # checked


def read_trace(fields: Mapping[str, Any]) -> TraceContext | None:
    """Return the context in headers, or in an envelope that others wrote; `None` without one.

    What is not of its format is left out, as its standard asks.
    """
    parent, state, baggage = (fields.get(name) for name in TraceContext.__struct_fields__)
    if parent is not None and not _is_parent(parent):
        parent = None
    if parent is None or not _is_state(state):
        state = None
    if not _is_baggage(baggage):
        baggage = None
    return TraceContext(parent, state, baggage) if parent or baggage else None


def _is_parent(text: object) -> bool:
    if not isinstance(text, str) or len(text) > _LONGEST_PARENT:
        return False
    if not _TRACEPARENT.fullmatch(text) or _ZERO.match(text):
        return False
    # Of a later version we know how it begins.
    return len(text) == _KNOWN_LENGTH or not text.startswith("00-")


def _is_state(text: object) -> bool:
    if not isinstance(text, str) or not 0 < len(text) <= _LONGEST_STATE:
        return False
    members = [member for part in text.split(",") if (member := part.strip(" \t"))]
    keys = {member.partition("=")[0] for member in members}
    return len(keys) == len(members) <= _MOST_MEMBERS and all(map(_MEMBER.fullmatch, members))


def _is_baggage(text: object) -> bool:
    if not isinstance(text, str) or not 0 < len(text) <= _LONGEST_BAGGAGE:
        return False
    return all(_BAGGAGE.fullmatch(member.strip(" \t")) for member in text.split(","))
