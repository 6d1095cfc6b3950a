from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_async.domain.objective import Kept, percent, read_goal
from hms_async.errors import ConfigInvalid

numbers = st.integers(0, 10**9)
goals = st.floats(0.01, 0.9999)


@pytest.mark.parametrize(
    ("value", "share"),
    [(0.99, 0.99), ("99%", 0.99), ("99.9 %", 0.999), ("0.5", 0.5), ("99.95%", 0.9995)],
)
def test_a_goal_is_a_share_or_percent(value: Any, share: float) -> None:
    assert read_goal(value) == share


@pytest.mark.parametrize(
    "value", [99, 1, "100%", 0, "0%", -0.5, float("nan"), "much", "%", True, None, [0.9]]
)
def test_what_is_no_goal_is_refused_with_what_is(value: Any) -> None:
    with pytest.raises(ConfigInvalid, match=r'is no share of promises: give 0.99 or "99%"'):
        read_goal(value)


@given(st.integers(1, 9_999))
def test_a_goal_in_percent_comes_back_as_it_was_written(basis_points: int) -> None:
    text = f"{basis_points / 100:g}%"
    assert percent(read_goal(text)) == text


@given(goals)
def test_without_a_closed_promise_nothing_is_said(goal: float) -> None:
    none = Kept(0, 0)
    assert (none.ratio, none.burn(goal), none.budget_left(goal)) == (None, None, None)


@given(numbers, numbers, goals)
def test_the_budget_is_used_up_when_the_goal_is_just_met(
    met: int, missed: int, goal: float
) -> None:
    kept = Kept(met, missed)
    left, burn = kept.budget_left(goal), kept.burn(goal)
    if kept.ratio is None or left is None or burn is None:
        assert kept.closed == 0
        return
    assert left == pytest.approx(1 - burn)
    if abs(kept.ratio - goal) > 1e-9:
        assert (left > 0) == (kept.ratio > goal)


def test_a_burn_of_14_4_uses_up_28_days_in_two() -> None:
    kept = Kept(met=856, missed=144)
    assert kept.burn(0.99) == pytest.approx(14.4)
    assert Kept(met=995, missed=5).budget_left(0.99) == pytest.approx(0.5)
