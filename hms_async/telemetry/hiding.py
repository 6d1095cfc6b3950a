"""What no log line shows: payloads, and secrets as far as they can be told."""

import functools
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from hms_async.config import redactor
from hms_async.domain.redaction import Redactor
from hms_async.domain.scrub import REDACTED
from hms_async.domain.token import is_bearer
from hms_async.errors import ConfigInvalid
from hms_async.telemetry.text import as_text

_encoder = msgspec.json.Encoder(enc_hook=as_text)

_NEVER: Final = frozenset({"payload"})
"""A payload belongs to the service that sent it, whoever tries to log it."""

_PLAIN: Final = frozenset(
    {
        *("queue", "task_id", "attempt", "worker_id", "slot", "outcome", "clock", "fingerprint"),
        *("trace_id", "span_id", "wait_s", "run_s", "time_left_s", "bytes_in", "bytes_out"),
    }
)
"""What is of a plain alphabet, or a number: most of most lines."""

_LONGEST: Final = {"error": 2_000}
_LONGEST_TEXT: Final = 20_000
_END_MATTERS: Final = frozenset({"exc", "stack"})


def hide(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be shown of a line's fields."""
    return {
        name: value if name in _PLAIN else _shown(name, value)
        for name, value in fields.items()
        if name not in _NEVER
    }


def hide_text(text: str) -> str:
    """Return what may be shown of a text for people."""
    return _redactor().redact_text(text[:_LONGEST_TEXT])


def _shown(name: str, value: Any) -> Any:
    if value is None or type(value) in (int, float, bool):
        return value
    if _redactor().is_secret(name):
        return REDACTED
    if name == "error":
        value = as_text(value)
    if isinstance(value, str):
        if name == "actor" and is_bearer(value):
            return value  # it only looks like a secret behind its name
        if name in _END_MATTERS:
            value = value[-_LONGEST_TEXT:]
        return hide_text(value[: _LONGEST.get(name, _LONGEST_TEXT)])
    if isinstance(value, dict | list | tuple):
        return _copy(cast("object", value))
    return value


def _copy(value: object) -> Any:
    try:
        # As JSON it has an end: a list may hold itself.
        return _redactor().redact(msgspec.json.decode(_encoder.encode(value)))
    except Exception:  # noqa: BLE001  # it does, or has keys that are no texts
        return hide_text(as_text(value))


@functools.cache
def _redactor() -> Redactor:
    try:
        return redactor()
    except ConfigInvalid:  # said at the start by whoever serves; a line must not fail for it
        return Redactor()
