"""R3: how a lease ends, and how it does not."""

from hms_async.storage.renewal import LeaseRenewer
from hms_async.storage.replies import Settle, Settled
from hms_async.testing import ManualClock
from tests.storage.driver import Driver


async def test_r3_a_late_settle_counts_while_nobody_has_reclaimed(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a")
    claim = await driver.claim_one()
    clock.advance("1h")

    assert await driver.settle(claim, "done") == Settled("ok", "done")
    await driver.stats()


async def test_r3_a_late_extend_counts_while_nobody_has_reclaimed(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a")
    claim = await driver.claim_one()
    now = clock.advance("1h")

    assert (await driver.store.extend("q", [("a", claim.token)])).lost == set()

    assert driver.zset("inflight") == {"a": now + 30_000}
    assert (await driver.sweep()).rescued == []


async def test_r3_after_a_rescue_the_old_token_changes_nothing(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a")
    claim = await driver.claim_one()
    clock.advance("31s")
    await driver.sweep()
    before = driver.run("a")

    assert await driver.settle(claim, "done") == Settled("stale", "waiting")
    assert (await driver.store.extend("q", [("a", claim.token)])).lost == {claim.token}

    # Only that its worker lives is taken note of (R16).
    assert before.pop("lost_token") == claim.token
    assert driver.run("a") == before | {"crashes": "0", "revived": "1"}
    assert driver.zset("inflight") == {}


async def test_r3_the_four_answers_to_a_settle(driver: Driver, clock: ManualClock) -> None:
    await driver.push("a", "b")
    mine, lost = await driver.claim(2)
    clock.advance("31s")
    await driver.store.extend("q", [("a", mine.token)])
    await driver.sweep()

    reply = await driver.exchange(
        Settle("a", mine.token, "done"),
        Settle("a", mine.token, "done"),
        Settle("b", lost.token, "done"),
        Settle("never", "ab-0-9.9", "done"),
    )

    assert [settled.answer for settled in reply.settled] == ["ok", "already", "stale", "gone"]
    assert driver.counts()["done"] == 1


async def test_r3_extend_renews_the_live_and_names_the_lost(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a", "b", "c")
    first, second, third = await driver.claim(3)
    await driver.settle(second, "release")
    again = await driver.claim_one()
    now = clock.advance("10s")

    lost, _ = await driver.store.extend(
        "q", [("a", first.token), ("b", second.token), ("b", again.token), ("c", "cd-0-1.1")]
    )

    assert lost == {second.token, "cd-0-1.1"}
    expiry = driver.zset("inflight")
    assert expiry["a"] == expiry["b"] == now + 30_000
    assert expiry["c"] == now + 20_000
    assert third.id == "c"


async def test_r3_extend_brings_back_an_index_entry_that_was_lost(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a")
    claim = await driver.claim_one()
    driver.raw("ZREM", driver.key("inflight"), "a")

    assert (await driver.store.extend("q", [("a", claim.token)])).lost == set()

    assert driver.zset("inflight") == {"a": clock() + 30_000}


async def test_r3_the_renewing_thread_says_the_same_as_the_store(
    driver: Driver, store_url: str, clock: ManualClock
) -> None:
    await driver.push("a")
    claim = await driver.claim_one()
    now = clock.advance("10s")
    renewer = LeaseRenewer(store_url, clock=clock)
    leases = [("a", claim.token), *[("a", f"cd-0-1.{k}") for k in range(1, 600)]]

    lost, _ = renewer.extend("q", leases)
    renewer.close()

    assert lost == {token for _, token in leases[1:]}
    assert driver.zset("inflight") == {"a": now + 30_000}
