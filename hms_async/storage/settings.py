"""A queue's settings as the fields of its config hash."""

import json
from collections.abc import Mapping
from typing import Any, cast

from hms_async.domain.queue import Queue, QueueSettings
from hms_async.domain.receivers import Receivers
from hms_async.domain.retry import RetryPolicy
from hms_async.domain.sla import Late, Rung

_NUMBERS = (
    "sla_ms",
    "lease_ms",
    "max_crashes",
    "max_depth",
    "max_payload_bytes",
    "window_ms",
    "keep_done_ms",
    "keep_done_max",
    "keep_failed_ms",
    "keep_failed_max",
    "max_wait_ms",
    "run_timeout_ms",
)
_OPTIONAL = ("sla_ms", "max_depth", "max_wait_ms", "run_timeout_ms")


def to_fields(settings: QueueSettings) -> list[str]:
    """Return the settings as field, value, ...; what is not set is an empty string."""
    ladder = [[rung.percent, rung.plus_ms, rung.name, rung.actions] for rung in settings.ladder]
    fields: dict[str, object] = {name: getattr(settings, name) for name in _NUMBERS}
    fields |= {
        "goal": settings.goal,
        "ladder": json.dumps(ladder),
        "late": settings.late,
        "pause_stops_clock": int(settings.pause_stops_clock),
        "webhook": settings.receivers.webhook,
        "webhook_secret": settings.receivers.secret,
        "notify": json.dumps(settings.receivers.notify),
        "max_attempts": settings.retry.max_attempts,
        "base_ms": settings.retry.base_ms,
        "cap_ms": settings.retry.cap_ms,
    }
    return [
        part
        for name, value in fields.items()
        for part in (name, "" if value is None else str(value))
    ]


def from_fields(name: str, fields: Mapping[bytes, bytes]) -> Queue:
    """Return the queue that a config hash describes."""
    text = {key.decode(): value.decode() for key, value in fields.items()}
    # A newer release may say more of a rung; what is known here comes first.
    ladder = cast("list[list[Any]]", json.loads(text.get("ladder") or "[]"))
    defaults = QueueSettings()
    numbers = {
        number: (None if number in _OPTIONAL and not text[number] else int(text[number]))
        for number in _NUMBERS
        if number in text
    }
    settings = QueueSettings(
        **numbers,  # type: ignore[arg-type]  # only the optional ones are ever empty
        goal=_goal(text.get("goal") or str(defaults.goal)),
        ladder=tuple(_rung(*rung) for rung in ladder),
        late=cast("Late", text.get("late", defaults.late)),
        pause_stops_clock=text.get("pause_stops_clock") == "1",
        receivers=Receivers(
            text.get("webhook", ""),
            text.get("webhook_secret", ""),
            tuple(json.loads(text.get("notify") or "[]")),
        ),
        retry=RetryPolicy.from_ms(
            int(text.get("max_attempts", defaults.retry.max_attempts)),
            int(text.get("base_ms", defaults.retry.base_ms)),
            int(text.get("cap_ms", defaults.retry.cap_ms)),
        ),
    )
    return Queue(
        name=name,
        settings=settings,
        version=int(text["version"]),
        paused=text.get("paused") == "1",
        reason=text.get("reason", ""),
        paused_by=text.get("paused_by", ""),
        paused_ms=int(text["paused_ms"]) if text.get("paused_ms") else None,
    )


def _goal(text: str) -> float:
    if not 0 < (goal := float(text)) < 1:
        raise ValueError(f"goal={text}")
    return goal


def _rung(percent: float, plus_ms: int, name: str, actions: object = (), *_: Any) -> Rung:
    known = cast("list[object]", actions) if isinstance(actions, list) else []
    return Rung(percent, plus_ms, name, tuple(map(str, known)))
