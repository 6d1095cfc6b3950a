"""R6: nothing is overwritten, and what ended can live again."""

import pytest

from hms_async.storage.replies import Enqueue
from hms_async.testing import ManualClock
from tests.storage.driver import Driver


async def test_r6_enqueue_never_overwrites(driver: Driver) -> None:
    await driver.push("a", body=b'{"payload":1}')
    before = _tasks(driver)

    refused = (await driver.store.enqueue("q", [Enqueue("a", b'{"payload":2}')]))[0]

    assert refused is not None
    assert (refused.word, refused.id, refused.detail) == ("exists", "a", "waiting")
    assert _tasks(driver) == before


def _tasks(driver: Driver) -> dict[str, object]:
    """Everything that is stored but for the counters, which tell of refusals."""
    stored = driver.raw.snapshot().items()
    return {key: content for key, content in stored if "counts" not in key and "stats" not in key}


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

    assert await driver.store.requeue("q", "a") == "ok"

    run = driver.run("a")
    assert (run["state"], run["lane"]) == ("waiting", "express")
    gone = {"attempt", "crashes", "finished", "error", "result", "token", "lost_token"}
    assert not gone & set(run)
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


async def test_a_requeued_task_that_was_cancelled_before_it_was_due_arrives_now(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1h")
    later = clock() + 3_600_000
    await driver.store.enqueue("q", [Enqueue("a", b'{"payload":1}', b'{"delay":3600000}')])
    assert driver.run("a")["arrived"] == str(later)
    await driver.store.cancel("q", "a")

    await driver.store.requeue("q", "a")

    claim = await driver.claim_one()
    assert (claim.arrived_ms, claim.due_ms) == (clock(), clock() + 3_600_000)
