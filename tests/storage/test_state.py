"""R4: the record is the truth of a task's state."""

import pytest

from hms_async.domain.task import TaskState
from hms_async.testing import ManualClock
from tests.storage.driver import FAULT, Driver


async def test_r4_a_record_is_born_at_enqueue(driver: Driver, clock: ManualClock) -> None:
    await driver.push("a", corr="CASE-1", prio="high")

    assert driver.run("a") == {
        "state": "waiting",
        "lane": "express",
        "queue": "q",
        "arrived": str(clock()),
        "prio": "high",
        "corr": "CASE-1",
    }


async def test_r4_cancel_leaves_the_entry_and_the_next_claim_drops_it(driver: Driver) -> None:
    await driver.push("a", "b")

    assert await driver.store.cancel("q", "a") == "ok"

    assert driver.lane_of() == ["a", "b"]
    assert (await driver.stats()).waiting == 1
    assert [claim.id for claim in await driver.claim(5)] == ["b"]
    assert driver.lane_of() == []
    assert driver.counts()["stale"] == 0
    await driver.stats()


async def test_r4_bump_leaves_the_entry_and_only_the_express_one_counts(driver: Driver) -> None:
    await driver.push("a", "b")

    assert await driver.store.bump("q", "b") == "ok"
    assert await driver.store.bump("q", "b") == "already"

    assert (await driver.stats()).waiting == 2
    assert [claim.id for claim in await driver.claim(5)] == ["b", "a"]
    stats = await driver.stats()
    assert (stats.waiting, stats.totals["stale"]) == (0, 0)


async def test_r4_an_old_entry_never_wins_over_a_re_entry(driver: Driver) -> None:
    await driver.push("a", "b")
    await driver.store.bump("q", "a")
    claim = await driver.claim_one()
    await driver.settle(claim, "release")
    await driver.store.cancel("q", "a")
    await driver.store.requeue("q", "a")
    await driver.stats()

    claims = await driver.claim(5)

    assert [claim.id for claim in claims] == ["a", "b"]
    await driver.stats()


async def test_r4_the_entry_that_a_bump_left_behind_takes_no_turn(driver: Driver) -> None:
    await driver.push("b", "c")
    await driver.push("e0", "e1", "e2", prio="high")
    await driver.store.bump("q", "b")

    order = [(await driver.claim_one()).id for _ in range(5)]

    assert order == ["e0", "e1", "e2", "c", "b"]


async def test_r4_dropping_is_bounded_and_goes_on_in_the_next_call(driver: Driver) -> None:
    ids = [f"t{number}" for number in range(700)]
    await driver.push(*ids, "last")
    for task_id in ids:
        await driver.store.cancel("q", task_id)

    first = await driver.exchange(want=1)
    second = await driver.exchange(want=1)

    assert (first.claims, first.left) == ([], 701 - 501)
    assert [claim.id for claim in second.claims] == ["last"]
    await driver.stats()


@pytest.mark.parametrize("missing", ["body", "record"])
async def test_r4_an_entry_without_body_or_record_ends_in_failed(
    driver: Driver, missing: str
) -> None:
    await driver.push("a", "b")
    if missing == "body":
        driver.raw("DEL", "task:a")
    else:
        driver.raw("DEL", "task:a:run", "task:a")

    claims = await driver.claim(5)

    assert [claim.id for claim in claims] == ["b"]
    record = await driver.store.task("a")
    assert record is not None
    assert (record.state, record.error and record.error["type"]) == ("failed", "BodyLost")
    assert list(driver.zset("failed")) == ["a"]


async def test_r4_in_progress_without_a_body_runs_on(driver: Driver) -> None:
    await driver.push("a")
    claim = await driver.claim_one()
    driver.raw("DEL", "task:a")

    assert (await driver.settle(claim, "done")).answer == "ok"
    await driver.stats()


async def test_r4_the_same_id_twice_in_a_lane_is_claimed_once(driver: Driver) -> None:
    await driver.push("a", "b")
    driver.raw("RPUSH", driver.key(), "a", "a")

    assert [claim.id for claim in await driver.claim(10)] == ["a", "b"]
    await driver.stats()


async def test_r4_the_id_of_another_queues_task_is_dropped(driver: Driver) -> None:
    other = Driver(driver.store, driver.raw, queue="other")
    await other.create()
    await other.push("theirs")
    driver.raw("RPUSH", driver.key(), "theirs")

    assert await driver.claim(5) == []

    assert [claim.id for claim in await other.claim(5)] == ["theirs"]
    assert driver.counts()["dropped"] == 1
    await driver.stats()
    await other.stats()


async def test_r4_acts_on_a_task_through_another_queue_answer_gone(driver: Driver) -> None:
    other = Driver(driver.store, driver.raw, queue="other")
    await other.create()
    await driver.push("a", "b")
    claim = await driver.claim_one()
    before = driver.raw.snapshot()

    answers = [
        await act("other", "b")
        for act in (driver.store.cancel, driver.store.bump, driver.store.requeue)
    ]
    settled = await other.settle(claim, "done")

    assert [*answers, settled.answer] == ["gone"] * 4
    after = driver.raw.snapshot()
    assert {key: after[key] for key in before} == before


async def test_r4_each_act_answers_the_state_that_forbids_it(driver: Driver) -> None:
    await driver.push("held", "waiting")
    claim = await driver.claim_one()

    assert await driver.store.bump("q", "held") == "in_progress"
    assert await driver.store.requeue("q", "held") == "in_progress"
    assert await driver.store.requeue("q", "waiting") == "waiting"
    await driver.settle(claim, "done")
    assert await driver.store.cancel("q", "held") == "done"
    assert await driver.store.requeue("q", "held") == "done"
    assert await driver.store.cancel("q", "never") == "gone"


@pytest.mark.parametrize("part", ["scheduled", "retry", "inflight"])
async def test_r4_a_task_whose_record_vanished_ends_in_failed_when_it_is_due(
    driver: Driver, clock: ManualClock, part: str
) -> None:
    if part == "scheduled":
        await driver.push("a", delay=1_000)
    else:
        await driver.push("a")
        claim = await driver.claim_one()
        if part == "retry":
            await driver.settle(claim, "retry", 1_000, FAULT)
    driver.raw("DEL", "task:a:run")
    await driver.store.reconcile("q")
    assert list(driver.zset(part)) == ["a"]
    clock.advance("31s")

    await driver.sweep()

    assert await driver.state("a") is TaskState.FAILED
    assert driver.zset(part) == {}
    await driver.stats()
