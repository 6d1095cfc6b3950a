"""R1 and R2: tokens, and exchanges that are sent again."""

import pytest

from hms_async.storage.replies import Settle, Settled
from hms_async.testing import ManualClock
from tests.storage.driver import FAULT, Driver


async def test_r1_a_token_names_process_lane_number_and_place(driver: Driver) -> None:
    await driver.push("a", "b")

    claims = await driver.claim(2)

    assert [claim.token for claim in claims] == ["ab-0-1.1", "ab-0-1.2"]


async def test_r1_an_empty_token_settles_and_extends_nothing(driver: Driver) -> None:
    await driver.push("held", "waiting")
    await driver.claim_one()

    reply = await driver.exchange(Settle("held", "", "done"), Settle("waiting", "", "done"))

    assert reply.settled == [Settled("stale", "in_progress"), Settled("stale", "waiting")]
    assert (await driver.store.extend("q", [("held", ""), ("waiting", "")])).lost == {""}


async def test_r1_the_token_of_an_attempt_that_was_handed_back_is_worth_nothing(
    driver: Driver,
) -> None:
    other = driver.another("cd")
    await driver.push("a")
    first = await driver.claim_one()
    await driver.settle(first, "release")
    second = await other.claim_one()

    late = await driver.settle(first, "fail", body=FAULT)

    assert (first.attempt, second.attempt) == (1, 1)
    assert late == Settled("already", "in_progress")
    assert await other.settle(second, "done") == Settled("ok", "done")


@pytest.mark.parametrize("word", ["retry", "error", "release"])
async def test_r1_a_token_is_removed_when_its_lease_ends(driver: Driver, word: str) -> None:
    await driver.push("a")
    claim = await driver.claim_one()
    assert driver.run("a")["token"] == claim.token

    await driver.settle(claim, word, 0.5, FAULT)

    assert "token" not in driver.run("a")
    assert driver.run("a")["settled_by"] == claim.token


@pytest.mark.parametrize("word", ["done", "fail"])
async def test_r1_the_token_that_ended_a_task_stays_and_opens_nothing(
    driver: Driver, word: str
) -> None:
    await driver.push("a")
    claim = await driver.claim_one()
    await driver.settle(claim, word, "", FAULT)
    ended = driver.run("a")

    again = await driver.settle(claim, "release")
    extended = await driver.store.extend("q", [("a", claim.token)])

    assert again == Settled("already", ended["state"])
    assert extended.lost == {claim.token}
    assert driver.run("a") == ended
    assert ended["token"] == claim.token


async def test_r1_the_token_that_ended_a_task_is_stale_after_a_requeue(driver: Driver) -> None:
    await driver.push("a")
    claim = await driver.claim_one()
    await driver.settle(claim, "fail", body=FAULT)
    await driver.store.requeue("q", "a")

    assert await driver.settle(claim, "done") == Settled("stale", "waiting")


async def test_r1_a_rescue_removes_the_token_and_remembers_it(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a")
    claim = await driver.claim_one()
    clock.advance("31s")

    await driver.sweep()

    assert "token" not in driver.run("a")
    assert driver.run("a")["lost_token"] == claim.token


async def test_r2_the_same_number_claims_nothing_new(driver: Driver) -> None:
    await driver.push("a", "b", "c")
    first = await driver.deliver(want=2, seq=1)

    again = await driver.deliver(want=2, seq=1)

    assert first is not None
    assert again is not None
    assert (first.verdict, again.verdict) == ("ok", "replayed")
    assert again.claims == first.claims
    assert driver.lane_of() == ["c"]
    await driver.stats()


async def test_r2_a_lost_answer_is_recovered_by_the_same_number_with_want_0(
    driver: Driver,
) -> None:
    await driver.push("a")
    lost = await driver.deliver(want=1, seq=1)

    recovered = await driver.deliver(want=0, seq=1)

    assert lost is not None
    assert recovered is not None
    assert recovered.claims == lost.claims


async def test_r2_a_request_that_never_arrived_claims_nothing_once_it_is_given_up(
    driver: Driver,
) -> None:
    await driver.push("a")

    given_up = await driver.deliver(want=0, seq=1)
    stuck = await driver.deliver(want=1, seq=1)

    assert given_up is not None
    assert stuck is not None
    assert given_up.claims == stuck.claims == []
    assert driver.lane_of() == ["a"]


async def test_r2_a_lower_number_does_nothing(driver: Driver, clock: ManualClock) -> None:
    await driver.push("a", "b", "c")
    claim = await driver.claim_one()
    await driver.claim()
    clock.advance("1s")
    before = driver.raw.snapshot()

    superseded = await driver.deliver(Settle("a", claim.token, "done"), want=5, seq=1)

    assert superseded is None
    assert driver.raw.snapshot() == before


async def test_r2_a_replay_answers_its_settles_again_and_applies_none_twice(
    driver: Driver,
) -> None:
    await driver.push("a", "b")
    claims = await driver.claim(2)
    settles = [Settle("a", claims[0].token, "done"), Settle("b", claims[1].token, "error", 0.5)]
    first = await driver.deliver(*settles, seq=2)

    again = await driver.deliver(*settles, seq=2)

    assert first is not None
    assert again is not None
    assert first.settled == [Settled("ok", "done"), Settled("ok", "retrying")]
    assert again.settled == [Settled("already", "done"), Settled("already", "retrying")]
    assert driver.counts()["done"] == driver.counts()["retried"] == 1
    await driver.stats()


async def test_r2_a_replay_that_arrives_first_does_the_settles(driver: Driver) -> None:
    await driver.push("a")
    claim = await driver.claim_one()

    reply = await driver.deliver(Settle("a", claim.token, "done"), seq=1)

    assert reply is not None
    assert (reply.verdict, reply.settled) == ("replayed", [Settled("ok", "done")])


async def test_r2_a_replay_returns_only_claims_whose_token_still_holds(
    driver: Driver, clock: ManualClock
) -> None:
    other = driver.another("cd")
    await driver.push("done", "taken", "held")
    claims = {claim.id: claim for claim in await driver.claim(3)}
    clock.advance("20s")
    await driver.store.extend("q", [("held", claims["held"].token)])
    await other.deliver(Settle("done", claims["done"].token, "done"), seq=1)
    clock.advance("15s")
    await driver.sweep()
    await other.deliver(want=1, seq=2)

    again = await driver.deliver(want=3, seq=1)

    assert again is not None
    assert again.claims == [claims["held"]]
    assert driver.run("taken")["token"].startswith("cd-")


async def test_r2_a_replay_renews_the_leases_that_it_returns(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a")
    await driver.deliver(want=1, seq=1)
    now = clock.advance("20s")

    await driver.deliver(want=1, seq=1)

    assert driver.zset("inflight") == {"a": now + 30_000}


async def test_r2_lanes_and_processes_count_for_themselves(driver: Driver) -> None:
    await driver.push("a", "b", "c")

    tokens = [
        (await worker.claim_one()).token
        for worker in (driver, driver.another("ab", 1), driver.another("cd"))
    ]

    assert tokens == ["ab-0-1.1", "ab-1-1.1", "cd-0-1.1"]


@pytest.mark.parametrize(("lease_ms", "least_ms"), [(3_000, 60_000), (300_000, 600_000)])
async def test_r2_the_record_of_a_lane_outlives_a_minute_and_two_leases(
    driver: Driver, lease_ms: int, least_ms: int
) -> None:
    await driver.exchange(lease_ms=lease_ms)

    assert least_ms - 5_000 < driver.raw("PTTL", driver.key("lane:ab:0")) <= least_ms
