"""The clock of a queue: when it starts, stands still and is closed, and what it limits."""

import pytest

from hms_async.domain.task import TaskState
from hms_async.storage import watching
from hms_async.testing import ManualClock
from tests.storage.driver import FAULT, Driver


async def _rungs(driver: Driver) -> list[tuple[str, str, int]]:
    return [(rung.id, rung.name, rung.late_by_ms) for rung in (await driver.sweep()).rungs]


async def test_r18_a_pause_that_stops_the_clock_moves_every_rung_and_rescores_nothing(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="2h")
    await driver.push("a", "b")
    scores = driver.zset("sla")
    clock.advance("1h")
    await driver.store.pause("q", paused=True, reason="the client is asked", stop_clock=True)
    clock.advance("10h")
    assert await _rungs(driver) == []
    stats = await driver.stats()
    assert stats.clock_stopped_ms == clock() - 36_000_000
    assert stats.next_rung_ms is None

    await driver.store.pause("q", paused=False)

    assert driver.zset("sla") == scores
    assert (await driver.stats()).next_rung_ms == clock() + 36 * 60_000
    clock.advance("36m")
    assert await _rungs(driver) == [("a", "warn", 0), ("b", "warn", 0)]
    claim = await driver.claim_one()
    assert claim.due_ms is not None
    assert claim.due_ms - clock() == 24 * 60_000
    clock.advance("24m")
    await driver.settle(claim, "done")
    assert driver.counts()["met"] == 1


async def test_r18_what_arrives_in_or_after_such_a_pause_has_its_whole_promise(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1h")
    await driver.store.pause("q", paused=True, stop_clock=True)
    clock.advance("30m")
    await driver.push("in-the-pause")
    clock.advance("30m")
    await driver.store.pause("q", paused=False)
    await driver.push("after-it")
    clock.advance("48m")

    assert await _rungs(driver) == [("after-it", "warn", 0), ("in-the-pause", "warn", 0)]
    first, second = await driver.claim(2)
    assert {first.due_ms, second.due_ms} == {clock() + 12 * 60_000}


async def test_r18_a_scheduled_task_that_a_pause_came_before_starts_its_clock_when_it_is_due(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1h")
    await driver.push("later", delay=7_200_000)
    await driver.store.pause("q", paused=True, stop_clock=True)
    clock.advance("1h")
    await driver.store.pause("q", paused=False)
    clock.advance("1h")
    assert await _rungs(driver) == []

    clock.advance("48m")
    assert await _rungs(driver) == [("later", "warn", 0)]
    claim = await driver.claim_one()
    assert claim.due_ms == clock() + 12 * 60_000


async def test_a_pause_leaves_the_clock_running_unless_the_queue_or_the_caller_says_otherwise(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1h")
    await driver.store.pause("q", paused=True)
    assert (await driver.stats()).clock_stopped_ms is None
    # A pause that runs on can be told to stop the clock as well.
    assert await driver.store.pause("q", paused=True, stop_clock=True)
    assert (await driver.stats()).clock_stopped_ms == clock()
    await driver.store.pause("q", paused=False)

    await driver.create(sla="1h", pause_stops_clock=True)
    await driver.store.pause("q", paused=True)
    assert (await driver.stats()).clock_stopped_ms == clock()
    assert not await driver.store.pause("q", paused=True)


async def test_a_clock_says_how_many_are_at_risk_and_how_many_are_late(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="10m", ladder=["100%+1h page"])
    await driver.push("a", "b")
    clock.advance("5m")
    await driver.push("c")
    clock.advance("4m")
    await driver.sweep()
    stats = await driver.stats()
    assert (stats.at_risk, stats.breached) == (2, 0)

    clock.advance("2m")
    await driver.sweep()
    stats = await driver.stats()
    assert (stats.at_risk, stats.breached) == (0, 2)

    claim = await driver.claim_one()
    await driver.settle(claim, "done")
    stats = await driver.stats()
    assert (stats.at_risk, stats.breached) == (0, 1)


async def test_a_waived_task_goes_on_without_a_clock(driver: Driver, clock: ManualClock) -> None:
    await driver.create(sla="1m")
    await driver.push("a", corr="CASE")

    assert await driver.store.waive("q", "a", "the citizen agreed") == "ok"
    assert await driver.store.waive("q", "a", "again") == "already"
    assert await driver.store.waive("q", "nobody", "") == "gone"

    clock.advance("1h")
    assert await _rungs(driver) == []
    claim = await driver.claim_one()
    assert claim.due_ms is None
    await driver.settle(claim, "done")
    assert await driver.store.waive("q", "a", "") == "done"
    task = await driver.store.task("a")
    assert task is not None
    assert (task.waived, task.due_ms) == ("the citizen agreed", None)
    counts = driver.counts()
    assert (counts["waived"], counts.get("met"), counts.get("missed")) == (1, None, None)
    (event,) = driver.events("sla.waived")
    assert (event["id"], event["corr"], event["reason"]) == ("a", "CASE", "the citizen agreed")


async def test_a_task_without_a_promise_cannot_be_waived(driver: Driver) -> None:
    await driver.push("a")

    assert await driver.store.waive("q", "a", "") == "no_promise"


async def test_a_task_that_expired_is_never_started(driver: Driver, clock: ManualClock) -> None:
    await driver.create(sla="1h")
    await driver.push("until", expires=clock() + 60_000)
    await driver.push("within", expires_in=60_000)
    await driver.push("other")
    clock.advance("60.001s")

    assert [claim.id for claim in await driver.claim(5)] == ["other"]

    assert await driver.state("until") is TaskState.EXPIRED
    assert await driver.state("within") is TaskState.EXPIRED
    assert {event["id"] for event in driver.events("expired")} == {"until", "within"}
    assert (await driver.stats()).expired == 2
    assert driver.zset("sla").keys() == {"other"}


async def test_a_task_may_start_at_the_very_moment_that_it_expires(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a", expires_in=60_000)
    clock.advance("60s")

    claim = await driver.claim_one()
    clock.advance("1h")

    assert (await driver.settle(claim, "done")).answer == "ok"


async def test_an_expired_task_that_is_requeued_is_run(driver: Driver, clock: ManualClock) -> None:
    await driver.create(sla="1h")
    await driver.push("a", expires_in=1_000)
    clock.advance("2h")
    assert await driver.claim() == []

    assert await driver.store.requeue("q", "a") == "ok"

    claim = await driver.claim_one()
    assert claim.due_ms == clock() + 3_600_000


@pytest.mark.parametrize("whose", ["task", "queue"])
async def test_a_task_that_waited_for_too_long_fails_with_the_reason(
    driver: Driver, clock: ManualClock, whose: str
) -> None:
    await driver.create(max_wait="10s" if whose == "queue" else "1h")
    await driver.push("a", max_wait=10_000 if whose == "task" else None)
    clock.advance("10s")
    claim = await driver.claim_one()
    await driver.settle(claim, "retry", 60_000, FAULT)
    # Each wait for an attempt counts for itself; what is waited on purpose does not count.
    clock.advance("60s")
    claim = await driver.claim_one()
    await driver.settle(claim, "release")

    clock.advance("11s")
    assert await driver.claim() == []

    task = await driver.store.task("a")
    assert task is not None
    assert task.state is TaskState.FAILED
    assert task.reason == "MaxWaitExceeded: waited 11000 ms for an attempt, may wait 10000"


async def test_a_queue_may_let_late_tasks_expire(driver: Driver, clock: ManualClock) -> None:
    await driver.create(sla="1h", late="expire")
    await driver.push("late")
    clock.advance("1h")
    await driver.push("in-time")
    clock.advance("1s")

    assert [claim.id for claim in await driver.claim(2)] == ["in-time"]
    assert await driver.state("late") is TaskState.EXPIRED


async def test_a_lease_is_not_renewed_far_beyond_the_run_timeout(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(lease="30s", run_timeout="1m")
    await driver.push("queues", "own")
    driver.raw("HSET", "task:own:run", "run_timeout", 120_000)
    claims = await driver.claim(2)
    leases = [(claim.id, claim.token) for claim in claims]
    clock.advance("70s")
    assert (await driver.store.extend("q", leases)).lost == frozenset()
    clock.advance("1s")
    lost = (await driver.store.extend("q", leases)).lost

    assert lost == {claim.token for claim in claims if claim.id == "queues"}
    clock.advance("30s")
    assert [rescued.id for rescued in (await driver.sweep()).rescued] == ["queues"]


@pytest.mark.parametrize("field", ["clock_stood", "clock_stopped"])
@pytest.mark.parametrize("value", ["x", "nan", "inf", "-inf", "-5", "1e300"])
async def test_r8_a_clock_that_a_foreign_hand_has_broken_stops_nothing(
    driver: Driver, clock: ManualClock, field: str, value: str
) -> None:
    await driver.create(sla="1m")
    await driver.push("a")
    driver.raw("HSET", driver.key("config"), field, value)
    clock.advance("2m")
    await driver.sweep()
    await driver.push("b")
    clock.advance("2m")
    await driver.sweep()

    assert await driver.state("a") is TaskState.WAITING
    assert len((await driver.store.tasks("q", TaskState.WAITING)).tasks) == 2
    await watching.read_backlog(driver.store, "q")
    assert len(await driver.claim(2)) == 2
    await driver.stats()


async def test_r18_while_the_clock_stands_still_no_breach_is_foreseen(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1h")
    await driver.push("a", "b")
    await driver.store.pause("q", paused=True)
    assert (await watching.read_backlog(driver.store, "q")).predict().misses == 2

    await driver.store.pause("q", paused=True, stop_clock=True)
    clock.advance("10h")

    assert (await watching.read_backlog(driver.store, "q")).predict().misses == 0


@pytest.mark.parametrize("sla", [None, "2h"])
async def test_a_pause_that_stops_the_clock_is_no_wait_for_an_attempt(
    driver: Driver, clock: ManualClock, sla: str | None
) -> None:
    await driver.create(sla=sla, max_wait="1h")
    for name in ("before", "after"):
        await driver.push(name)
        await driver.store.pause("q", paused=True, stop_clock=True)
        clock.advance("10h")
        await driver.store.pause("q", paused=False)
    clock.advance("1h")
    assert [claim.id for claim in await driver.claim(1)] == ["before"]
    clock.advance("1ms")

    assert await driver.claim(1) == []
    assert await driver.state("after") is TaskState.FAILED
    await driver.stats()
