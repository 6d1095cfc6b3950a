"""A finding: red, amber or green, why, and what to do.

Red: tasks are lost, or promises are broken, now or at the next mishap. Amber: it works, and
somebody should look.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from hms_async.domain.duration import to_text


class Level(StrEnum):
    """How things stand."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


class Finding(msgspec.Struct, frozen=True):
    """What one check has found.

    Attributes:
        check: Its name.
        level: How things stand.
        found: What was found.
        todo: What to do about it, if anything: a line to type, or a place to look.
        queue: Of which queue, if of one.
    """

    check: str
    level: Level
    found: str
    todo: str = ""
    queue: str | None = None


def worst(findings: Sequence[Finding]) -> Level:
    """Return the worst level; green of nothing."""
    order = list(Level)
    return max((one.level for one in findings), key=order.index, default=Level.GREEN)


def tell_refused(check: str, why: str, todo: str = "") -> Finding:
    """Tell that a check could not be made."""
    return Finding(check, Level.AMBER, f"could not be looked at: {why}", todo)


def untold(check: str, what: str) -> Finding:
    """Return that a server keeps something to itself."""
    return Finding(check, Level.AMBER, f"the server does not say {what}", "ACL SETUSER USER +info")


def size(count: int) -> str:
    """Return a number of bytes as people read it."""
    number, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 1_000:  # noqa: PLR2004  # the next unit
            break
        number, unit = number / 1_000, larger
    return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"


def span(ms: int) -> str:
    """Return a length of time as people read it."""
    return to_text(ms // 1_000 * 1_000).replace(" ", "") if ms >= 1_000 else f"{ms}ms"  # noqa: PLR2004  # a second


def many(count: int, noun: str) -> str:
    """Return a number of things."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
