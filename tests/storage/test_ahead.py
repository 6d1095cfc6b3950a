"""R15: what was claimed ahead is not charged for a crash that it had no part in."""

import pytest

from hms_async.storage.replies import Exchanged
from hms_async.testing import ManualClock
from tests.storage.driver import Driver


def ids(reply: Exchanged) -> list[str]:
    return [claim.id for claim in reply.claims]


async def crash(driver: Driver, clock: ManualClock) -> dict[str, int]:
    """Fall silent; returns the crashes of all tasks that were pushed as letters."""
    clock.advance("31s")
    await driver.sweep()
    records = {task_id: await driver.store.task(task_id) for task_id in "abcd"}
    return {task_id: record.crashes for task_id, record in records.items() if record}


async def test_r15_a_claim_says_how_many_of_it_are_ahead(driver: Driver) -> None:
    await driver.push("a", "b", "c", "d")

    first = await driver.exchange(want=2, ahead=1)
    second = await driver.exchange(want=2, ahead=2)

    assert (ids(first), first.ahead) == (["a", "b", "c"], 1)
    assert (ids(second), second.ahead) == (["d"], 0)


async def test_r15_what_was_not_started_goes_back_uncounted(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a", "b", "c")
    await driver.exchange(want=1, ahead=2)

    assert await crash(driver, clock) == {"a": 1, "b": 0, "c": 0}

    again = await driver.another("cd").claim(3)
    assert [(claim.id, claim.attempt) for claim in again] == [("a", 2), ("b", 1), ("c", 1)]
    assert (await driver.stats()).totals["rescued"] == 1


async def test_r15_after_the_next_call_of_its_lane_it_may_have_been_started(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a", "b")
    await driver.exchange(want=1, ahead=1)
    await driver.exchange()

    assert await crash(driver, clock) == {"a": 1, "b": 1}


async def test_r15_a_call_of_another_lane_starts_nothing(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a", "b")
    await driver.exchange(want=1, ahead=1)
    await driver.another("ab", lane=7).exchange()

    assert await crash(driver, clock) == {"a": 1, "b": 0}


async def test_r15_the_same_call_again_starts_nothing(driver: Driver, clock: ManualClock) -> None:
    await driver.push("a", "b", "c")
    first = await driver.deliver(want=1, ahead=2, seq=1)
    again = await driver.deliver(want=1, ahead=2, seq=1)

    assert first is not None
    assert again is not None
    assert (again.claims, again.ahead) == (first.claims, 2)
    assert await crash(driver, clock) == {"a": 1, "b": 0, "c": 0}


async def test_r15_nothing_that_has_crashed_is_claimed_ahead(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a")
    await driver.claim_one()
    await driver.push("b", "c")
    await crash(driver, clock)

    one = await driver.exchange(want=0, ahead=2)
    assert ids(one) == []
    two = await driver.exchange(want=1, ahead=2)
    assert (ids(two), two.ahead) == (["a", "b", "c"], 2)


async def test_r15_nothing_is_claimed_ahead_where_one_crash_is_the_end(driver: Driver) -> None:
    await driver.create(max_crashes=1)
    await driver.push("a", "b")

    reply = await driver.exchange(want=1, ahead=1)

    assert (ids(reply), reply.ahead) == (["a"], 0)


async def test_r17_what_was_claimed_ahead_and_is_to_be_cancelled_ends_so(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a", "b")
    await driver.exchange(want=1, ahead=1)
    await driver.store.cancel("q", "b")
    clock.advance("31s")

    swept = await driver.sweep()

    assert [(one.id, one.state) for one in swept.rescued] == [("a", "waiting"), ("b", "cancelled")]


@pytest.mark.parametrize("ahead", [250, 1_000])
async def test_r10_a_call_claims_at_most_250_in_all(driver: Driver, ahead: int) -> None:
    await driver.push(*[f"t{number}" for number in range(300)])

    reply = await driver.exchange(want=10, ahead=ahead)

    assert (len(reply.claims), reply.ahead) == (250, 240)
