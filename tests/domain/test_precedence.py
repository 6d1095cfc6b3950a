import random
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from hms_async.domain.precedence import BY_AGE_EVERY, Head, goes_by_age, rank
from hms_async.domain.sla import Late

NOW_MS = 1_767_225_600_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
BY_AGE = BY_AGE_EVERY - 1

instants = st.integers(NOW_MS - 3 * HOUR_MS, NOW_MS)
late_words: list[Late] = ["after_others", "run_anyway", "expire"]


def head(arrived_ms: int, promise_ms: int | None, late: Late) -> Head:
    return Head(arrived_ms, None if promise_ms is None else arrived_ms + promise_ms, late)


heads = st.builds(
    head, instants, st.none() | st.integers(1, 4 * HOUR_MS), st.sampled_from(late_words)
)
turns = st.integers(0, 1_000)


def chosen(*candidates: Head, turn: int = 0) -> Head:
    return min(candidates, key=lambda one: rank(one, now_ms=NOW_MS, turn=turn))


def test_the_earliest_due_instant_goes_first_not_the_oldest() -> None:
    old = Head(NOW_MS - HOUR_MS, NOW_MS + HOUR_MS)
    urgent = Head(NOW_MS, NOW_MS + MINUTE_MS)

    assert chosen(old, urgent) is urgent


def test_what_is_late_goes_behind_what_can_be_kept() -> None:
    lost = Head(NOW_MS - HOUR_MS, NOW_MS - 1)
    kept = Head(NOW_MS, NOW_MS + HOUR_MS)

    assert chosen(lost, kept) is kept
    assert chosen(Head(NOW_MS - HOUR_MS, NOW_MS, "after_others"), kept).due_ms == NOW_MS


def test_a_queue_that_runs_late_tasks_anyway_or_ends_them_keeps_its_place() -> None:
    kept = Head(NOW_MS, NOW_MS + HOUR_MS)
    anyway = Head(NOW_MS - HOUR_MS, NOW_MS - 1, "run_anyway")
    ended = Head(NOW_MS - HOUR_MS, NOW_MS - 1, "expire")

    assert chosen(kept, anyway) is anyway
    assert chosen(kept, ended) is ended


def test_a_task_without_a_promise_counts_as_one_of_an_hour() -> None:
    plain = Head(NOW_MS - MINUTE_MS)

    assert chosen(plain, Head(NOW_MS, NOW_MS + HOUR_MS)) is plain
    assert chosen(plain, Head(NOW_MS, NOW_MS + HOUR_MS - 2 * MINUTE_MS)) is not plain
    # After its hour it must not crowd out those to whom something was promised.
    assert chosen(Head(NOW_MS - 2 * HOUR_MS), Head(NOW_MS, NOW_MS + HOUR_MS)).due_ms is not None


def test_of_those_that_are_all_late_the_one_due_first_goes_first() -> None:
    later, earlier = Head(NOW_MS - HOUR_MS, NOW_MS - 1), Head(NOW_MS - HOUR_MS, NOW_MS - 2)

    assert chosen(later, earlier) is earlier


@given(st.lists(heads, min_size=1), turns.filter(lambda turn: turn % BY_AGE_EVERY != BY_AGE))
def test_nobody_who_is_demoted_is_chosen_while_one_can_be_kept(
    candidates: list[Head], turn: int
) -> None:
    best = chosen(*candidates, turn=turn)
    demoted = best.late == "after_others" and (best.due_ms or best.arrived_ms + HOUR_MS) < NOW_MS

    assert not demoted or all(
        (one.due_ms or one.arrived_ms + HOUR_MS) < NOW_MS and one.late == "after_others"
        for one in candidates
    )


@given(st.lists(heads, min_size=1), turns)
def test_one_turn_in_ten_goes_to_the_oldest(candidates: list[Head], start: int) -> None:
    by_age = [
        turn
        for turn in range(start, start + BY_AGE_EVERY)
        if chosen(*candidates, turn=turn).arrived_ms == min(one.arrived_ms for one in candidates)
    ]

    assert by_age


@given(st.lists(st.tuples(st.sampled_from("abc"), heads), min_size=1, max_size=12), turns)
def test_a_task_waits_for_ten_turns_at_most_for_each_that_is_older(
    tasks: list[tuple[str, Head]], start: int
) -> None:
    # Each queue is a line in the order of arrival; a fourth brings urgent work without an end.
    lines = {
        name: deque(sorted((one for of, one in tasks if of == name), key=lambda t: t.arrived_ms))
        for name in "abc"
    }
    left = len(tasks)
    turn = start
    while left:
        urgent = Head(NOW_MS + 1, NOW_MS + 2)
        candidates = [*(line[0] for line in lines.values() if line), urgent]
        best = chosen(*candidates, turn=turn)
        turn += 1
        for line in lines.values():
            if line and line[0] is best:
                line.popleft()
                left -= 1
                break
    assert turn - start <= BY_AGE_EVERY * len(tasks)


def test_under_overload_the_promises_that_can_be_kept_are_kept_and_a_tenth_goes_to_the_late() -> (
    None
):
    dice = random.Random(1)
    late = deque(Head(NOW_MS - HOUR_MS + n, NOW_MS - 1) for n in range(1_000))
    taken = {"late": 0, "fresh": 0}
    for turn in range(1_000):
        fresh = Head(NOW_MS, NOW_MS + dice.randint(1, HOUR_MS))
        best = chosen(late[0], fresh, turn=turn)
        if best is late[0]:
            late.popleft()
        taken["fresh" if best is fresh else "late"] += 1

    assert taken == {"late": 100, "fresh": 900}


def test_what_would_be_done_only_after_its_instant_is_lost_as_well() -> None:
    lost = Head(NOW_MS - HOUR_MS, NOW_MS + 50)

    assert rank(lost, now_ms=NOW_MS, turn=0, run_ms=100)[0]
    assert not rank(lost, now_ms=NOW_MS, turn=0, run_ms=50)[0]


@given(st.lists(heads, min_size=1), turns)
def test_the_first_by_one_key_has_the_smallest_rank_unless_it_goes_behind(
    candidates: list[Head], turn: int
) -> None:
    by_age = goes_by_age(turn)
    first = min(candidates, key=lambda one: one.by_age if by_age else one.by_due)

    def ranked(one: Head) -> tuple[bool, int, int]:
        return rank(one, now_ms=NOW_MS, turn=turn)

    if by_age or not first.goes_behind(NOW_MS):
        assert ranked(first) == min(map(ranked, candidates))
    else:
        assert ranked(first)[0]
