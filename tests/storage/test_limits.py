"""R9 and R10: a full server lets work drain, and every call is bounded."""

from collections.abc import AsyncGenerator

import pytest

from hms_async.errors import StoreFull, StoreProtocol
from hms_async.storage.replies import Enqueue, Settle, Settled
from hms_async.testing import ManualClock
from tests.servers import on_real_servers
from tests.storage.driver import FAULT, Driver

MEBIBYTE = 1_048_576


@pytest.fixture
async def full(driver: Driver, clock: ManualClock) -> AsyncGenerator[Driver]:
    """A queue with a task in each place, on a server at its `maxmemory`."""
    await driver.create(sla="1m", keep_done_max=1)
    for _ in range(2):
        await driver.push("gone-1", "gone-2")
        for task_id in ("gone-1", "gone-2"):
            await driver.store.cancel("q", task_id)
    await driver.push("held", "settled", "released", "retried", "waiting", "victim")
    claims = await driver.claim(4)
    assert [claim.id for claim in claims] == ["held", "settled", "released", "retried"]
    await driver.push("scheduled", delay=5_000)
    clock.advance("1s")
    driver.raw("CONFIG", "SET", "maxmemory", "1")
    yield driver
    driver.raw("CONFIG", "SET", "maxmemory", "0")  # the server is everybody's


def _token(driver: Driver, task_id: str) -> str:
    return driver.run(task_id)["token"]


@on_real_servers
async def test_r9_enqueue_is_refused_whole(full: Driver) -> None:
    before = full.raw.snapshot()

    for options in (b"", b'{"delay":1000}', b'{"prio":"high","key":"k","sla":1000}'):
        with pytest.raises(StoreFull):
            await full.store.enqueue("q", [Enqueue(new, b"{}", options) for new in ("n1", "n2")])

    assert full.raw.snapshot() == before


@on_real_servers
async def test_r9_exchange_goes_on(full: Driver, clock: ManualClock) -> None:
    clock.advance("5s")

    reply = await full.exchange(
        Settle("settled", _token(full, "settled"), "done", "", b"1" * 1_000),
        Settle("released", _token(full, "released"), "release"),
        Settle("retried", _token(full, "retried"), "error", 0.5, FAULT),
        want=10,
    )

    assert {settled.answer for settled in reply.settled} == {"ok"}
    assert {claim.id for claim in reply.claims} == {"released", "waiting", "victim", "scheduled"}
    await full.stats()


@on_real_servers
async def test_r9_extend_sweep_cancel_prune_and_reconcile_go_on(
    full: Driver, clock: ManualClock
) -> None:
    now = clock.advance("5s")

    assert (await full.store.extend("q", [("held", _token(full, "held"))])).lost == set()
    assert full.zset("inflight")["held"] == now + 30_000
    assert await full.store.cancel("q", "victim") == "ok"
    assert (await full.store.prune("q"))[0] == 2
    clock.advance("2m")
    swept = await full.store.sweep("q")
    assert (swept.promoted, swept.rescued, swept.held_ms) == (1, [], 11_000)
    assert swept.rungs
    clock.advance("11s")
    assert len((await full.store.sweep("q")).rescued) == 4
    await full.store.reconcile("q")
    await full.stats()


@on_real_servers
async def test_r9_acts_that_can_wait_are_refused_whole(full: Driver) -> None:
    before = full.raw.snapshot()

    with pytest.raises(StoreFull):
        await full.store.requeue("q", "gone-2")
    with pytest.raises(StoreFull):
        await full.store.bump("q", "waiting")

    assert full.raw.snapshot() == before


@on_real_servers
async def test_r9_a_queue_of_a_full_server_can_be_paused(full: Driver) -> None:
    assert await full.store.pause("q", paused=True, reason="no memory left")

    assert (await full.stats()).paused


async def test_r10_at_most_250_claims_a_call(driver: Driver) -> None:
    await driver.push(*[f"t{number}" for number in range(300)])

    reply = await driver.exchange(want=1_000)

    assert (len(reply.claims), reply.left) == (250, 50)
    await driver.stats()


async def test_r10_at_most_250_settles_a_call(driver: Driver) -> None:
    ids = [f"t{number}" for number in range(251)]
    await driver.push(*ids)
    claims = [*await driver.claim(250), *await driver.claim(1)]
    settles = [Settle(claim.id, claim.token, "done") for claim in claims]
    before = driver.raw.snapshot()

    with pytest.raises(StoreProtocol, match="250"):
        await driver.exchange(*settles)

    assert driver.raw.snapshot() == before
    reply = await driver.exchange(*settles[:250])
    assert reply.settled == [Settled("ok", "done")] * 250
    await driver.stats()


@pytest.mark.parametrize("settle", [("a", "ab-0-1.1", "Done"), ("a", "ab-0-1.1", "")])
async def test_r10_an_unknown_outcome_is_refused_before_anything_is_written(
    driver: Driver, settle: tuple[str, str, str]
) -> None:
    await driver.push("a", "b")
    claims = await driver.claim(2)
    before = driver.raw.snapshot()

    with pytest.raises(StoreProtocol, match="outcome"):
        await driver.exchange(Settle("b", claims[1].token, "done"), Settle(*settle))

    assert driver.raw.snapshot() == before


async def test_r10_bodies_of_a_call_stay_within_4_mib(driver: Driver) -> None:
    sizes = {"big-1": 2.5, "big-2": 1.0, "big-3": 1.0, "small": 0}
    await driver.create(max_payload_bytes=10 * MEBIBYTE)
    for task_id, size in sizes.items():
        await driver.store.enqueue("q", [Enqueue(task_id, _body(int(size * MEBIBYTE)))])

    first, second = await driver.claim(10), await driver.claim(10)

    assert [claim.id for claim in first] == ["big-1", "big-2"]
    assert [claim.id for claim in second] == ["big-3", "small"]
    await driver.stats()


async def test_r10_a_body_over_4_mib_is_claimed_alone(driver: Driver) -> None:
    await driver.create(max_payload_bytes=10 * MEBIBYTE)
    body = _body(5 * MEBIBYTE)
    await driver.store.enqueue("q", [Enqueue("huge", body), Enqueue("small", _body(1))])

    first, second = await driver.claim(10), await driver.claim(10)

    assert [(claim.id, claim.body) for claim in first] == [("huge", body)]
    assert [claim.id for claim in second] == ["small"]


async def test_r10_raw_entries_that_do_not_fit_stay_for_the_next_call(driver: Driver) -> None:
    entries = [b'{"id":"r%d","payload":"%s"}' % (k, b"x" * 60_000) for k in range(80)]
    driver.raw("RPUSH", driver.key(), *entries)

    first, second = await driver.claim(250), await driver.claim(250)

    assert 60 < len(first) < 80
    assert [claim.id for claim in first + second] == [f"r{k}" for k in range(80)]
    assert sum(len(claim.body) for claim in first) <= 4 * MEBIBYTE
    stats = await driver.stats()
    assert (stats.in_progress, stats.totals["adopted"]) == (80, 80)


async def test_r10_a_raw_entry_over_64_kib_is_failed_unread_with_its_bytes_kept(
    driver: Driver,
) -> None:
    entry = b'{"id":"a","payload":"%s"}' % (b"x" * 65_536)
    driver.raw("RPUSH", driver.key(), entry)
    await driver.push("next")

    claims = await driver.claim(5)

    assert [claim.id for claim in claims] == ["next"]
    (failed,) = driver.zset("failed")
    assert driver.raw.string(f"task:{failed}") == entry
    assert "64 KiB" in driver.run(failed)["error"]
    await driver.stats()


async def test_r10_more_than_8000_entries_of_a_set_move_in_one_sweep(
    driver: Driver, clock: ManualClock
) -> None:
    ids = [f"t{number}" for number in range(8_500)]
    await driver.push(*ids, delay=1_000)
    clock.advance("1s")

    swept = await driver.sweep(limit=9_000)

    assert (swept.promoted, swept.more) == (8_500, False)
    assert len(driver.lane_of()) == 8_500
    await driver.stats()


async def test_r10_a_sweep_takes_its_limit_and_says_that_there_is_more(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push(*[f"t{number}" for number in range(25)], delay=1_000)
    clock.advance("1s")

    swept = [await driver.sweep(limit=10) for _ in range(3)]

    assert [part.promoted for part in swept] == [10, 10, 5]
    assert [part.more for part in swept] == [True, True, False]


def _body(size: int) -> bytes:
    return b'{"payload":"%s"}' % (b"x" * size)
