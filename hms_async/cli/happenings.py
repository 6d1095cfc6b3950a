"""Events as lines, for people and for programs."""

from typing import Any

import msgspec

from hms_async.api import documents
from hms_async.cli import show
from hms_async.domain.event import Event
from hms_async.telemetry import text


def as_line(event: Event) -> str:
    """Return an event as a line for people."""
    what = event.message or event.fields.get("reason") or show.NONE
    about = [show.clock_time(at_ms(event)), event.type, event.queue]
    about += [event.task_id or show.NONE, event.correlation_id or show.NONE, show.short(what, 200)]
    return "  ".join(map(text.clean, about))


def as_json(event: Event, schema: str) -> str:
    """Return an event as one JSON object on a line."""
    document: dict[str, Any] = msgspec.structs.asdict(documents.Event.of(event))
    return text.to_json(
        {"schema": f"hms.{schema}/v1", "at": documents.instant(at_ms(event)), **document}
    )


def at_ms(event: Event) -> int:
    """Return when an event happened."""
    return int(event.id.partition("-")[0])
