"""Who may do what: permissions, the roles that bundle them, and whoever asks."""

import re
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from hms_async.errors import ConfigInvalid, Forbidden, NameInvalid

EVERY_QUEUE = ("*",)
_PATTERN = re.compile(r"[A-Za-z0-9*][A-Za-z0-9._*-]{0,127}")


class Permission(StrEnum):
    """One kind of thing that somebody may do."""

    ENQUEUE = "enqueue"
    """Drop tasks into a queue."""
    WAIT = "wait"
    """Read a task, and wait for its end."""
    WORK = "work"
    """Pop tasks, renew their leases and settle them."""
    VIEW = "view"
    """Read everything but payloads, results and the audit."""
    OPERATE = "operate"
    """Pause, resume, cancel, requeue, bump, waive, acknowledge; operations on many tasks;
    messages that no receiver took."""
    ADMINISTER = "administer"
    """Create, change and delete queues; read the audit."""
    PAYLOAD = "payload"
    """See payloads, results and hand-offs where tasks may be read; no role but admin has it."""


class Role(StrEnum):
    """A bundle of permissions; a token has one or several."""

    PRODUCER = "producer"
    WORKER = "worker"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def permissions(self) -> frozenset[Permission]:
        """What it allows."""
        return _ALLOWED[self]


_ALLOWED = {
    Role.PRODUCER: frozenset({Permission.ENQUEUE, Permission.WAIT}),
    Role.WORKER: frozenset({Permission.WORK}),
    Role.VIEWER: frozenset({Permission.VIEW, Permission.WAIT}),
    Role.OPERATOR: frozenset({Permission.VIEW, Permission.WAIT, Permission.OPERATE}),
    Role.ADMIN: frozenset(Permission),
}


class Principal(msgspec.Struct, frozen=True):
    """Whoever asks, and what they may do.

    Attributes:
        name: What they are called in the audit.
        permissions: What they may do.
        queues: Where: patterns of queue names, as `matches` reads them.
    """

    name: str
    permissions: frozenset[Permission]
    queues: tuple[str, ...] = EVERY_QUEUE

    @property
    def everywhere(self) -> bool:
        """Whether no queue is closed to them; what is not of one queue is for those only."""
        return "*" in self.queues

    def reaches(self, queue: str) -> bool:
        """Return whether a queue is one of theirs."""
        return any(matches(pattern, queue) for pattern in self.queues)

    def sees_payload(self, queue: str) -> bool:
        """Return whether they see what was asked in a queue, and what came of it."""
        return self.may(Permission.PAYLOAD, queue)

    def sees_result(self, queue: str) -> bool:
        """Return whether they see what came of tasks: whoever drops them in waits for that."""
        return self.sees_payload(queue) or self.may(Permission.ENQUEUE, queue)

    def may(self, permission: Permission, queue: str | None = None) -> bool:
        """Return whether they may do something.

        Args:
            permission: What.
            queue: To which queue; `None` asks whether they may do it to any queue at all.
        """
        return permission in self.permissions and (queue is None or self.reaches(queue))

    def require(self, permission: Permission, queue: str | None = None) -> None:
        """Let them pass if they may.

        Raises:
            Forbidden: If not.
        """
        if not self.may(permission, queue):
            raise Forbidden(self.name, permission, queue)

    def require_everywhere(self, permission: Permission) -> None:
        """Let them pass if they may do something to all queues, such as read the audit.

        Raises:
            Forbidden: If not.
        """
        if not (self.everywhere and self.may(permission)):
            raise Forbidden(self.name, permission, "*")


ON_LOOPBACK = Principal("loopback", Role.ADMIN.permissions)
"""A caller on this machine while no token exists."""


def matches(pattern: str, queue: str) -> bool:
    """Return whether a pattern stands for a queue.

    `*` stands for any number of characters, none included; nothing else is special, case counts,
    and the pattern is held against the whole name: `passport.*` is `passport.photo`, but neither
    `passport` nor `my.passport.photo`.
    """
    first, *more = pattern.split("*")
    if not more:
        return pattern == queue
    *middle, last = more
    at, end = len(first), len(queue) - len(last)
    if at > end or not queue.startswith(first) or not queue.endswith(last):
        return False
    for part in middle:  # the first place that fits leaves most to those behind
        found = queue.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def check_patterns(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return patterns of queue names that can be used.

    Raises:
        NameInvalid: If one fits no queue's name, or there is none.
    """
    if isinstance(patterns, str):
        patterns = (patterns,)
    given = tuple(dict.fromkeys(patterns))
    for pattern in given:
        if not _PATTERN.fullmatch(pattern):
            raise NameInvalid(
                f"the queue pattern {pattern!r} is not valid: a queue's name, in which * stands "
                "for any characters, such as passport.*"
            )
    if not given:
        raise NameInvalid("no queue pattern: * stands for every queue")
    return given


def check_roles(roles: Iterable[str]) -> tuple[Role, ...]:
    """Return roles that exist, in the order of their definition.

    Raises:
        ConfigInvalid: If one does not, or there is none.
    """
    if isinstance(roles, str):
        roles = (roles,)
    given = set(roles)
    known = tuple(role for role in Role if role in given)
    if not given or len(known) < len(given):
        wrong = ", ".join(sorted(given - set(known))) or "none"
        raise ConfigInvalid(f"roles={wrong}: give one or several of {', '.join(Role)}")
    return known
