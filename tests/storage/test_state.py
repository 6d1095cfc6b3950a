"""R4 to R6: the record is the truth, the books balance, nothing is overwritten."""

import pytest

from hms_async.domain.task import TaskState
from hms_async.storage.replies import Enqueue
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

    assert await driver.store.cancel("q", "held") == "in_progress"
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

    await driver.store.sweep("q")

    assert await driver.state("a") is TaskState.FAILED
    assert driver.zset(part) == {}
    await driver.stats()


async def test_r5_what_came_in_is_open_or_has_ended(driver: Driver, clock: ManualClock) -> None:
    await driver.push("done", "failed", "retrying", "held", "waiting", "cancelled", "back")
    await driver.push("scheduled", delay=60_000)
    claims = {claim.id: claim for claim in await driver.claim(4)}
    await driver.settle(claims["done"], "done")
    await driver.settle(claims["failed"], "fail", body=FAULT)
    await driver.settle(claims["retrying"], "retry", 60_000, FAULT)
    await driver.store.cancel("q", "cancelled")
    await driver.store.cancel("q", "back")
    await driver.store.requeue("q", "back")

    stats = await driver.stats()

    assert (stats.waiting, stats.in_progress, stats.scheduled, stats.retrying) == (2, 1, 1, 1)
    assert (stats.done, stats.failed, stats.cancelled, stats.expired) == (1, 1, 1, 0)
    assert (stats.totals["accepted"], stats.totals["requeued"]) == (8, 1)
    assert (stats.open, stats.ended) == (5, 4)
    assert stats.now_ms == clock()


async def test_r5_a_drop_that_was_never_counted_lowers_stale_to_0_at_the_least(
    driver: Driver,
) -> None:
    await driver.push("a")
    await driver.settle(await driver.claim_one(), "done")
    driver.raw("RPUSH", driver.key(), "a", "a")

    assert await driver.claim(5) == []

    assert driver.counts().get("stale", 0) == 0
    await driver.stats()


async def test_r5_reconcile_recounts_what_is_left_behind(driver: Driver) -> None:
    await driver.push("a", "b", "c")
    await driver.store.cancel("q", "b")
    await driver.store.bump("q", "c")
    driver.raw("HSET", driver.key("counts"), "stale", 77)

    assert (await driver.store.reconcile("q"))[0] == 1

    assert driver.counts()["stale"] == 2
    await driver.stats()


async def test_r5_reconcile_takes_away_what_no_record_confirms(driver: Driver) -> None:
    await driver.push("a")
    await driver.push("b", delay=1_000)
    for part in ("inflight", "scheduled", "retry", "sla"):
        driver.raw("ZADD", driver.key(part), 1, "a" if part != "sla" else "ghost")
    before = await driver.stats_unbalanced()

    mended, following = await driver.store.reconcile("q")

    assert before.open == 5
    assert (mended, following) == (4, 0)
    assert (await driver.stats()).open == 2


async def test_r5_reconcile_works_in_bounded_chunks(driver: Driver) -> None:
    await driver.push(*[f"t{number}" for number in range(25)], delay=1_000)

    rank, ranks = 0, list[int]()
    while True:
        mended, rank = await driver.store.reconcile("q", rank, 10)
        assert mended == 0
        ranks.append(rank)
        if not rank:
            break

    assert ranks == [10, 20, 0]


async def test_r6_enqueue_never_overwrites(driver: Driver) -> None:
    await driver.push("a", body=b'{"payload":1}')
    before = driver.raw.snapshot()

    refused = (await driver.store.enqueue("q", [Enqueue("a", b'{"payload":2}')]))[0]

    assert refused is not None
    assert (refused.word, refused.id, refused.detail) == ("exists", "a", "waiting")
    assert driver.raw.snapshot() == before


async def test_r6_an_id_of_another_queue_is_in_use(driver: Driver) -> None:
    other = Driver(driver.store, driver.raw, queue="other")
    await other.create()
    await other.push("a")

    assert await driver.push("a", "b") == ["id_in_use", "created"]


async def test_r6_an_ended_task_still_has_its_id(driver: Driver) -> None:
    await driver.push("a")
    await driver.settle(await driver.claim_one(), "done")

    assert await driver.push("a") == ["exists"]


@pytest.mark.parametrize("state", ["failed", "cancelled"])
async def test_r6_requeue_starts_attempts_and_crashes_anew(driver: Driver, state: str) -> None:
    if state == "failed":
        await driver.fail("a")
    else:
        await driver.push("a")
        await driver.store.cancel("q", "a")
    assert driver.raw("PTTL", "task:a") > 0

    assert await driver.store.requeue("q", "a") == "ok"

    run = driver.run("a")
    assert (run["state"], run["lane"]) == ("waiting", "express")
    gone = {"attempt", "crashes", "finished", "error", "result", "settled_by", "lost_token"}
    assert not gone & set(run)
    assert [driver.raw("PTTL", key) for key in ("task:a", "task:a:run")] == [-1, -1]
    assert driver.zset(state) == {}
    claim = await driver.claim_one()
    assert (claim.attempt, claim.crashes) == (1, 0)
    assert (await driver.stats()).totals["requeued"] == 1


@pytest.mark.parametrize("reset", [False, True])
async def test_r6_the_sla_clock_goes_on_over_a_requeue_unless_asked(
    driver: Driver, clock: ManualClock, *, reset: bool
) -> None:
    await driver.create(sla="1h")
    arrived = clock()
    await driver.fail("a")
    now = clock.advance("10m")

    await driver.store.requeue("q", "a", reset_clock=reset)

    claim = await driver.claim_one()
    start = now if reset else arrived
    assert (claim.arrived_ms, claim.due_ms) == (start, start + 3_600_000)
    assert driver.zset("sla") == {"a": start + 2_880_000}


async def test_r6_requeue_without_a_body_is_refused(driver: Driver) -> None:
    await driver.fail("a")
    driver.raw("DEL", "task:a")

    assert await driver.store.requeue("q", "a") == "body_lost"
    await driver.stats()
