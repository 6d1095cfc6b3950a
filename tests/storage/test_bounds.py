"""What callers send beyond the bounds is brought within them, or refused before any write (R8)."""

from typing import Any

import pytest

from hms_async.errors import StoreProtocol
from hms_async.storage.renewal import LeaseRenewer
from hms_async.storage.replies import Settle
from hms_async.testing import ManualClock
from tests.storage.driver import Driver

SECOND, DAY = 1_000, 86_400_000

leases = pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("40000.25", 40 * SECOND),
        ("inf", DAY),
        ("1e18", DAY),
        ("-inf", 3 * SECOND),
        ("-5", 3 * SECOND),
        ("0", 3 * SECOND),
        ("nan", 30 * SECOND),
        ("soon", 30 * SECOND),
        ("", 30 * SECOND),
    ],
)


async def _exchange(driver: Driver, *, seq: str = "1", lease: str = "") -> Any:
    """An exchange as a foreign worker might send it: the arguments are mere text."""
    return await driver.store.run("exchange", "q", "q", "worker-x", "x", "0", seq, "1", lease)


@leases
async def test_r8_the_lease_of_an_exchange_is_brought_within_3_s_and_a_day(
    driver: Driver, clock: ManualClock, asked: str, given: int
) -> None:
    await driver.push("a")

    reply = await _exchange(driver, lease=asked)

    assert reply[6] == given
    assert driver.zset("inflight") == {"a": clock() + given}
    await driver.stats()


@leases
async def test_r8_the_lease_of_a_renewal_is_brought_within_3_s_and_a_day(
    driver: Driver, clock: ManualClock, asked: str, given: int
) -> None:
    await driver.push("a")
    claim = await driver.claim_one()
    now = clock.advance("1s")

    await driver.store.run("extend", "q", asked, "a", claim.token)

    assert driver.zset("inflight") == {"a": now + given}


async def test_r3_a_renewer_asks_for_the_lease_that_its_caller_goes_by(
    driver: Driver, store_url: str, clock: ManualClock
) -> None:
    await driver.create(lease="3s")
    await driver.push("a")
    claim = await driver.claim_one()
    renewer = LeaseRenewer(store_url, clock=clock, lease_ms={"q": 60 * SECOND}.__getitem__)

    renewer.extend("q", [("a", claim.token)])
    renewer.close()

    assert driver.zset("inflight") == {"a": clock() + 60 * SECOND}


@pytest.mark.parametrize("seq", ["1e3", "1.5", "-1", "0x1", "one", "inf", "nan", " 1", ""])
async def test_r8_a_number_that_is_not_whole_is_refused_before_anything_is_written(
    driver: Driver, seq: str
) -> None:
    await driver.push("a")
    before = driver.raw.snapshot()

    with pytest.raises(StoreProtocol, match="whole number"):
        await _exchange(driver, seq=seq)

    assert driver.raw.snapshot() == before
    await driver.stats()


async def test_r10_a_result_over_the_limit_that_is_sent_straight_to_the_script_fails(
    driver: Driver,
) -> None:
    await driver.create(max_payload_bytes=100)
    await driver.push("fits", "large")
    fits, large = await driver.claim(2)

    reply = await driver.exchange(
        Settle("fits", fits.token, "done", "", b"1" * 100),
        Settle("large", large.token, "done", "", b"1" * 101),
    )

    assert [(one.answer, one.state) for one in reply.settled] == [("ok", "done"), ("ok", "failed")]
    task = await driver.store.task("large")
    assert task is not None
    assert task.reason == "ResultInvalid: the result has 101 bytes, the queue takes 100"
    assert task.result is None
    assert [attempt.error_type for attempt in task.attempts] == ["ResultInvalid"]
    await driver.stats()


async def test_r10_of_large_foreign_entries_one_call_takes_one(driver: Driver) -> None:
    """How large they are is known only when they have been read."""
    for number in range(3):
        driver.raw("RPUSH", driver.key(), b"%d" % number + b"\xff" * 5_000_000)
    await driver.push("a")

    left = [(await driver.exchange(want=10)).left for _ in range(3)]

    assert left == [3, 2, 1]
    assert driver.counts()["failed"] == 3
    assert [claim.id for claim in await driver.claim(10)] == ["a"]
