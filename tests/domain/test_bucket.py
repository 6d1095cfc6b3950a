import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_async.domain.bucket import Bucket

STEPS = st.lists(st.floats(0, 3), max_size=60)


def test_a_full_bucket_lets_a_burst_pass_and_then_its_rate() -> None:
    bucket = Bucket(10, 20)
    assert [bucket.take(5.0) for _ in range(20)] == [0.0] * 20
    assert bucket.take(5.0) == pytest.approx(0.1)
    assert bucket.take(5.05) == pytest.approx(0.05)
    assert bucket.take(5.1001) == 0.0
    assert bucket.take(5.1001) > 0


@given(STEPS, st.integers(1, 5), st.integers(1, 10))
def test_no_span_of_time_has_more_than_its_burst_and_its_rate(
    steps: list[float], rate: int, burst: int
) -> None:
    bucket, now, passed = Bucket(rate, burst), 0.0, list[float]()
    for step in steps:
        now += step
        if bucket.take(now) == 0.0:
            passed.append(now)
    for first, start in enumerate(passed):
        for last in range(first, len(passed)):
            allowed = burst + rate * (passed[last] - start)
            assert last - first + 1 <= allowed + 1e-6


@given(STEPS, st.integers(1, 5))
def test_whoever_waits_as_told_is_let_in(steps: list[float], rate: int) -> None:
    bucket, now = Bucket(rate, 2 * rate), 0.0
    for step in steps:
        now += step
        wait = bucket.take(now)
        if wait:
            assert 0 < wait <= 1 / rate + 1e-6
            now += wait + 1e-6
            assert bucket.take(now) == 0.0
