"""R17: a task that a worker holds is cancelled by asking its holder."""

import pytest

from hms_async.domain.task import TaskState
from hms_async.storage.replies import Extended, Settled
from hms_async.testing import ManualClock
from tests.storage.driver import FAULT, Driver


async def test_r17_its_holder_hears_of_it_with_each_exchange_and_extend(driver: Driver) -> None:
    other = driver.another("cd")
    await driver.push("a", "b", "c")
    first, second = await driver.claim(2)
    await other.claim_one()

    assert await driver.store.cancel("q", "a") == "asked"
    assert await driver.store.cancel("q", "a") == "asked"

    for _ in range(2):
        assert (await driver.exchange()).cancelling == {first.token}
    assert (await other.exchange()).cancelling == frozenset()
    # Another lane of the same process is told as well.
    assert (await driver.another("ab", lane=7).exchange()).cancelling == {first.token}
    extended = await driver.store.extend("q", [("a", first.token), ("b", second.token)])
    assert extended == Extended(frozenset(), frozenset({first.token}))
    assert [event["id"] for event in driver.events("cancelling")] == ["a"]


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("done", "done"),
        ("fail", "failed"),
        ("release", "cancelled"),
        ("retry", "cancelled"),
        ("error", "cancelled"),
    ],
)
async def test_r17_only_an_end_of_its_own_comes_before_it(
    driver: Driver, word: str, state: str
) -> None:
    await driver.push("a")
    claim = await driver.claim_one()
    await driver.store.cancel("q", "a")

    assert await driver.settle(claim, word, 0, FAULT) == Settled("ok", state)

    assert (await driver.exchange()).cancelling == frozenset()
    assert await driver.settle(claim, word, 0, FAULT) == Settled("already", state)
    record = await driver.store.task("a")
    assert record is not None
    assert record.state == state
    assert record.cancel_asked_ms is not None
    stats = await driver.stats()
    assert (stats.open, stats.totals[state]) == (0, 1)


async def test_r17_a_holder_that_died_cancels_it(driver: Driver, clock: ManualClock) -> None:
    await driver.push("a")
    claim = await driver.claim_one()
    await driver.store.cancel("q", "a")
    clock.advance("31s")

    (rescued,) = (await driver.sweep()).rescued

    assert rescued.state == "cancelled"
    assert (await driver.exchange()).cancelling == frozenset()
    assert await driver.settle(claim, "done") == Settled("stale", "cancelled")
    assert (await driver.stats()).cancelled == 1


async def test_r17_a_requeue_forgets_that_it_was_to_be_cancelled(driver: Driver) -> None:
    await driver.push("a")
    claim = await driver.claim_one()
    await driver.store.cancel("q", "a")
    await driver.settle(claim, "release")
    assert await driver.store.requeue("q", "a") == "ok"

    again = await driver.claim_one()
    assert (await driver.exchange()).cancelling == frozenset()
    assert await driver.settle(again, "retry", 1_000, FAULT) == Settled("ok", "retrying")
    assert await driver.state("a") is TaskState.RETRYING
