"""A hand-off: which workflow is to go on with a case when a task is done."""

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from hms_async.errors import ResultInvalid

_FIELDS = ("workflow", "key", "payload")
_LONGEST_TEXT = 512


class Handoff(msgspec.Struct, frozen=True):
    """What a done task leaves to whoever carries the case on; its event and its record hold it.

    Events are told at least once, so whoever takes hand-offs may see one again and knows it by
    its key.

    Attributes:
        workflow: What is to be started, such as `passport.renewal`.
        key: What it is started for, such as the case; one start for each key.
        payload: What it needs to know: any JSON value.
    """

    workflow: str
    key: str
    payload: Any = None


def read_handoff(given: Handoff | Mapping[str, Any]) -> Handoff:
    """Return a hand-off that a handler gave, as it is or as a mapping.

    The payload is not looked at: whoever writes it as JSON does.

    Raises:
        ResultInvalid: If it is none; the message names the field.
    """
    fields = _fields_of(given)
    if unknown := [name for name in fields if name not in _FIELDS]:
        raise ResultInvalid(
            f"handoff.{unknown[0]}: no such field; a hand-off has {', '.join(_FIELDS)}"
        )
    return Handoff(_text(fields, "workflow"), _text(fields, "key"), fields.get("payload"))


def _fields_of(given: object) -> Mapping[str, Any]:
    if isinstance(given, Handoff):
        return msgspec.structs.asdict(given)
    if isinstance(given, Mapping):
        return cast("Mapping[str, Any]", given)
    raise ResultInvalid(
        f"handoff={given!r} is none: give Handoff(workflow, key, payload), or a mapping with these"
    )


def _text(fields: Mapping[str, Any], name: str) -> str:
    if name not in fields:
        raise ResultInvalid(f"handoff.{name}: missing; a hand-off needs a workflow and a key")
    value = fields[name]
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST_TEXT:
        raise ResultInvalid(
            f"handoff.{name}: {value!r:.80} is not a text of 1 to {_LONGEST_TEXT} characters"
        )
    return value
