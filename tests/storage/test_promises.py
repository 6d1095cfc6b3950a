"""The SLA's milestones, by turning the clock: issue 2 (e), I6 and R19's first half."""

from hms_async.storage.store import Store
from hms_async.testing import ManualClock
from tests.storage.driver import FAULT, Driver


async def _sweep_by_three(store_url: str, clock: ManualClock) -> list[tuple[str, float, int, int]]:
    """What three supervisors have to say together: name, percent, late_by, collapsed."""
    said: list[tuple[str, float, int, int]] = []
    for _ in range(3):
        async with Store(store_url, clock=clock) as store:
            swept = await store.sweep("q")
        said += [(rung.name, rung.percent, rung.late_by_ms, rung.collapsed) for rung in swept.rungs]
    return said


async def test_i6_three_supervisors_give_one_warning_and_one_breach(
    driver: Driver, store_url: str, clock: ManualClock
) -> None:
    await driver.create(sla="1s")
    await driver.push("a", corr="CASE")

    clock.advance("0.7s")
    assert await _sweep_by_three(store_url, clock) == []
    clock.advance("0.2s")
    assert await _sweep_by_three(store_url, clock) == [("warn", 80.0, 100, 0)]
    clock.advance("0.2s")
    assert await _sweep_by_three(store_url, clock) == [("breach", 100.0, 100, 0)]
    clock.advance("10m")
    assert await _sweep_by_three(store_url, clock) == []

    events = [event for event in driver.events() if event["type"].startswith("sla.")]
    assert [(event["type"], event["id"], event["corr"]) for event in events] == [
        ("sla.warn", "a", "CASE"),
        ("sla.breach", "a", "CASE"),
    ]
    assert (driver.counts()["sla.warn"], driver.counts()["sla.breach"]) == (1, 1)


async def test_i6_a_first_sweep_after_the_breach_says_only_that_one(
    driver: Driver, store_url: str, clock: ManualClock
) -> None:
    await driver.create(sla="1s")
    await driver.push("a")

    clock.advance("1.1s")

    assert await _sweep_by_three(store_url, clock) == [("breach", 100.0, 100, 1)]
    (event,) = [event for event in driver.events() if event["type"].startswith("sla.")]
    assert (event["late_by"], event["collapsed"], event["percent"]) == ("100", "1", "100")


async def test_i6_the_clock_is_not_moved_by_retries_rescues_or_promotion(
    driver: Driver, store_url: str, clock: ManualClock
) -> None:
    await driver.create(sla="1m", lease="3s")
    arrived = clock()
    await driver.push("a")
    await driver.settle(await driver.claim_one(), "retry", 1_000, FAULT)
    clock.advance("2s")
    await driver.claim_one()
    clock.advance("4s")
    await driver.sweep()

    assert driver.zset("sla") == {"a": arrived + 48_000}
    clock.advance("42s")
    assert await _sweep_by_three(store_url, clock) == [("warn", 80.0, 0, 0)]


async def test_i6_the_clock_of_a_scheduled_task_starts_when_it_is_due(
    driver: Driver, store_url: str, clock: ManualClock
) -> None:
    await driver.create(sla="1s")
    await driver.push("a", delay=60_000)

    clock.advance("60.9s")

    assert await _sweep_by_three(store_url, clock) == [("warn", 80.0, 100, 0)]


async def test_i6_an_ended_task_is_off_the_clock(
    driver: Driver, store_url: str, clock: ManualClock
) -> None:
    await driver.create(sla="1s")
    await driver.push("done", "failed", "cancelled")
    first, second = await driver.claim(2)
    await driver.settle(first, "done")
    await driver.settle(second, "fail", body=FAULT)
    await driver.store.cancel("q", "cancelled")

    assert driver.zset("sla") == {}
    clock.advance("1h")
    assert await _sweep_by_three(store_url, clock) == []


async def test_i6_a_tasks_own_promise_wins_and_met_and_missed_are_counted(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1m")
    await driver.push("slow")
    await driver.push("fast", sla=1_000)
    claims = await driver.claim(2)
    clock.advance("2s")

    for claim in claims:
        await driver.settle(claim, "done")

    counts = driver.counts()
    assert (counts["met"], counts["missed"]) == (1, 1)


async def test_i6_a_ladder_may_have_a_rung_after_the_breach(
    driver: Driver, store_url: str, clock: ManualClock
) -> None:
    await driver.create(sla="1h", ladder=["12.5% early", "100%+15m page"])
    await driver.push("a")

    clock.advance("7m30s")
    assert await _sweep_by_three(store_url, clock) == [("early", 12.5, 0, 0)]
    clock.advance("1h")
    assert await _sweep_by_three(store_url, clock) == []
    clock.advance("7m31s")
    assert await _sweep_by_three(store_url, clock) == [("page", 100.0, 1_000, 0)]


async def test_i6_a_ladder_that_is_changed_does_not_lose_the_breach(
    driver: Driver, store_url: str, clock: ManualClock
) -> None:
    await driver.create(sla="100s", ladder=["50% early", "80% warn", "100% breach"])
    await driver.push("a")
    clock.advance("60s")
    assert await _sweep_by_three(store_url, clock) == [("early", 50.0, 10_000, 0)]
    clock.advance("25s")
    assert await _sweep_by_three(store_url, clock) == [("warn", 80.0, 5_000, 0)]

    await driver.create(sla="100s")
    clock.advance("30s")

    assert await _sweep_by_three(store_url, clock) == [("breach", 100.0, 15_000, 0)]
    clock.advance("10m")
    assert await _sweep_by_three(store_url, clock) == []
