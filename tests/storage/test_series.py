"""Counters over time: whatever has been rolled up by when, the same is read."""

import json
import random

from hms_async.domain.series import DAY_MS, HOUR_MS, MINUTE_MS, TEN_MINUTES_MS, add_up, fold
from hms_async.storage import series
from hms_async.testing import ManualClock
from tests.storage.driver import Driver


def count(driver: Driver, at_ms: int, **counts: int) -> None:
    """Count at some instant, as the scripts do."""
    for name, n in counts.items():
        driver.raw("HINCRBY", driver.key(f"stats:{at_ms // MINUTE_MS}"), name, n)


async def roll_up(driver: Driver) -> int:
    """Roll up all that is over; returns how many calls that took."""
    calls = 1
    while await series.roll_up(driver.store, "q"):
        calls += 1
    return calls


async def _done(driver: Driver, span_ms: int, step_ms: int) -> dict[int, int]:
    """What is read, step by step, where it is not nothing."""
    now_ms, pieces = await series.read_pieces(driver.store, "q", span_ms, step_ms)
    points = fold(pieces, now_ms - span_ms, now_ms, step_ms)
    return {point.at_ms: point.done for point in points if point.done}


async def test_what_is_read_is_what_was_counted_however_much_of_it_was_rolled_up(
    driver: Driver, clock: ManualClock
) -> None:
    draw = random.Random(7)  # a test's choice
    counted: dict[int, int] = {}
    for _ in range(12):
        for _ in range(draw.randrange(4)):
            n = draw.randrange(1, 9)
            counted[clock()] = counted.get(clock(), 0) + n
            count(driver, clock(), done=n)
            clock.advance(draw.randrange(1, 2_000))
        if draw.random() < 0.5:
            await roll_up(driver)
        clock.advance(draw.choice([30, 600, 3_600, 11_000]))
        for step_ms in (MINUTE_MS, 5 * MINUTE_MS, TEN_MINUTES_MS, HOUR_MS, DAY_MS):
            expected: dict[int, int] = {}
            for at_ms, n in counted.items():
                begin_ms = at_ms // step_ms * step_ms
                expected[begin_ms] = expected.get(begin_ms, 0) + n
            assert await _done(driver, 2 * DAY_MS - HOUR_MS, step_ms) == expected


async def test_ten_minutes_outlive_their_minutes_and_hours_these(
    driver: Driver, clock: ManualClock
) -> None:
    began_ms = clock()
    count(driver, began_ms, done=2)
    count(driver, began_ms + 59 * MINUTE_MS, done=3)
    clock.advance("1h")
    await roll_up(driver)
    driver.raw("DEL", *[driver.key(f"stats:{began_ms // MINUTE_MS + n}") for n in (0, 59)])

    assert await _done(driver, HOUR_MS, TEN_MINUTES_MS) == {
        began_ms: 2,
        began_ms + 50 * MINUTE_MS: 3,
    }
    driver.raw("DEL", driver.key(f"stats10m:{began_ms // DAY_MS}"))
    assert await _done(driver, HOUR_MS, HOUR_MS) == {began_ms: 5}
    days = [driver.raw("PTTL", name) / DAY_MS for name in driver.raw.names() if "stats1h" in name]
    assert [round(day) for day in days] == [401]


async def test_i8_a_roll_up_of_days_takes_bounded_steps_and_one_that_is_not_due_a_look(
    driver: Driver, clock: ManualClock
) -> None:
    count(driver, clock(), done=1)
    count(driver, clock() - 3 * DAY_MS, done=9)  # older than minutes are kept

    clock.advance("47h")

    assert await roll_up(driver) == 8  # two days of ten minutes, six hours in each step
    assert await roll_up(driver) == 1
    assert list((await _done(driver, 4 * DAY_MS, HOUR_MS)).values()) == [1]
    rolled = driver.raw("GET", driver.key("rolled"))
    assert int(rolled) == clock() // TEN_MINUTES_MS


async def test_an_hour_whose_rest_nobody_rolled_up_in_time_has_what_there_is(
    driver: Driver, clock: ManualClock
) -> None:
    began_ms = clock()
    count(driver, began_ms, done=4)
    clock.advance("20m")
    await roll_up(driver)
    driver.raw("DEL", driver.key(f"stats:{began_ms // MINUTE_MS}"))

    clock.advance("5d")
    await roll_up(driver)

    assert await _done(driver, 6 * DAY_MS, HOUR_MS) == {began_ms: 4}


async def test_a_roll_up_that_is_done_again_comes_to_the_same(
    driver: Driver, clock: ManualClock
) -> None:
    for minutes in range(0, 150, 7):
        count(driver, clock() + minutes * MINUTE_MS, done=1, missed=2)
    clock.advance("3h")
    await roll_up(driver)
    before = {name: driver.raw.fields(name) for name in _rolled_keys(driver)}

    driver.raw("DEL", driver.key("rolled"))
    await roll_up(driver)

    assert {name: driver.raw.fields(name) for name in _rolled_keys(driver)} == before
    total = add_up(
        json.loads(text)
        for name, fields in before.items()
        for text in fields.values()
        if "1h" in name
    )
    assert total == {"done": 22, "missed": 44}


async def test_a_period_in_which_nothing_was_counted_takes_no_room(
    driver: Driver, clock: ManualClock
) -> None:
    driver.raw("DEL", driver.key(f"stats:{clock() // MINUTE_MS}"))
    clock.advance("1d")
    await roll_up(driver)
    assert _rolled_keys(driver) == set()


async def test_what_a_foreign_hand_has_put_in_the_way_is_passed_over(
    driver: Driver, clock: ManualClock
) -> None:
    minute = clock() // MINUTE_MS
    driver.raw("SET", driver.key(f"stats:{minute + 1}"), "what")
    driver.raw("HSET", driver.key(f"stats:{minute + 2}"), "done", "many", "failed", "1e999")
    driver.raw("HSET", driver.key(f"stats1h:{clock() // DAY_MS}"), "x", "[", "5", "7")
    count(driver, clock() + 3 * MINUTE_MS, done=5)
    clock.advance("1h")
    await roll_up(driver)

    assert sum((await _done(driver, 6 * HOUR_MS, HOUR_MS)).values()) == 5
    assert sum((await _done(driver, 6 * HOUR_MS, MINUTE_MS)).values()) == 5
    driver.raw("DEL", driver.key(f"stats1h:{clock() // DAY_MS}"))
    driver.raw("SET", driver.key(f"stats1h:{clock() // DAY_MS}"), "what")
    clock.advance("1h")
    await roll_up(driver)
    assert await _done(driver, 6 * HOUR_MS, HOUR_MS) == {}


def _rolled_keys(driver: Driver) -> set[str]:
    return {name for name in driver.raw.names() if ":stats10m:" in name or ":stats1h:" in name}
