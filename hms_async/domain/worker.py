"""A worker, as operators see it."""

from collections.abc import Callable
from datetime import datetime
from typing import Literal

import msgspec

from hms_async.domain.duration import ms_to_instant


class WorkerCard(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a worker that was heard of lately.

    Attributes:
        name: Its name.
        via: `native` for a worker of this package, `rest` for one that comes over HTTP.
        queues: The queues that it serves, or asked for last.
        seen_ms: When it was last heard of; a worker says something every few seconds.
        host: Where it runs, if it said so.
        pid: Its process, if it said so.
        slots: How many tasks it can run at once, if it said so.
        running: How many it runs, if it said so.
        version: Of this package, if it said so; workers over REST do not.
    """

    name: str
    via: Literal["native", "rest"]
    queues: tuple[str, ...]
    seen_ms: int
    host: str | None = None
    pid: int | None = None
    slots: int | None = None
    running: int | None = None
    version: str | None = None

    def visible(self, sees: Callable[[str], bool]) -> "WorkerCard":
        """Return it with those of its queues only that somebody sees."""
        return msgspec.structs.replace(self, queues=tuple(filter(sees, self.queues)))

    @property
    def seen_at(self) -> datetime:
        """When it was last heard of, in UTC."""
        return ms_to_instant(self.seen_ms)
