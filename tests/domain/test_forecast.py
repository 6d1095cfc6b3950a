import random
from collections.abc import Callable, Sequence
from heapq import heapreplace
from itertools import accumulate, pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_async.domain.forecast import Forecast, is_news, predict

NOW_MS = 1_767_225_600_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
POINTS = 17

lines = st.lists(st.none() | st.integers(NOW_MS - HOUR_MS, NOW_MS + HOUR_MS), max_size=60)
rates = st.floats(0.001, 1_000)


def sampled(due: Sequence[int | None]) -> list[tuple[int, int | None]]:
    """At most 17 places, evenly along the line, its ends among them."""
    last = len(due) - 1
    steps = min(last, POINTS - 1)
    places = sorted({round(last * step / steps) for step in range(steps + 1)}) if steps else [0]
    return [(place, due[place]) for place in places if due]


def forecast(
    due: Sequence[int | None], served_per_s: float | None, *, running: int = 0, paused: bool = False
) -> Forecast:
    """What is predicted for a line of which all is known that a look would show."""
    return predict(
        now_ms=NOW_MS,
        waiting=len(due),
        running=running,
        served_per_s=served_per_s,
        sample=sampled(due),
        paused=paused,
    )


# What is sure without any reckoning.


@pytest.mark.parametrize("served_per_s", [None, 0.0, 5.0])
@pytest.mark.parametrize("paused", [False, True])
def test_an_empty_line_is_known_to_be_well(served_per_s: float | None, *, paused: bool) -> None:
    told = forecast([], served_per_s, running=3, paused=paused)

    assert told == Forecast(
        at_ms=NOW_MS, confidence="no_backlog", misses=0, drain_ms=0, slots_wanted=0
    )
    assert told.known


def test_without_a_rate_nothing_is_said_and_that_is_not_nought() -> None:
    told = forecast([NOW_MS - 1, NOW_MS + HOUR_MS], None, running=3)

    assert told == Forecast(at_ms=NOW_MS, confidence="unknown_rate")
    assert (told.misses, told.drain_ms, told.slots_wanted) == (None, None, None)
    assert not told.known


@pytest.mark.parametrize(
    ("served_per_s", "paused", "confidence"),
    [(0.0, False, "known"), (0.0, True, "paused"), (50.0, True, "paused"), (None, True, "paused")],
)
def test_where_nothing_is_served_every_promise_is_missed_at_its_due_instant(
    served_per_s: float | None, confidence: str, *, paused: bool
) -> None:
    due = [NOW_MS + HOUR_MS, None, NOW_MS + MINUTE_MS]
    told = forecast(due, served_per_s, running=2, paused=paused)

    assert told.confidence == confidence
    assert told.known
    assert (told.misses, told.first_miss_ms) == (2, NOW_MS + MINUTE_MS)
    assert told.drain_ms == inf
    assert told.slots_wanted is None


def test_a_task_that_ends_at_its_due_instant_is_kept() -> None:
    assert forecast([NOW_MS + 1_000], 1.0).misses == 0
    assert forecast([NOW_MS + 999], 1.0).misses == 1


def test_what_is_late_already_counts() -> None:
    told = forecast([NOW_MS - 5_000, NOW_MS + HOUR_MS], 10.0)

    assert (told.misses, told.first_miss_ms) == (1, NOW_MS - 5_000)


def test_tasks_under_a_lease_are_in_front() -> None:
    assert forecast([NOW_MS + 1_000], 10.0, running=9).misses == 0
    assert forecast([NOW_MS + 1_000], 10.0, running=10).misses == 1


def test_a_queue_without_promises_misses_nothing_and_drains() -> None:
    told = forecast([None] * 100, 10.0, running=10)

    assert (told.misses, told.first_miss_ms, told.drain_ms) == (0, None, 11_000)
    assert told.slots_wanted == 1


def test_a_line_without_a_sample_has_no_promises() -> None:
    told = predict(now_ms=NOW_MS, waiting=5, running=0, served_per_s=1.0, sample=[])

    assert (told.misses, told.drain_ms) == (0, 5_000)


def test_a_sample_that_is_older_than_the_count_does_no_harm() -> None:
    late = NOW_MS - 1
    told = predict(
        now_ms=NOW_MS,
        waiting=5,
        running=0,
        served_per_s=1.0,
        sample=[(1, late), (1, late), (3, late), (9, late)],
    )

    assert told.misses == 5


# What is wanted.


def test_slots_wanted_is_what_is_needed_and_not_what_is_missing() -> None:
    # Five slots serve ten a second, so a task takes half a second: 100 of them in two seconds
    # are 25 at once.
    told = forecast([NOW_MS + 2_000] * 95, 10.0, running=5)

    assert told.slots_wanted == 25


def test_slots_wanted_leaves_out_what_nobody_can_keep() -> None:
    lost, kept = NOW_MS + 400, NOW_MS + HOUR_MS  # a task takes 500 ms

    assert forecast([lost] * 20, 10.0, running=5).slots_wanted == 1
    assert forecast([lost] * 20 + [kept] * 20, 10.0, running=5).slots_wanted == 1


def test_without_a_task_that_runs_nobody_knows_how_long_one_takes() -> None:
    assert forecast([NOW_MS + 2_000] * 95, 10.0).slots_wanted is None


@given(lines.filter(bool), rates, st.integers(1, 50))
def test_as_many_slots_as_are_wanted_keep_all_that_can_be_kept(
    due: list[int | None], served_per_s: float, running: int
) -> None:
    task_ms = running * 1_000 / served_per_s
    in_reach = [at if at is None or at - NOW_MS >= task_ms else None for at in due]
    # Whole figures only: a line of which the sample shows everything.
    in_reach = in_reach[:POINTS]
    told = forecast(in_reach, served_per_s, running=running)

    assert told.slots_wanted is not None
    faster = served_per_s * told.slots_wanted / running * (1 + 1e-9)
    assert forecast(in_reach, faster, running=running).misses == 0
    assert (told.misses == 0) == (told.slots_wanted <= running)
    assert told.slots_wanted <= running + len(in_reach)


# What holds for any line.


@given(lines, rates, st.integers(0, 50))
def test_a_line_that_the_sample_shows_whole_is_judged_exactly(
    due: list[int | None], served_per_s: float, running: int
) -> None:
    due = due[:POINTS]
    told = forecast(due, served_per_s, running=running)
    late = [
        at
        for place, at in enumerate(due)
        if at is not None and at - NOW_MS < (running + place + 1) * 1_000 / served_per_s
    ]

    assert told.misses == len(late)
    assert told.first_miss_ms == min(late, default=None)


@given(lines, rates, rates, st.integers(0, 50), st.integers(0, 50))
def test_faster_service_and_less_in_front_never_miss_more(
    due: list[int | None], rate: float, other_rate: float, running: int, others: int
) -> None:
    slow = forecast(due, min(rate, other_rate), running=max(running, others))
    fast = forecast(due, max(rate, other_rate), running=min(running, others))

    assert slow.misses is not None
    assert fast.misses is not None
    assert fast.misses <= slow.misses
    assert (slow.misses == 0) == (slow.first_miss_ms is None)
    assert (slow.drain_ms or 0) >= (fast.drain_ms or 0)


@given(lines, rates)
def test_misses_are_never_more_than_wait(due: list[int | None], served_per_s: float) -> None:
    told = forecast(due, served_per_s)

    assert told.misses is not None
    assert 0 <= told.misses <= len(due)


# Against a queue that is played through, event by event.


class Look:
    """What a look at a played queue shows, and what became of the tasks that waited then."""

    def __init__(
        self,
        arrivals: Sequence[int],
        promises_ms: Sequence[int],
        *,
        slots: int,
        task_ms: int,
        at_ms: int,
        staggered: bool,
    ) -> None:
        step = task_ms // slots if staggered else 0
        free_at = [NOW_MS + slot * step for slot in range(slots)]
        started: list[int] = []
        for arrived in arrivals:
            started.append(max(free_at[0], arrived))
            heapreplace(free_at, started[-1] + task_ms)
        ended = [at + task_ms for at in started]
        due = [at + promise for at, promise in zip(arrivals, promises_ms, strict=True)]
        there = [n for n, arrived in enumerate(arrivals) if arrived <= at_ms]
        waiting = [n for n in there if started[n] > at_ms]
        self.due = [due[n] for n in waiting]
        self.late = [n for n in waiting if ended[n] > due[n]]
        self.first_miss_ms = min((due[n] for n in self.late), default=None)
        self.drain_ms = max((ended[n] - at_ms for n in waiting), default=0)
        running = [n for n in there if started[n] <= at_ms < ended[n]]
        self.running = len(running)
        self.told = predict(
            now_ms=at_ms,
            waiting=len(waiting),
            running=len(running),
            served_per_s=1_000 * slots / task_ms,
            sample=sampled(self.due),
        )
        places = [place for place, _ in sampled(self.due)]
        ends = [ended[n] for n in waiting]
        # Between two places of the sample: unless all or none there must be late, whatever came
        # between, one cannot know.
        self.doubtful = sum(
            right - left - 1
            for left, right in pairwise(places)
            if not (ends[left] > self.due[right] or ends[right] <= self.due[left])
        )


def even(n: int, gap_ms: int) -> list[int]:
    return [NOW_MS + step * gap_ms for step in range(n)]


def jittered(dice: random.Random, n: int, gap_ms: int) -> list[int]:
    return [NOW_MS + at for at in accumulate(dice.randint(0, 2 * gap_ms) for _ in range(n))]


def flood(dice: random.Random, n: int, gap_ms: int) -> list[int]:
    """A trickle, then half of all at once, then the trickle again."""
    trickle = jittered(dice, n // 2, gap_ms)
    return sorted([*trickle, *[trickle[len(trickle) // 3]] * (n - n // 2)])


def ramp(dice: random.Random, n: int, gap_ms: int) -> list[int]:
    """Arrivals that come faster and faster."""
    gaps = (2 * gap_ms * (n - step) / n * dice.uniform(0.8, 1.2) for step in range(n))
    return [NOW_MS + int(at) for at in accumulate(gaps)]


@pytest.mark.parametrize("seed", range(40))
def test_one_promise_and_even_arrivals_are_predicted_exactly(seed: int) -> None:
    dice = random.Random(seed)
    slots = dice.randint(1, 20)
    step_ms = dice.choice([2, 5, 10, 25, 50])  # one task ends each step
    gap_ms = dice.randint(0, step_ms)
    n = dice.randint(50, 3_000)
    look = Look(
        even(n, gap_ms),
        [dice.randint(1, n * step_ms)] * n,
        slots=slots,
        task_ms=slots * step_ms,
        at_ms=NOW_MS + dice.randint(slots, n) * step_ms,  # as one has just ended
        staggered=True,
    )

    assert look.told.misses == len(look.late)
    assert look.told.first_miss_ms == look.first_miss_ms
    assert look.told.drain_ms == look.drain_ms


@pytest.mark.parametrize("arrivals", [jittered, flood, ramp])
@pytest.mark.parametrize("seed", range(25))
def test_one_promise_and_any_arrivals_are_predicted_within_the_stated_bound(
    seed: int, arrivals: Callable[[random.Random, int, int], list[int]]
) -> None:
    dice = random.Random(seed)
    slots = dice.randint(1, 20)
    task_ms = dice.randint(20, 2_000)
    n = dice.randint(100, 2_000)
    came = arrivals(dice, n, max(1, int(task_ms / slots * dice.uniform(0.2, 1.0))))
    look = Look(
        came,
        [dice.randint(task_ms, came[-1] - NOW_MS + 2 * task_ms)] * n,
        slots=slots,
        task_ms=task_ms,
        at_ms=dice.randint(came[n // 4], came[-1]),
        staggered=False,
    )
    # Slots that all began at once end at once: up to one end each, before or after its time.
    bunched = 2 * slots

    assert look.told.misses is not None
    assert look.told.drain_ms is not None
    assert abs(look.told.misses - len(look.late)) <= look.doubtful + bunched
    assert abs(look.told.drain_ms - look.drain_ms) <= task_ms


def test_mixed_promises_are_right_on_the_average_and_seldom_far_off() -> None:
    errors: list[float] = []
    for seed in range(150):
        dice = random.Random(seed)
        slots, n = dice.randint(1, 10), dice.randint(500, 2_000)
        task_ms = slots * 20
        look = Look(
            jittered(dice, n, 15),
            [dice.choice([1_000, 2 * HOUR_MS]) for _ in range(n)],
            slots=slots,
            task_ms=task_ms,
            at_ms=NOW_MS + n * 15,
            staggered=True,
        )
        assert look.told.misses is not None
        errors.append((look.told.misses - len(look.late)) / len(look.due))

    assert abs(sum(errors) / len(errors)) < 0.02
    assert max(map(abs, errors)) < 0.4  # 17 of a line are few
    assert sum(abs(error) > 0.25 for error in errors) < 8


def test_lanes_that_go_first_do_not_blur_the_rest() -> None:
    # Due instants of two short lanes, later than those of the long one behind them, in which one
    # came each 10 ms while one each 20 ms is served.
    first = [NOW_MS + HOUR_MS + 5, NOW_MS + HOUR_MS]
    due = [*first, *(NOW_MS + 50_000 + 10 * place for place in range(10_000))]
    missed = [at for place, at in enumerate(due) if NOW_MS + (place + 1) * 20 > at]

    told = forecast(due, 50.0)

    assert (told.misses, told.first_miss_ms) == (len(missed), missed[0])


def test_the_warning_comes_long_before_the_first_miss() -> None:
    # 100 a second come, 50 a second are served, a minute is promised. What comes at second t waits
    # for t seconds, so the first to miss comes at second 60, and misses at second 120.
    n = 12_000
    looks = [
        Look(
            even(n, 10),
            [MINUTE_MS] * n,
            slots=1,
            task_ms=20,
            at_ms=NOW_MS + at_s * 1_000,
            staggered=True,
        )
        for at_s in (10, 50, 70, 90)
    ]

    assert [look.told.misses for look in looks] == [len(look.late) for look in looks]
    assert [bool(look.late) for look in looks] == [False, False, True, True]
    leads = [look.told.first_miss_ms - look.told.at_ms for look in looks if look.told.first_miss_ms]
    assert leads[0] > MINUTE_MS / 2


# What is news.


def told(misses: int | None, *, first_s: float | None = None, at_s: float = 0.0) -> Forecast:
    """A forecast of so many misses, the first after so many seconds; they begin in an hour."""
    first = 3_600.0 if first_s is None and misses else first_s
    return Forecast(
        at_ms=NOW_MS + int(at_s * 1_000),
        confidence="unknown_rate" if misses is None else "known",
        misses=misses,
        first_miss_ms=None if first is None else NOW_MS + int(first * 1_000),
    )


@pytest.mark.parametrize(
    ("before", "after", "news"),
    [
        (None, told(0), False),
        (None, told(None), False),
        (None, told(1), True),
        (told(0), told(1), True),
        (told(None), told(1), True),
        (told(100), told(100, at_s=600), False),
        (told(100), told(None, at_s=600), False),
        (told(100), told(199, at_s=1), False),
        (told(100), told(200, at_s=1), True),
        (told(100), told(50, at_s=1), False),
        (told(100), told(50, at_s=60), True),
        (told(100), told(51, at_s=60), False),
        (told(100), told(0, at_s=59), False),
        (told(100), told(0, at_s=60), True),
        (told(100), told(100, first_s=2_881, at_s=1), False),
        (told(100), told(100, first_s=2_879, at_s=1), True),
        (told(100), told(100, first_s=4_321, at_s=1), False),
        (told(100), told(100, first_s=4_321, at_s=60), True),
        (told(100, first_s=20), told(100, first_s=11, at_s=1), False),  # within ten seconds
        (told(100, first_s=20), told(100, first_s=5, at_s=1), True),
        (told(100), told(100, first_s=-5, at_s=1), True),  # long before it was to be
    ],
)
def test_news_is_what_appears_grows_comes_nearer_or_has_gone_for_a_minute(
    before: Forecast | None, after: Forecast, *, news: bool
) -> None:
    assert is_news(before, after) is news


def test_a_predicted_miss_that_comes_to_pass_is_no_news_however_long_it_lasts() -> None:
    before = told(100, first_s=300)

    assert not any(
        is_news(before, told(120, first_s=max(300, at_s - 5), at_s=at_s)) for at_s in range(900)
    )


def test_a_queue_on_the_edge_speaks_twice_a_minute_at_the_most() -> None:
    last: Forecast | None = None
    said: list[int] = []
    for second in range(600):
        now = told(second % 2 * 3, at_s=second)
        if is_news(last, now):
            last = now
            said.append(second)

    assert len(said) <= 21
