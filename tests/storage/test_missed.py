"""Promises that were broken: what the report is made of, on every kind of server."""

from collections.abc import AsyncGenerator

import pytest

from hms_async import AsyncOMSClient
from hms_async.domain.objective import Kept
from hms_async.domain.time_spent import TimeSpent
from hms_async.errors import ConfigInvalid, QueueNotFound
from hms_async.runtime.objectives import PromiseReport
from hms_async.storage import series
from hms_async.storage.replies import Settle
from hms_async.storage.watching import Miss, read_misses
from hms_async.testing import ManualClock
from tests.storage.driver import FAULT, Driver

MINUTE = 60_000


@pytest.fixture
async def oms(driver: Driver) -> AsyncGenerator[AsyncOMSClient]:
    """A client of the same store; the queue promises an hour."""
    await driver.create(sla="1h", goal="90%")
    async with AsyncOMSClient(store=driver.store) as client:
        yield client


async def _report(oms: AsyncOMSClient) -> PromiseReport:
    (found,) = await oms.sla.report()
    return found


async def _end(driver: Driver, clock: ManualClock, after: str, *ids: str) -> None:
    """Let tasks end that long after their arrival."""
    await driver.push(*ids)
    clock.advance(after)
    claims = await driver.claim(len(ids))
    await driver.exchange(*[Settle(claim.id, claim.token, "done", "", b"1") for claim in claims])


async def test_without_a_closed_promise_nothing_is_claimed(
    oms: AsyncOMSClient, driver: Driver
) -> None:
    await driver.push("open")
    found = await _report(oms)
    assert [window.kept.ratio for window in found.windows] == [None, None, None]
    assert (found.budget_left, [burn.long for burn in found.burns]) == (None, [None, None])
    assert not any(burn.too_fast for burn in found.burns)


async def test_each_span_has_its_own_promises_also_when_they_were_rolled_up(
    oms: AsyncOMSClient, driver: Driver, clock: ManualClock
) -> None:
    await _end(driver, clock, "2h", "x1", "x2", "x3")
    for _ in range(3):
        clock.advance("1d")
        while await series.roll_up(driver.store, "q"):
            pass
    await _end(driver, clock, "1m", *[f"a{n}" for n in range(15)])
    clock.advance("3h")
    await _end(driver, clock, "90m", "late", "later")

    found = await _report(oms)

    assert [(window.length_ms, window.kept) for window in found.windows] == [
        (60 * MINUTE, Kept(0, 2)),
        (24 * 60 * MINUTE, Kept(15, 2)),
        (28 * 24 * 60 * MINUTE, Kept(15, 5)),
    ]
    assert found.budget_left == pytest.approx(1 - 0.25 / 0.1)
    fast, slow = found.burns
    assert [fast.long, fast.short] == pytest.approx([10, 10])
    assert [slow.long, slow.short] == pytest.approx([2 / 17 / 0.1, 10])
    assert not fast.too_fast  # where a tenth may miss, 14.4 times that cannot be
    assert [one.task.id for one in found.worst] == ["x1", "x2", "x3", "late", "later"]


async def test_the_time_of_a_miss_is_told_by_what_it_went_into(
    oms: AsyncOMSClient, driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a", corr="REQ-7")
    clock.advance("10m")
    claim = await driver.claim_one()
    clock.advance("1m")
    await driver.exchange(Settle(claim.id, claim.token, "retry", 20 * MINUTE, FAULT))
    clock.advance("25m")  # five minutes of it in the lane
    await driver.claim_one()
    clock.advance("2m")
    await driver.sweep()
    clock.advance("30m")
    claim = await driver.claim_one()
    clock.advance("4m")
    await driver.settle(claim, "done", "", b"1")

    (missed,) = (await _report(oms)).worst

    assert missed.late_ms == 12 * MINUTE
    assert missed.spent == TimeSpent(
        waited_ms=45 * MINUTE, ran_ms=5 * MINUTE, backed_off_ms=20 * MINUTE, lost_ms=2 * MINUTE
    )


async def test_what_was_requeued_or_forgotten_is_no_miss_to_be_shown(
    oms: AsyncOMSClient, driver: Driver, clock: ManualClock
) -> None:
    await driver.push("again", "gone", "stays")
    clock.advance("2h")
    claims = await driver.claim(3)
    await driver.exchange(*[Settle(claim.id, claim.token, "fail", "", FAULT) for claim in claims])
    await driver.store.requeue("q", "again")
    driver.raw("DEL", "task:gone:run")

    assert [one.task.id for one in (await _report(oms)).worst] == ["stays"]
    assert (await _report(oms)).kept == Kept(0, 3)


async def test_i8_the_latest_thousand_misses_are_known_and_kept_promises_leave_no_trace(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1m")
    await _end(driver, clock, "1s", "kept")
    assert driver.key("missed") not in driver.raw.names()
    for number in range(6):
        await _end(driver, clock, f"{60 + number}s", *[f"t{number}-{n}" for n in range(200)])

    misses = await read_misses(driver.store, "q", 0)

    assert len(misses) == len(driver.zset("missed")) == 1_000
    assert misses[0].late_ms == 5_000
    assert not any(miss.id.startswith("t0") for miss in misses)


async def test_what_expires_in_time_is_missed_by_nothing(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1h")
    await driver.push("a", expires=clock() + MINUTE)
    clock.advance("2m")
    assert await driver.claim() == []
    assert await read_misses(driver.store, "q", 0) == [Miss("a", 0, clock())]


async def test_a_foreign_hand_in_the_index_of_misses_stops_nothing(
    oms: AsyncOMSClient, driver: Driver, clock: ManualClock
) -> None:
    driver.raw("SET", driver.key("missed"), "what")
    await _end(driver, clock, "2h", "a")
    assert await driver.state("a") == "done"
    assert (await _report(oms)).worst == []
    driver.raw("DEL", driver.key("missed"))
    driver.raw("ZADD", driver.key("missed"), clock(), "7", clock(), "x:a", clock(), "5:a b")
    assert (await _report(oms)).worst == []


async def test_the_least_budget_left_comes_first_and_what_promises_nothing_is_left_out(
    oms: AsyncOMSClient, driver: Driver, clock: ManualClock
) -> None:
    await oms.create_queue("plain")
    await oms.create_queue("a-calm", sla="1h")
    await _end(driver, clock, "2h", "late")

    assert [one.queue.name for one in await oms.sla.report()] == ["q", "a-calm"]
    assert [one.queue.name for one in await oms.sla.report(["plain"])] == ["plain"]
    seen = await oms.sla.report(sees=lambda name: name != "q")
    assert [one.queue.name for one in seen] == ["a-calm"]
    with pytest.raises(QueueNotFound):
        await oms.sla.report(["nowhere"])
    with pytest.raises(ConfigInvalid, match="since=500d is longer ago than counters are kept"):
        await oms.sla.report(since="500d")
    with pytest.raises(ConfigInvalid, match="worst=101 is over 100"):
        await oms.sla.report(worst=101)
