"""What the pages say: lengths of time, numbers and sentences, as the command line says them."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from hms_async.domain.duration import to_text

NOTHING: Final = "–"  # noqa: RUF001  # typography

_SECOND_MS: Final = 1_000


class Clock(NamedTuple):
    """How a promise stands, for eyes and ears."""

    word: str
    style: str


CLOCKS: Final = {
    "breached": Clock("breached", "bad"),
    "at_risk": Clock("at risk", "risk"),
    "paused": Clock("paused", "paused"),
    "on_track": Clock("on track", "ok"),
    "none": Clock("no promise", "none"),
    "met": Clock("met", "ok"),
    "missed": Clock("missed", "bad"),
}


def span(ms: float | None) -> str:
    """Return a length of time without what nobody reads: "1h 31m", "29m", "2s", "-12m"."""
    if ms is None:
        return NOTHING
    if ms < 0:
        return f"-{span(-ms)}"
    return to_text(int(ms) // _SECOND_MS * _SECOND_MS) if ms >= _SECOND_MS else "0s"


def exact_span(ms: float | None) -> str:
    """Return a length of time with what is short, too: "250ms", "1.2s"."""
    return NOTHING if ms is None else to_text(ms)


def number(value: int | None) -> str:
    """Return a whole number with its thousands apart."""
    return NOTHING if value is None else f"{value:,}"


def several(count: int, what: str, whats: str = "") -> str:
    """Return how many of something there are: "1 task", "1,204 tasks"."""
    return f"{count:,} {what if count == 1 else whats or what + 's'}"


def share(value: float | None, digits: int = 1) -> str:
    """Return a share in per cent, never rounded up to all: 99.96 % is not 100 %."""
    if value is None:
        return NOTHING
    scale = 10**digits
    percent = int(value * 100 * scale + 1e-6) / scale
    return f"{percent:.{digits}f}".removesuffix("." + "0" * digits) + "%"


def part(value: float) -> str:
    """Return a part of a whole, in round per cents."""
    return f"{value * 100:.0f}%"


def rate(per_s: float | None) -> str:
    """Return how many there are in a unit of time that makes the number readable."""
    if per_s is None:
        return NOTHING
    if per_s >= 1:
        return f"{per_s:,.0f}/s" if per_s >= 10 else f"{per_s:.1f}/s"  # noqa: PLR2004
    per_min = per_s * 60
    if per_min >= 1 or per_min == 0:
        return f"{per_min:.0f}/min" if per_min >= 10 or per_min == 0 else f"{per_min:.1f}/min"  # noqa: PLR2004
    return f"{per_s * 3_600:.1f}/h"


def listed(names: Sequence[str], most: int = 3) -> str:
    """Return names as a sentence has them: "a, b and c", "a, b and 4 more"."""
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    if len(names) > 1:
        return f"{', '.join(names[:-1])} and {names[-1]}"
    return "".join(names)


def told(text: str) -> str:
    """Return a text as a sentence: it begins with a capital, unless with a name, and has an end."""
    begin = text[:1].upper() if text.partition(" ")[0].isalpha() else text[:1]
    return f"{begin}{text[1:]}{'' if text.endswith(('.', '…', '!', '?')) else '.'}"


def short_id(task_id: str, most: int = 14) -> str:
    """Return an id that fits a row: its begin and end tell it from its neighbours."""
    return task_id if len(task_id) <= most else f"{task_id[:6]}…{task_id[-6:]}"
