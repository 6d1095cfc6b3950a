from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_async.domain.retry import RetryPolicy
from hms_async.errors import ConfigInvalid, DurationInvalid

waits_ms = st.integers(0, 100 * 366 * 86_400_000)
policies = st.builds(RetryPolicy.from_ms, st.integers(1, 10_000), waits_ms, waits_ms)
attempts = st.integers(1, 10_000)
jitters = st.floats(0, 1, exclude_max=True)


@given(policies, attempts, jitters)
def test_a_delay_is_within_its_bounds(policy: RetryPolicy, used: int, jitter: float) -> None:
    delay_ms = policy.delay_ms(used, jitter)

    assert 0 <= delay_ms <= min(policy.cap_ms, policy.base_ms * 2 ** (used - 1))


@given(policies, attempts, jitters)
def test_delays_grow_with_each_attempt_until_the_cap(
    policy: RetryPolicy, used: int, jitter: float
) -> None:
    assert policy.delay_ms(used, jitter) <= policy.delay_ms(used + 1, jitter) <= policy.cap_ms


@given(policies, attempts, jitters, jitters)
def test_a_larger_draw_never_waits_less(
    policy: RetryPolicy, used: int, one: float, other: float
) -> None:
    smaller, larger = sorted((one, other))

    assert policy.delay_ms(used, smaller) <= policy.delay_ms(used, larger)


def test_the_ceiling_doubles_from_the_base_to_the_cap() -> None:
    policy = RetryPolicy(base="1s", cap="5s")
    almost_one = 1 - 2**-53

    ceilings = [policy.delay_ms(used, almost_one) for used in (1, 2, 3, 4, 1_000_000)]

    assert ceilings == [999, 1_999, 3_999, 4_999, 4_999]


def test_before_the_first_attempt_counts_as_the_first() -> None:
    assert RetryPolicy(base="1s").delay_ms(0, 0.5) == 500


def test_policies_are_equal_when_they_mean_the_same() -> None:
    assert RetryPolicy(base="60s", cap=300) == RetryPolicy(base="1m", cap=timedelta(minutes=5))
    assert RetryPolicy(base="60s") != RetryPolicy(base="61s")
    assert len({RetryPolicy(base=1), RetryPolicy(base="1s")}) == 1


@given(policies)
def test_a_policy_survives_storage(policy: RetryPolicy) -> None:
    stored = (policy.max_attempts, policy.base_ms, policy.cap_ms)

    assert RetryPolicy.from_ms(*stored) == policy


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3", None])
def test_a_limit_that_is_no_count_is_refused(value: Any) -> None:
    with pytest.raises(ConfigInvalid, match=f"max_attempts={value!r} is not a whole number from 1"):
        RetryPolicy(max_attempts=value)


@pytest.mark.parametrize("name", ["base", "cap"])
def test_a_wait_that_is_no_duration_is_refused_by_name(name: str) -> None:
    wrong: dict[str, Any] = {name: "soon"}

    with pytest.raises(DurationInvalid, match=rf"retry\.{name}='soon' is not a duration"):
        RetryPolicy(**wrong)
