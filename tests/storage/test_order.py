"""R12 and R14: who is woken, and who comes first."""

from collections.abc import Awaitable, Callable

import pytest

from hms_async.storage.replies import Settle
from hms_async.testing import ManualClock
from tests.storage.driver import FAULT, Driver

Act = Callable[[Driver, ManualClock], Awaitable[object]]


async def _enqueue(driver: Driver, _: ManualClock) -> None:
    await driver.push("new")


async def _promote_by_exchange(driver: Driver, clock: ManualClock) -> None:
    await driver.push("new", delay=60_000)
    driver.take_token()
    clock.advance("61s")
    await driver.another("cd").exchange()


async def _promote_by_sweep(driver: Driver, clock: ManualClock) -> None:
    await driver.push("new", delay=60_000)
    driver.take_token()
    clock.advance("61s")
    await driver.sweep()


async def _retry_due(driver: Driver, clock: ManualClock) -> None:
    await driver.push("new")
    await driver.settle(await driver.claim_one(), "retry", 1_000, FAULT)
    driver.take_token()
    clock.advance("2s")
    await driver.sweep()


async def _reclaim(driver: Driver, clock: ManualClock) -> None:
    await driver.push("new")
    await driver.claim_one()
    driver.take_token()
    clock.advance("31s")
    await driver.sweep()


async def _release(driver: Driver, _: ManualClock) -> None:
    await driver.push("new")
    claim = await driver.claim_one()
    driver.take_token()
    await driver.settle(claim, "release")


async def _requeue(driver: Driver, _: ManualClock) -> None:
    await driver.fail("new")
    driver.take_token()
    await driver.store.requeue("q", "new")


async def _bump(driver: Driver, _: ManualClock) -> None:
    await driver.push("new")
    driver.take_token()
    await driver.store.bump("q", "new")


async def _resume(driver: Driver, _: ManualClock) -> None:
    await driver.push("new")
    await driver.store.pause("q", paused=True)
    driver.take_token()
    await driver.store.pause("q", paused=False)


async def _leave_behind(driver: Driver, _: ManualClock) -> None:
    await driver.push("taken", "new")
    driver.take_token()
    await driver.claim_one()


async def _earliest(driver: Driver, _: ManualClock) -> None:
    await driver.push("later", delay=60_000)
    driver.take_token()
    await driver.push("new", delay=30_000)


async def _lost_token(driver: Driver, _: ManualClock) -> None:
    await driver.push("new")
    driver.take_token()
    await driver.sweep()


@pytest.mark.parametrize(
    "act",
    [
        _enqueue,
        _promote_by_exchange,
        _promote_by_sweep,
        _retry_due,
        _reclaim,
        _release,
        _requeue,
        _bump,
        _resume,
        _leave_behind,
        _earliest,
        _lost_token,
    ],
)
async def test_r12_whatever_puts_an_id_into_a_lane_rings(
    driver: Driver, clock: ManualClock, act: Act
) -> None:
    await act(driver, clock)

    assert await driver.store.wait_for_bell(["q"], 10) == "q"


async def test_r12_the_bell_holds_one_token_however_many_ring(driver: Driver) -> None:
    await driver.push("a")
    await driver.push("b", prio="high")
    await driver.store.bump("q", "a")

    assert driver.take_token()
    assert not driver.take_token()


async def test_r12_a_scheduled_task_that_is_not_the_earliest_wakes_nobody(driver: Driver) -> None:
    await driver.push("first", delay=30_000)
    driver.take_token()

    await driver.push("second", delay=60_000)

    assert not driver.take_token()


async def test_r12_nobody_is_woken_for_a_paused_queue_or_an_empty_one(driver: Driver) -> None:
    await driver.push("a")
    await driver.store.pause("q", paused=True)
    driver.take_token()

    reply = await driver.exchange(want=5)
    await driver.sweep()

    assert (reply.paused, reply.claims, reply.left) == (True, [], 1)
    assert not driver.take_token()
    await driver.store.pause("q", paused=False)
    driver.take_token()
    await driver.claim_one()
    assert not driver.take_token()


async def test_r12_an_exchange_tells_when_the_next_task_is_due(
    driver: Driver, clock: ManualClock
) -> None:
    now = clock()
    assert (await driver.exchange()).next_due_ms is None
    await driver.push("scheduled", delay=60_000)
    await driver.push("a")
    claim = await driver.claim_one()

    reply = await driver.exchange(Settle("a", claim.token, "retry", 1_000, FAULT))

    assert reply.next_due_ms == now + 1_000
    clock.advance("2s")
    assert (await driver.exchange(want=1)).next_due_ms == now + 60_000


async def test_r12_an_exchange_promotes_what_is_due_before_it_claims(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("scheduled", delay=60_000)
    await driver.push("retrying")
    await driver.settle(await driver.claim_one(), "retry", 60_000, FAULT)
    clock.advance("60s")

    claims = await driver.claim(5)

    assert [claim.id for claim in claims] == ["retrying", "scheduled"]
    await driver.stats()


async def test_r12_a_wait_at_several_bells_names_the_one_that_rang(driver: Driver) -> None:
    other = Driver(driver.store, driver.raw, queue="other")
    await other.create()
    await other.push("a")

    assert await driver.store.wait_for_bell(["q", "other"], 10) == "other"
    assert await driver.store.wait_for_bell(["q", "other"], 0.1) is None
    await driver.store.ring("q")
    assert await driver.store.wait_for_bell(["q", "other"], 10) == "q"


async def test_r14_first_in_first_out(driver: Driver) -> None:
    ids = [f"t{number}" for number in range(30)]
    await driver.push(*ids)

    assert [(await driver.claim_one()).id for _ in ids] == ids


async def test_r14_handed_back_tasks_lead_with_the_oldest_first(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("z")
    clock.advance("1s")
    await driver.push("y", "x", "w")
    await driver.push("high", prio="high")
    clock.advance("1s")
    claims = {claim.id: claim for claim in await driver.claim(4)}
    assert "w" not in claims

    await driver.exchange(
        *[Settle(task_id, claims[task_id].token, "release") for task_id in ("x", "high", "z", "y")]
    )

    assert driver.lane_of("express") == ["z", "high", "y", "x"]
    assert (await driver.claim_one()).arrived_ms < clock()


async def test_r14_rescued_tasks_lead_with_the_oldest_first(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("z")
    clock.advance("1s")
    await driver.push("y", "x", "w")
    await driver.claim(2)
    clock.advance("1s")
    await driver.claim(2)
    await driver.push("high", prio="high")
    clock.advance("31s")

    await driver.sweep()

    assert driver.lane_of("express") == ["z", "y", "x", "w", "high"]


async def test_r14_retries_bumped_and_urgent_tasks_queue_up_in_express(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("retrying")
    await driver.settle(await driver.claim_one(), "retry", 1_000, FAULT)
    await driver.push("bumped", "normal")
    await driver.push("urgent", prio="high")
    await driver.push("urgent-later", prio="high", delay=1_000)
    await driver.push("later", delay=1_000)
    await driver.store.bump("q", "bumped")
    clock.advance("1s")

    await driver.sweep()

    assert driver.lane_of("express") == ["urgent", "bumped", "urgent-later", "retrying"]
    assert driver.lane_of() == ["bumped", "normal", "later"]


async def test_r14_a_batch_takes_at_most_three_quarters_from_express(driver: Driver) -> None:
    await driver.push(*[f"n{number}" for number in range(100)])
    await driver.push(*[f"e{number}" for number in range(100)], prio="high")

    claims = await driver.claim(40)

    assert sum(claim.id.startswith("e") for claim in claims) == 30
    assert [claim.id for claim in claims if claim.id.startswith("n")] == [
        f"n{number}" for number in range(10)
    ]


async def test_r14_every_fourth_of_single_claims_is_the_normal_lanes(driver: Driver) -> None:
    await driver.push(*[f"n{number}" for number in range(10)])
    await driver.push(*[f"e{number}" for number in range(10)], prio="high")

    lanes = "".join([(await driver.claim_one()).id[0] for _ in range(12)])

    assert lanes == "eeeneeeneeen"


async def test_r14_a_lane_alone_gives_the_whole_batch(driver: Driver) -> None:
    await driver.push(*[f"e{number}" for number in range(20)], prio="high")

    assert len(await driver.claim(20)) == 20


async def test_r14_what_two_lanes_claimed_in_one_instant_goes_back_in_the_order_of_the_claims(
    driver: Driver,
) -> None:
    ids = ["d", "a", "c", "b"]
    await driver.push(*ids)
    other = driver.another("ab", lane=7)
    claims = [await one.claim_one() for one in (driver, other, driver, other)]

    await driver.exchange(*[Settle(one.id, one.token, "release") for one in reversed(claims)])

    assert driver.lane_of("express") == ids
