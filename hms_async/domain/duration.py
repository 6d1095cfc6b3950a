"""Durations as people write them, and as the rest of the package counts them."""

import re
from datetime import UTC, datetime, timedelta
from math import inf, nan

from hms_async.errors import DurationInvalid, InstantInvalid

Duration = str | timedelta | int | float
"""What an argument that is a duration takes: "90s", "2h", a `timedelta`, a number of seconds."""

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_WHOLE = re.compile(rf"(?:{_PART.pattern}\s*)+")
LONGEST_MS = 100 * 366 * _UNIT_MS["d"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_ms(value: Duration, *, name: str = "duration", minimum_ms: int = 0) -> int:
    """Return a duration in whole milliseconds.

    Args:
        value: "90s", "1h30m", "2 d", a `timedelta`, or a number of seconds.
        name: What the duration is called where the user wrote it, for the message.
        minimum_ms: The shortest that makes sense there.

    Raises:
        DurationInvalid: If the value is none of these, negative, not finite, shorter than
            the minimum, or longer than a century.
    """
    exact = _read(value)
    if not 0 <= exact < inf:  # false for NaN as well
        raise DurationInvalid(
            f'{name}={value!r} is not a duration: give "90s", "15m", "2h", "1h30m", '
            "a timedelta, or a number of seconds, from 0 on"
        )
    milliseconds = round(exact)
    if milliseconds < minimum_ms:
        raise DurationInvalid(
            f"{name}={value!r} is too short: at least {to_text(minimum_ms)} is needed"
        )
    if milliseconds > LONGEST_MS:
        raise DurationInvalid(f"{name}={value!r} is longer than a century")
    return milliseconds


def _read(value: object) -> float:
    """Return milliseconds; NaN for what is no duration."""
    match value:
        case bool():
            return nan
        case timedelta():
            return value / _MILLISECOND
        case int() | float():
            return value * 1_000
        case str() if _WHOLE.fullmatch(value.strip()):
            return sum(float(number) * _UNIT_MS[unit] for number, unit in _PART.findall(value))
        case _:
            return nan


def to_text(milliseconds: float) -> str:
    """Return a duration for people, in its two largest units: "2h", "1h 30m", "1.2s", "250ms"."""
    if milliseconds < 0:
        return "-" + to_text(-milliseconds)
    if milliseconds < _UNIT_MS["s"]:
        return f"{round(milliseconds)}ms"
    if milliseconds < _UNIT_MS["m"]:
        return f"{milliseconds / 1_000:.1f}".removesuffix(".0") + "s"
    return " ".join(_split(round(milliseconds / 1_000) * 1_000)[:2])


def to_exact_text(milliseconds: int) -> str:
    """Return a duration as `to_ms` reads it back unchanged: "2h", "1h30m5s", "1s250ms"."""
    return "".join(_split(milliseconds)) or "0s"


def _split(milliseconds: int) -> list[str]:
    parts: list[str] = []
    rest = milliseconds
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, _UNIT_MS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return parts


def instant_to_ms(value: datetime, *, name: str) -> int:
    """Return a moment as whole milliseconds since the Unix epoch, rounded down.

    Raises:
        InstantInvalid: If the value is not a `datetime`, or has no time zone: guessing the
            zone would start somebody's task hours off.
    """
    if not isinstance(value, datetime):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InstantInvalid(f"{name}={value!r} is not a datetime")
    if value.utcoffset() is None:
        raise InstantInvalid(
            f"{name}={value!r} has no time zone: give one, such as datetime.now(UTC)"
        )
    return (value - _EPOCH) // _MILLISECOND


def ms_to_instant(milliseconds: int) -> datetime:
    """Return milliseconds since the Unix epoch as a moment in UTC."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def ms_to_rfc3339(milliseconds: int) -> str:
    """Return a moment as RFC 3339 in UTC, such as `2026-11-23T10:00:00.250Z`."""
    return ms_to_instant(milliseconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")
