"""What is counted, and that it stays bounded."""

import re
from pathlib import Path

import pytest

from hms_async.domain import counters
from hms_async.storage.replies import Settle
from hms_async.testing import ManualClock
from tests.servers import on_real_servers
from tests.storage.driver import FAULT, Driver

TIMEOUT = b'{"type":"RunTimeout","message":"ran for 2 s, may run 1 s"}'


async def _outcomes(driver: Driver) -> dict[str, int]:
    totals = (await driver.stats()).totals
    return {
        outcome: totals[field] for outcome, field in counters.ATTEMPTS.items() if field in totals
    }


async def test_each_attempt_that_has_ended_is_counted_by_how(
    driver: Driver, clock: ManualClock
) -> None:
    names = ["ok", "error", "again", "timeout", "back", "stopped", "lost", "held"]
    await driver.push(*names)
    tokens = {claim.id: claim.token for claim in await driver.claim(len(names))}
    await driver.store.cancel("q", "stopped")
    await driver.exchange(
        Settle("ok", tokens["ok"], "done"),
        Settle("error", tokens["error"], "fail", "", FAULT),
        Settle("again", tokens["again"], "error", 0.5, FAULT),
        Settle("timeout", tokens["timeout"], "error", 0.5, TIMEOUT),
        Settle("back", tokens["back"], "release"),
        Settle("stopped", tokens["stopped"], "release"),
    )
    clock.advance("20s")
    await driver.store.extend("q", [("held", tokens["held"])])
    clock.advance("20s")
    await driver.sweep()

    assert await _outcomes(driver) == {
        "ok": 1, "error": 2, "timeout": 1, "lease_lost": 1, "cancelled": 1, "released": 1,
    }  # fmt: skip
    totals = (await driver.stats()).totals
    assert totals["claimed"] == 8
    assert {name: n for name, n in totals.items() if name.startswith("error.")} == {
        "error.ValueError": 2, "error.RunTimeout": 1, "error.LeaseLost": 1,
    }  # fmt: skip


async def test_i8_a_queue_has_fifty_error_types_and_the_rest_is_one(driver: Driver) -> None:
    names = [f"t{number}" for number in range(60)]
    await driver.push(*names)
    claims = await driver.claim(60)
    for first in (0, 30):
        await driver.exchange(
            *[
                Settle(claim.id, claim.token, "fail", "", b'{"type":"E%d"}' % number)
                for number, claim in enumerate(claims[first : first + 30], first)
            ]
        )

    await driver.fail("known", "unreadable")

    counts = driver.counts()
    types = [name for name in counts if name.startswith("error.")]
    assert len(types) == 51
    assert (counts["error._other"], counts["folded"], counts["error_types"]) == (12, 12, 50)
    assert sum(counts[name] for name in types) == counts["ended.error"] == 62


@pytest.mark.parametrize("kind", ['"no word"', "7", '"' + "x" * 101 + '"', '""', "null"])
async def test_i8_what_is_no_type_becomes_no_field(driver: Driver, kind: str) -> None:
    await driver.push("a")
    await driver.settle(await driver.claim_one(), "fail", body=b'{"type":%s}' % kind.encode())

    assert driver.counts()["error._other"] == 1


async def test_what_enqueue_refuses_is_counted_by_why(driver: Driver) -> None:
    await driver.create(max_depth=2, max_payload_bytes=100)
    await driver.push("a", "b")

    assert await driver.push("a", "c") == ["exists", "full"]
    await driver.claim(1)
    assert await driver.push("large", "c", body=b'{"payload":"%s"}' % (b"x" * 101)) == [
        "too_large",
        "too_large",
    ]
    assert await driver.push("a", "c") == ["exists", "created"]

    counts = driver.counts()
    refused = {name: n for name, n in counts.items() if name.startswith("rejected.")}
    assert refused == {"rejected.exists": 2, "rejected.full": 1, "rejected.too_large": 2}
    assert set(refused) <= set(counters.REFUSALS.values())
    assert counts["accepted"] == 3


@on_real_servers
async def test_r9_a_full_server_still_says_what_it_refuses(driver: Driver) -> None:
    await driver.push("a")
    driver.raw("CONFIG", "SET", "maxmemory", "1")
    try:
        assert await driver.push("a") == ["exists"]
    finally:
        driver.raw("CONFIG", "SET", "maxmemory", "0")


async def test_the_shares_of_promises_have_a_sum(driver: Driver, clock: ManualClock) -> None:
    await driver.create(sla="10s")
    await driver.push("a", "b")
    claims = await driver.claim(2)
    clock.advance("5s")
    await driver.settle(claims[0], "done")
    clock.advance("10s")
    await driver.settle(claims[1], "done")

    counts = driver.counts()
    assert (counts["used:3"], counts["used:11"], counts["used:sum_milli"]) == (1, 1, 2_000)


@pytest.mark.parametrize(
    ("field", "value"), [("sla", "0"), ("sla", "nan"), ("arrived", "-inf"), ("started", "soon")]
)
async def test_what_a_foreign_hand_wrote_into_a_record_spoils_no_sum(
    driver: Driver, field: str, value: str
) -> None:
    await driver.create(sla="10s")
    await driver.push("a", "b")
    claims = await driver.claim(2)
    driver.raw("HSET", "task:a:run", field, value)
    await driver.exchange(*[Settle(claim.id, claim.token, "done") for claim in claims])

    totals = (await driver.stats()).totals  # readable
    assert sum(n for name, n in totals.items() if name.startswith("total:")) in (1, 2)


async def test_who_has_tidied_up_lately_is_known(driver: Driver, clock: ManualClock) -> None:
    await driver.store.prune("q", supervisor="one")
    clock.advance("50s")
    await driver.store.prune("q", supervisor="two")
    assert set(driver.zset("supervisors")) == {"one", "two"}
    clock.advance("50s")
    await driver.store.prune("q", supervisor="two")

    assert driver.zset("supervisors") == {"two": clock()}


def test_the_scripts_have_the_same_buckets() -> None:
    path = Path(counters.__file__).parents[1] / "storage/lua/include/histogram.lua"
    bounds = dict(re.findall(r"local (\w+) = \{([^}]*)\}", path.read_text()))

    def of(name: str, unit: float) -> tuple[float, ...]:
        return tuple(float(number) / unit for number in bounds[name].split(","))

    assert of("WAIT_MS", 1_000) == counters.WAIT_S
    assert of("RUN_MS", 1_000) == counters.RUN_S
    assert of("SLA_RATIO", 1) == counters.USED_SHARE
