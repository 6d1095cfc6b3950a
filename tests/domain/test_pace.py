from hypothesis import given
from hypothesis import strategies as st

from hms_async.domain.pace import Pace

SECONDS = st.floats(0, 100)


def pace(*, runs_s: float, trips_s: float) -> Pace:
    steady = Pace()
    for _ in range(100):
        steady.ran(runs_s)
        steady.tripped(trips_s)
    return steady


def test_nothing_is_claimed_ahead_before_runs_are_known() -> None:
    fresh = Pace()
    fresh.tripped(0.05)

    assert fresh.ahead(100) == 0


def test_it_is_twice_what_ends_during_a_round_trip() -> None:
    assert pace(runs_s=0.010, trips_s=0.001).ahead(100) in (19, 20)


def test_handlers_of_a_second_have_nothing_at_hand() -> None:
    assert pace(runs_s=1, trips_s=0.001).ahead(100) == 0


def test_there_is_at_most_one_for_each_slot() -> None:
    assert pace(runs_s=0, trips_s=0.005).ahead(100) == 100


def test_with_one_slot_tasks_start_in_the_order_of_their_claims() -> None:
    assert pace(runs_s=0, trips_s=0.005).ahead(1) == 0


def test_an_outage_is_no_round_trip() -> None:
    assert pace(runs_s=10, trips_s=60).ahead(100) <= 2


def test_what_had_to_wait_too_long_is_not_claimed_again_at_once() -> None:
    steady = pace(runs_s=0, trips_s=0.005)
    steady.forget()

    assert steady.ahead(100) == 0


@given(runs=st.lists(SECONDS), trips=st.lists(SECONDS), slots=st.integers(1, 1_000))
def test_it_is_never_more_than_the_slots(runs: list[float], trips: list[float], slots: int) -> None:
    any_pace = Pace()
    for seconds in runs:
        any_pace.ran(seconds)
    for seconds in trips:
        any_pace.tripped(seconds)

    assert 0 <= any_pace.ahead(slots) <= slots


def test_how_long_a_run_takes_is_told_in_ms_and_is_nothing_as_long_as_it_is_unknown() -> None:
    fresh = Pace()
    assert fresh.run_ms == 0

    fresh.ran(0.25)
    assert fresh.run_ms == 250
