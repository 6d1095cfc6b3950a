import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_async.domain.duration import (
    instant_to_ms,
    ms_to_instant,
    ms_to_rfc3339,
    to_exact_text,
    to_ms,
    to_text,
)
from hms_async.errors import DurationInvalid, InstantInvalid

DAY_MS = 86_400_000
CENTURY_MS = 100 * 366 * DAY_MS

durations_ms = st.integers(0, CENTURY_MS)
instants = st.datetimes(
    datetime(2, 1, 1),  # noqa: DTZ001  # Hypothesis adds the zone
    datetime(9998, 12, 31),  # noqa: DTZ001
    timezones=st.integers(-1_439, 1_439).map(lambda m: timezone(timedelta(minutes=m))),
)


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [
        ("250ms", 250),
        ("90s", 90_000),
        ("15m", 900_000),
        ("2h", 7_200_000),
        ("2 d", 2 * DAY_MS),
        ("1w", 7 * DAY_MS),
        ("1h30m", 5_400_000),
        ("1h 30m 5s", 5_405_000),
        ("  1.5h ", 5_400_000),
        ("0s", 0),
        (90, 90_000),
        (0.25, 250),
        (0, 0),
        (timedelta(minutes=2, microseconds=400), 120_000),
        ("36600d", CENTURY_MS),
    ],
)
def test_durations_are_read_in_every_form(
    value: str | float | timedelta, milliseconds: int
) -> None:
    assert to_ms(value) == milliseconds


@pytest.mark.parametrize(
    "value",
    [
        *("", "  ", "soon", "90", "-5s", "1h-30m", "1.h", ".5h", "5 minutes", "1h,30m", "1H", "∞"),
        *(-1, -0.001, timedelta(seconds=-1), float("nan"), float("inf"), float("-inf"), 1e308),
        *(True, False, None, b"90s", [90], Decimal(90)),
    ],
)
def test_what_is_no_duration_is_refused_by_name_with_examples(value: Any) -> None:
    with pytest.raises(DurationInvalid) as caught:
        to_ms(value, name="lease")

    assert str(caught.value).startswith(f"lease={value!r} is not a duration")
    assert 'give "90s", "15m", "2h"' in str(caught.value)


def test_a_duration_under_the_minimum_is_refused_with_the_minimum() -> None:
    with pytest.raises(DurationInvalid, match=r"lease='2s' is too short: at least 3s is needed"):
        to_ms("2s", name="lease", minimum_ms=3_000)


@pytest.mark.parametrize("value", ["5228w 5d", 10**400, 3.2e9, timedelta(days=36_601)])
def test_a_duration_over_a_century_is_refused(value: str | float | timedelta) -> None:
    with pytest.raises(DurationInvalid, match="longer than a century"):
        to_ms(value)


@given(durations_ms)
def test_the_exact_text_of_a_duration_reads_back_unchanged(milliseconds: int) -> None:
    assert to_ms(to_exact_text(milliseconds)) == milliseconds


@given(durations_ms)
def test_a_timedelta_and_a_number_of_seconds_mean_the_same(milliseconds: int) -> None:
    assert to_ms(timedelta(milliseconds=milliseconds)) == milliseconds
    assert to_ms(milliseconds / 1_000) == milliseconds


@given(durations_ms)
def test_the_text_for_people_is_near_the_duration(milliseconds: int) -> None:
    assert to_ms(to_text(milliseconds)) == pytest.approx(milliseconds, rel=0.05, abs=0.5)


@given(st.text() | st.text("0123456789.wdhms -+"))
def test_any_text_is_a_duration_or_refused_as_none(text: str) -> None:
    try:
        assert 0 <= to_ms(text) <= CENTURY_MS
    except DurationInvalid as error:
        assert f"duration={text!r}" in str(error)  # noqa: PT017  # either outcome is right


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0ms"),
        (250, "250ms"),
        (1_000, "1s"),
        (1_249, "1.2s"),
        (60_000, "1m"),
        (7_200_000, "2h"),
        (5_430_000, "1h 30m"),
        (DAY_MS + 60_000, "1d 1m"),
        (86_399_999, "1d"),
        (-1_500, "-1.5s"),
    ],
)
def test_people_read_the_two_largest_units(milliseconds: int, text: str) -> None:
    assert to_text(milliseconds) == text


@given(instants)
def test_an_instant_survives_to_the_millisecond(instant: datetime) -> None:
    back = ms_to_instant(instant_to_ms(instant, name="eta"))

    assert back.tzinfo is UTC
    assert timedelta(0) <= instant - back < timedelta(milliseconds=1)


@given(st.integers(0, 253_402_300_799_999))
def test_rfc3339_is_exact_up_to_the_year_9999(milliseconds: int) -> None:
    text = ms_to_rfc3339(milliseconds)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    assert instant_to_ms(datetime.fromisoformat(text), name="eta") == milliseconds


def test_an_instant_is_written_in_utc() -> None:
    assert ms_to_rfc3339(1_795_428_000_250) == "2026-11-23T10:00:00.250Z"


def test_a_datetime_without_time_zone_is_refused_with_advice() -> None:
    with pytest.raises(InstantInvalid, match=r"eta=.* has no time zone: .* datetime.now\(UTC\)"):
        instant_to_ms(datetime(2026, 11, 23), name="eta")  # noqa: DTZ001  # the fault under test


@pytest.mark.parametrize("value", [date(2026, 11, 23), "2026-11-23T10:00:00Z", 1_795_428_000, None])
def test_what_is_no_datetime_is_refused_by_name(value: Any) -> None:
    with pytest.raises(InstantInvalid, match=r"eta=.* is not a datetime"):
        instant_to_ms(value, name="eta")
