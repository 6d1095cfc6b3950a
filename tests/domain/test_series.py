import re
from bisect import bisect_left
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hms_async import storage
from hms_async.domain import histogram
from hms_async.domain.histogram import WAIT_MS, percentile, seen
from hms_async.domain.series import (
    DAY_MS,
    HOUR_MS,
    KEPT_MS,
    MINUTE_MS,
    MOST_POINTS,
    STEPS_MS,
    add_up,
    choose_step,
    fold,
    kept_ms,
)
from hms_async.errors import ConfigInvalid

values = st.lists(st.floats(0, 2 * WAIT_MS[-1]), min_size=1, max_size=60)
shares = st.floats(0, 1)


def bucketed(found: list[float]) -> list[int]:
    buckets = [0] * (len(WAIT_MS) + 1)
    for value in found:
        buckets[bisect_left(WAIT_MS, value)] += 1
    return buckets


@given(values, shares)
def test_a_percentile_lies_in_the_bucket_of_the_true_one(found: list[float], share: float) -> None:
    true = next(value for n, value in enumerate(sorted(found), start=1) if n >= share * len(found))
    told = percentile(bucketed(found), WAIT_MS, share)
    n = bisect_left(WAIT_MS, true)
    if n == len(WAIT_MS):
        assert told == WAIT_MS[-1]
    else:
        assert (WAIT_MS[n - 1] if n else 0) <= told <= WAIT_MS[n]


@given(values, shares, shares)
def test_a_greater_share_needs_no_less(found: list[float], one: float, other: float) -> None:
    few, many = sorted((one, other))
    buckets = bucketed(found)
    assert percentile(buckets, WAIT_MS, few) <= percentile(buckets, WAIT_MS, many)


def test_values_lie_evenly_in_their_bucket() -> None:
    assert percentile([0, 4] + [0] * 18, WAIT_MS, 0.5) == 75
    counts = {"wait:2": 4, "wait:20": 1, "wait:x": 9, "run:2": 7}
    assert seen(counts, "wait", WAIT_MS) == [0, 4] + [0] * 17 + [1]


def test_the_bounds_are_those_of_the_scripts() -> None:
    lua = Path(storage.__file__).parent / "lua/include/histogram.lua"
    for name in ("WAIT_MS", "RUN_MS"):
        (numbers,) = re.findall(rf"local {name} = {{([^}}]*)}}", lua.read_text())
        assert tuple(map(float, numbers.split(","))) == getattr(histogram, name)


@given(st.integers(MINUTE_MS, max(KEPT_MS.values())))
def test_a_step_is_chosen_that_is_kept_and_gives_few_points(span_ms: int) -> None:
    step_ms = choose_step(span_ms)
    assert span_ms <= kept_ms(step_ms)
    assert span_ms / step_ms <= 500


@pytest.mark.parametrize(
    ("span_ms", "step", "why"),
    [
        (401 * DAY_MS, None, "since=401d is longer ago than counters are kept: 400d"),
        (HOUR_MS, "7m", "step='7m' is none of 1m, 5m, 10m, 1h, 6h, 1d"),
        (7 * DAY_MS, "5m", "step='5m' is too fine for since=7d: it is kept for 2d"),
        (400 * DAY_MS, "1h", "step='1h' gives 9600 points, and 3000 is the most"),
    ],
)
def test_what_cannot_be_told_is_refused(span_ms: int, step: str | None, why: str) -> None:
    with pytest.raises(ConfigInvalid, match=re.escape(why)):
        choose_step(span_ms, step)


@settings(deadline=None)  # it makes hundreds of points
@given(
    st.lists(st.tuples(st.integers(0, 6 * HOUR_MS), st.integers(1, 9))), st.sampled_from(STEPS_MS)
)
def test_nothing_is_lost_or_told_twice(found: list[tuple[int, int]], step_ms: int) -> None:
    pieces = [(at_ms, {"done": n, "run:1": n}) for at_ms, n in found]
    points = fold(pieces, 0, 6 * HOUR_MS, step_ms)
    assert sum(point.done for point in points) == sum(n for _, n in found)
    assert sum(point.run.count for point in points if point.run) == sum(n for _, n in found)
    assert [point.at_ms for point in points] == [n * step_ms for n in range(len(points))]
    assert len(points) <= MOST_POINTS
    assert add_up(counts for _, counts in pieces).get("done", 0) == sum(n for _, n in found)
