"""R16: when nobody has looked for a while, silence is not death; and who was not dead says so."""

import pytest

from hms_async.domain.retry import RetryPolicy
from hms_async.domain.task import TaskState
from hms_async.storage.replies import Settle, Swept
from hms_async.testing import ManualClock
from tests.storage.driver import FAULT, Driver


async def sweep_each_second(driver: Driver, clock: ManualClock, seconds: int) -> list[Swept]:
    """What a supervisor does all the while."""
    swept = list[Swept]()
    for _ in range(seconds):
        clock.advance("1s")
        swept.append(await driver.store.sweep("q"))
    return swept


async def test_r16_a_silent_worker_is_found_dead_within_a_second_of_its_lease(
    driver: Driver, clock: ManualClock
) -> None:
    await sweep_each_second(driver, clock, 12)
    await driver.push("a")
    await driver.claim_one()

    swept = await sweep_each_second(driver, clock, 31)

    assert [len(round_.rescued) for round_ in swept] == [0] * 30 + [1]


@pytest.mark.parametrize("away", ["21s", "20m"])
async def test_r16_after_an_outage_the_living_have_the_time_to_renew(
    driver: Driver, clock: ManualClock, away: str
) -> None:
    await sweep_each_second(driver, clock, 12)
    await driver.push("living", "dead")
    living, _ = await driver.claim(2)
    await sweep_each_second(driver, clock, 15)
    clock.advance(away)  # the server stood still, and so did all clocks of ours

    first = await driver.store.sweep("q")
    assert (first.rescued, first.held_ms) == ([], 11_000)
    await sweep_each_second(driver, clock, 10)
    await driver.store.extend("q", [("living", living.token)])
    swept = await sweep_each_second(driver, clock, 1)

    assert [(one.id, one.crashes) for one in swept[-1].rescued] == [("dead", 1)]
    assert driver.run("living").get("crashes") is None


async def test_r16_a_clock_that_was_set_back_rescues_nobody_at_once(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a")
    await driver.claim_one()
    driver.raw.watch("q", clock() + 3_600_000)
    clock.advance("31s")

    assert (await driver.store.sweep("q")).held_ms == 11_000
    assert len((await sweep_each_second(driver, clock, 11))[-1].rescued) == 1


async def test_r16_rounds_that_are_always_late_rescue_all_the_same(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(lease="3s")
    rescued = list[int]()
    for number in range(4):
        await driver.push(f"t{number}")
        await driver.claim(10)
        clock.advance("10s")
        rescued.append(len((await driver.store.sweep("q")).rescued))

    assert rescued == [0, 2, 0, 4]


async def test_r16_a_hold_begun_under_a_long_lease_ends_with_a_short_one(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(lease="1h")
    assert (await driver.store.sweep("q")).held_ms == 1_201_000
    await driver.create(lease="3s")
    await driver.push("a")
    await driver.claim_one()

    assert len((await sweep_each_second(driver, clock, 4))[-1].rescued) == 1


async def test_r16_a_clock_that_is_set_back_again_and_again_rescues_all_the_same(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(lease="3s")
    await driver.push("a")
    await driver.claim_one()
    rescued = 0
    for number in range(40):
        clock.advance("0.4s")
        now_ms = (await driver.stats()).now_ms
        driver.raw.watch("q", now_ms + 300) if number % 4 == 0 and number < 8 else None
        rescued += len((await driver.store.sweep("q")).rescued)

    assert rescued == 1


async def test_r16_a_crash_that_was_taken_back_counts_for_nothing(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(max_crashes=3, retry=RetryPolicy(max_attempts=2))
    await driver.push("a")
    lost = await driver.claim_one()
    clock.advance("31s")
    await driver.sweep()
    await driver.store.extend("q", [("a", lost.token)])

    again = await driver.another("cd").claim_one()
    assert (await driver.settle(again, "retry", 0, FAULT)).state == "retrying"
    await driver.another("ef").claim_one()
    clock.advance("31s")
    (rescued,) = (await driver.sweep()).rescued
    assert (rescued.state, rescued.crashes) == ("waiting", 1)


async def test_r16_who_was_thought_dead_takes_its_crash_back_once(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a")
    lost = await driver.claim_one()
    clock.advance("31s")
    await driver.sweep()
    assert driver.run("a")["crashes"] == "1"

    for _ in range(2):
        pairs = [("a", lost.token)] * 2
        assert (await driver.store.extend("q", pairs)).lost == {lost.token}
        late = Settle("a", lost.token, "done")
        reply = await driver.exchange(late, late)
        assert [settled.answer for settled in reply.settled] == ["stale", "stale"]
        assert driver.run("a")["crashes"] == "0"

    again = await driver.another("cd").claim_one()
    assert (again.attempt, again.crashes) == (2, 0)


async def test_r16_only_the_last_to_lose_the_lease_takes_a_crash_back(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a")
    first = await driver.claim_one()
    clock.advance("31s")
    await driver.sweep()
    second = await driver.another("cd").claim_one()
    clock.advance("31s")
    await driver.sweep()

    await driver.exchange(Settle("a", first.token, "done"))
    assert driver.run("a")["crashes"] == "2"
    await driver.exchange(Settle("a", second.token, "done"))
    assert driver.run("a")["crashes"] == "1"


async def test_r16_what_has_ended_stays_as_it_is(driver: Driver, clock: ManualClock) -> None:
    await driver.create(max_crashes=1)
    await driver.push("a")
    lost = await driver.claim_one()
    clock.advance("31s")
    await driver.sweep()
    before = driver.run("a")

    await driver.exchange(Settle("a", lost.token, "done"))

    assert driver.run("a") == before
    assert (before["state"], before["crashes"]) == ("failed", "1")


async def test_r16_a_worker_that_lives_but_never_keeps_its_lease_comes_to_an_end(
    driver: Driver, clock: ManualClock
) -> None:
    """A handler that blocks its loop for minutes would else be started for ever."""
    await driver.create(retry=RetryPolicy(max_attempts=3))
    await driver.push("a")
    runs = 0
    while await driver.state("a") is TaskState.WAITING:
        runs += 1
        claim = await driver.claim_one()
        clock.advance("31s")
        await driver.sweep()
        await driver.exchange(Settle("a", claim.token, "done"))

    record = await driver.store.task("a")
    assert record is not None
    assert (record.state, runs) == (TaskState.FAILED, 6)
    assert record.reason == "LeaseLost: lease lost 6 times, 5 of them by workers that live"
    await driver.stats()
