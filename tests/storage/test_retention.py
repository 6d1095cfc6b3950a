"""I8 and R6: what is forgotten, when, and what is not."""

import pytest

from hms_async.testing import ManualClock
from tests.storage.driver import FAULT, Driver


async def test_r6_prune_forgets_what_is_past_its_age(driver: Driver, clock: ManualClock) -> None:
    await driver.create(keep_done="1h", keep_failed="2h")
    await driver.push("done")
    await driver.settle(await driver.claim_one(), "done")
    await driver.fail("failed")
    await driver.push("cancelled")
    await driver.store.cancel("q", "cancelled")
    ended = ("done", "failed", "cancelled")

    counts = list[int]()
    for duration in ("59m", "2m", "1h"):
        clock.advance(duration)
        counts.append((await driver.store.prune("q"))[0])

    assert counts == [0, 2, 1]
    assert [await driver.store.task(task_id) for task_id in ended] == [None, None, None]
    assert not {key for key in driver.raw.names() if key.startswith("task:")}
    stats = await driver.stats()
    assert (stats.done, stats.failed, stats.cancelled) == (0, 0, 0)


async def test_r6_prune_keeps_the_latest_of_too_many(driver: Driver, clock: ManualClock) -> None:
    await driver.create(keep_done_max=3, keep_failed_max=2)
    for number in range(5):
        clock.advance("1s")
        await driver.fail(f"f{number}")
        await driver.push(f"d{number}")
        await driver.settle(await driver.claim_one(), "done")

    assert await driver.store.prune("q", limit=2) == (4, True)
    assert await driver.store.prune("q", limit=2) == (1, False)

    assert list(driver.zset("done")) == ["d2", "d3", "d4"]
    assert list(driver.zset("failed")) == ["f3", "f4"]
    await driver.stats()


@pytest.mark.parametrize("word", ["done", "fail"])
async def test_r6_prune_spares_a_task_that_ended_at_another_instant_than_its_entry_says(
    driver: Driver, clock: ManualClock, word: str
) -> None:
    await driver.create(keep_failed="1h")
    await driver.fail("a", "b")
    first_end = clock()
    await driver.store.requeue("q", "a")
    clock.advance("59m")
    await driver.settle(await driver.claim_one(), word, body=FAULT)
    driver.raw("ZADD", driver.key("failed"), first_end, "a")
    clock.advance("2m")

    assert (await driver.store.prune("q"))[0] == 1

    assert await driver.state("a") == ("done" if word == "done" else "failed")
    assert await driver.state("b") is None
    await driver.stats()


async def test_r4_what_forgotten_tasks_left_in_a_lane_does_not_come_to_life(
    driver: Driver, clock: ManualClock
) -> None:
    """A long backlog is cancelled, and its tasks are forgotten before a worker comes by."""
    await driver.create(keep_done="1h")
    await driver.push("a", "b", "c", "next")
    for task_id in ("a", "b", "c"):
        await driver.store.cancel("q", task_id)
    clock.advance("2h")
    assert (await driver.store.prune("q"))[0] == 3
    await driver.store.reconcile("q")
    assert (await driver.stats()).waiting == 1

    claims = await driver.claim(10)

    assert [claim.id for claim in claims] == ["next"]
    assert driver.zset("failed") == {}
    assert (await driver.stats()).totals["stale"] == 0


async def test_every_key_of_an_ended_task_goes_with_its_place_among_the_ended(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("done", "failed", "cancelled")
    for claim in await driver.claim(3):
        await driver.settle(claim, "retry", 0 if claim.id != "cancelled" else 9_000, FAULT)
    words = {"done": "done", "failed": "fail"}
    for claim in await driver.claim(3):
        await driver.settle(claim, words[claim.id], body=FAULT)
    await driver.store.cancel("q", "cancelled")
    assert len([key for key in driver.raw.names() if key.startswith("task:")]) == 9
    clock.advance("31d")

    await driver.store.prune("q")

    assert not [key for key in driver.raw.names() if key.startswith("task:")]
    await driver.stats()


async def test_the_counters_of_a_minute_are_kept_for_two_days_whoever_began_them(
    driver: Driver, clock: ManualClock
) -> None:
    for begin in (driver.push("a"), driver.claim_one(), driver.store.cancel("q", "a")):
        await begin
        clock.advance("1m")
    await driver.push("b", "c")
    await driver.push("d")

    minutes = [key for key in driver.raw.names() if ":stats:" in key]

    assert len(minutes) == 3
    assert all(0 < driver.raw("PTTL", key) <= 172_800_000 for key in minutes)
