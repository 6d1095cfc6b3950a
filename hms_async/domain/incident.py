"""Trouble of a queue that people are told of once, however many tasks are in it."""

from typing import Literal, cast

import msgspec

from hms_async.domain.sla import Severity

Kind = Literal["sla", "forecast", "delivery"]
KINDS: tuple[Kind, ...] = ("sla", "forecast", "delivery")
"""Late tasks; a breach that is foreseen; messages that no receiver took."""

State = Literal["open", "acknowledged", "resolved"]


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of trouble of a queue, from its first sign until it is over.

    Attributes:
        id: What to deduplicate by; another incident of the kind has another.
        queue: The queue.
        kind: What is wrong; see `KINDS`.
        state: `acknowledged` when somebody said that they are at it.
        severity: How bad it has become.
        first_ms: When it began.
        last_ms: When it last grew.
        count: How often something happened: for `sla`, how many rungs asked for it.
        task_id: A task for an example, if it is about tasks.
        by: Who acknowledged it.
        reason: What they said.
        resolved_ms: When it was over.
    """

    id: str
    queue: str
    kind: Kind
    state: State
    severity: Severity
    first_ms: int
    last_ms: int
    count: int
    task_id: str | None = None
    by: str | None = None
    reason: str | None = None
    resolved_ms: int | None = None

    @property
    def open(self) -> bool:
        """Whether it is not over."""
        return self.state != "resolved"

    @classmethod
    def read(cls, queue: str, fields: dict[str, str]) -> "Incident":
        """Return the incident that a stored record describes."""
        return cls(
            id=fields["id"],
            queue=queue,
            kind=cast("Kind", fields["kind"]),
            state=cast("State", fields["state"]),
            severity=cast("Severity", fields["severity"]),
            first_ms=int(fields["first"]),
            last_ms=int(fields["last"]),
            count=int(fields["count"]),
            task_id=fields.get("task") or None,
            by=fields.get("by"),
            reason=fields.get("reason"),
            resolved_ms=int(fields["resolved"]) if "resolved" in fields else None,
        )
