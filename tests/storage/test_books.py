"""R5: the books balance, also over what foreign hands push."""

import pytest

from hms_async.storage import codec
from hms_async.testing import ManualClock
from tests.storage.driver import FAULT, Driver


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


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (b"\xff\xfe\x00garbage", "neither"),
        (b"", "neither"),
        (b"two words", "neither"),
        (b"x" * 129, "neither"),
        (b"[1,2]", "neither"),
        (b'{"id":"a","payload":', "not a JSON object"),
        (b"{" * 5_000, "not a JSON object"),
        (b'{"v":2,"id":"a","payload":1}', "version"),
        (b'{"id":"a"}', "payload"),
    ],
)
async def test_r5_an_unreadable_entry_ends_in_failed_with_its_bytes(
    driver: Driver, entry: bytes, reason: str
) -> None:
    driver.raw("RPUSH", driver.key(), entry)
    await driver.push("next")

    assert [claim.id for claim in await driver.claim(5)] == ["next"]

    (failed,) = driver.zset("failed")
    record = await driver.store.task(failed)
    assert record is not None
    assert driver.raw.string(f"task:{failed}") == entry
    assert reason in record.reason
    stats = await driver.stats()
    assert (stats.totals["adopted"], stats.totals["failed"]) == (1, 1)


@pytest.mark.parametrize(
    ("entry", "task_id"),
    [
        (b'{"id":"REQ-1","payload":{"a":1},"correlation_id":"CASE"}', "REQ-1"),
        (b'  {"id":"REQ-1","payload":null,"correlation_id":"CASE","v":1}', "REQ-1"),
        (b'{"payload":1,"correlation_id":"CASE"}', "ab-0-1.x1"),
        (b'{"id":"two words","payload":1,"correlation_id":"CASE"}', "ab-0-1.x1"),
        (b'{"id":7,"payload":1,"correlation_id":"CASE"}', "ab-0-1.x1"),
    ],
)
async def test_r5_a_raw_json_object_is_adopted_and_its_clock_starts(
    driver: Driver, clock: ManualClock, entry: bytes, task_id: str
) -> None:
    await driver.create(sla="1m")
    driver.raw("RPUSH", driver.key(), entry)

    (claim,) = await driver.claim(5)

    assert (claim.id, claim.body, claim.attempt) == (task_id, entry, 1)
    assert (claim.arrived_ms, claim.due_ms) == (clock(), clock() + 60_000)
    assert driver.zset("sla") == {task_id: clock() + 48_000}
    assert codec.decode_envelope(claim.body).correlation_id == driver.run(task_id)["corr"] == "CASE"
    await driver.settle(claim, "done")
    stats = await driver.stats()
    assert (stats.totals["adopted"], stats.done) == (1, 1)


async def test_r5_a_raw_json_object_with_an_id_that_exists_is_dropped_and_counted(
    driver: Driver,
) -> None:
    await driver.push("a")
    driver.raw("RPUSH", driver.key(), b'{"id":"a","payload":2}', b'{"id":"b","payload":2}')
    driver.raw("RPUSH", driver.key(), b'{"id":"b","payload":3}')

    assert [claim.id for claim in await driver.claim(5)] == ["a", "b"]

    totals = (await driver.stats()).totals
    assert (totals["dropped"], totals["adopted"]) == (2, 1)
