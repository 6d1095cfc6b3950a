"""Who did what to a queue and its tasks, and why."""

from collections.abc import Mapping

import msgspec

from hms_async.errors import ConfigInvalid


class Actor(msgspec.Struct, frozen=True):
    """Whoever acts on queues and tasks: a person, a token, a program.

    Attributes:
        who: Their name, such as `ann@portal-1`.
        via: Which way they came: `client`, `cli`, `rest`, `operation`, `dashboard`.
        reason: Why they act, in their own words.
    """

    who: str
    via: str
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse an actor without a name.

        Raises:
            ConfigInvalid: If `who` or `via` is empty.
        """
        if not (self.who and self.via):
            raise ConfigInvalid(f"{self!r} names nobody: who and via are texts that say something")

    def saying(self, reason: str) -> "Actor":
        """Return this actor with a reason for one act; with its own if that is empty."""
        return msgspec.structs.replace(self, reason=reason) if reason else self


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One act of an operator that changed something.

    Attributes:
        id: Its place in the queue's audit; acts of two queues may have the same.
        at_ms: When it was done, by the server's clock.
        queue: The queue; `None` when it was done to the namespace.
        act: What was done: `configure`, `pause`, `resume`, `cancel`, `requeue`, `run_again`,
            `bump`, `waive`, `acknowledge`, `send_again`, `drop`; of the namespace whatever its acts
            are called.
        task_id: The task, if it was done to one.
        who: Who did it.
        via: Which way they came.
        reason: Why, in their own words.
        fields: What came of it, such as the new `version` of a queue's settings.
    """

    id: str
    at_ms: int
    queue: str | None
    act: str
    task_id: str | None = None
    who: str
    via: str
    reason: str = ""
    fields: Mapping[str, str]


class AuditPage(msgspec.Struct, frozen=True):
    """Some acts of operators.

    Attributes:
        entries: The newest first.
        cursor: What to ask for the next page with; `None` at the end.
    """

    entries: list[AuditEntry]
    cursor: str | None
