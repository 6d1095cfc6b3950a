"""Durations as people write them, and as the rest of the package counts them."""

import re
from datetime import UTC, datetime, timedelta

from hms_async.errors import DurationInvalid, InstantInvalid

Duration = str | timedelta | int | float

"""What an argument that is a duration takes: "90s", "2h", a `timedelta`, a number of seconds."""

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_WHOLE = re.compile(rf"(?:{_PART.pattern}\s*)+")
_LONGEST_MS = 100 * 366 * 86_400_000


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
    milliseconds = _read(value, name)
    if milliseconds < minimum_ms:
        raise DurationInvalid(
            f"{name}={value!r} is too short: at least {to_text(minimum_ms)} is needed"
        )
    if milliseconds > _LONGEST_MS:
        raise DurationInvalid(f"{name}={value!r} is longer than a century")
    return milliseconds


def _read(value: Duration, name: str) -> int:
    wrong = DurationInvalid(
        f'{name}={value!r} is not a duration: give "90s", "15m", "2h", "1h30m", '
        "a timedelta, or a number of seconds"
    )
    match value:
        case bool():
            raise wrong
        case timedelta():
            milliseconds = value / timedelta(milliseconds=1)
        case int() | float():
            milliseconds = value * 1_000
        case str():
            if not _WHOLE.fullmatch(value.strip()):
                raise wrong
            milliseconds = sum(
                float(number) * _UNIT_MS[unit] for number, unit in _PART.findall(value)
            )
        case _:  # pyright: ignore[reportUnnecessaryComparison]  # callers without types
            raise wrong
    # The comparison is false for NaN as well.
    if not 0 <= milliseconds < float("inf"):
        raise wrong
    return round(milliseconds)


def to_text(milliseconds: float) -> str:
    """Return a duration for people, in its two largest units: "2h", "1h 30m", "1.2s", "250ms"."""
    if milliseconds < 0:
        return "-" + to_text(-milliseconds)
    if milliseconds < 1_000:
        return f"{round(milliseconds)}ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1_000:.1f}".removesuffix(".0") + "s"
    parts: list[str] = []
    rest = round(milliseconds / 1_000) * 1_000
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, _UNIT_MS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def instant_to_ms(value: datetime, *, name: str) -> int:
    """Return a moment as milliseconds since the Unix epoch.

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
    return round(value.timestamp() * 1_000)


def ms_to_instant(milliseconds: int) -> datetime:
    """Return milliseconds since the Unix epoch as a moment in UTC."""
    return datetime.fromtimestamp(milliseconds / 1_000, UTC)


def ms_to_rfc3339(milliseconds: int) -> str:
    """Return a moment as RFC 3339 in UTC, such as `2026-11-23T10:00:00.250Z`."""
    return ms_to_instant(milliseconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")
