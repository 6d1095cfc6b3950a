"""I5: attempts and crashes, each counted for itself, and what ends a task."""

from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hms_async.domain.retry import RetryPolicy
from hms_async.domain.task import TaskState
from hms_async.testing import ManualClock
from tests.storage.driver import FAULT, Driver


async def test_r15_an_expired_lease_is_rescued_once_with_a_crash(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a", corr="CASE")
    await driver.claim_one()

    clock.advance("30s")
    assert (await driver.sweep()).rescued == []
    clock.advance("1ms")
    rescued = (await driver.sweep()).rescued
    assert rescued == [("q", "a", "CASE", "worker-ab", "waiting", 1)]
    assert (await driver.sweep()).rescued == []

    claim = await driver.claim_one()
    assert (claim.attempt, claim.crashes) == (2, 1)
    record = await driver.store.task("a")
    assert record is not None
    assert [attempt.error for attempt in record.attempts] == ["lease lost 1 time"]
    await driver.stats()


async def test_i5_too_many_lost_leases_end_in_failed(driver: Driver, clock: ManualClock) -> None:
    await driver.create(max_crashes=3)
    await driver.push("a")

    states = list[str]()
    for _ in range(3):
        await driver.claim_one()
        clock.advance("31s")
        states += [rescued.state for rescued in (await driver.sweep()).rescued]

    assert states == ["waiting", "waiting", "failed"]
    record = await driver.store.task("a")
    assert record is not None
    assert (record.state, record.crashes) == (TaskState.FAILED, 3)
    assert record.reason == "LeaseLost: lease lost 3 times"
    assert len(driver.events("failed")) == 1
    await driver.stats()


async def test_i5_crashes_do_not_use_up_attempts(driver: Driver, clock: ManualClock) -> None:
    await driver.create(max_crashes=5, retry=RetryPolicy(max_attempts=2))
    await driver.push("a")
    for _ in range(3):
        await driver.claim_one()
        clock.advance("31s")
        await driver.sweep()

    first = await driver.settle(await driver.claim_one(), "retry", 0, FAULT)
    second = await driver.settle(await driver.claim_one(), "retry", 0, FAULT)

    assert (first.state, second.state) == ("retrying", "failed")


async def test_i5_a_hand_back_uses_up_nothing(driver: Driver) -> None:
    await driver.create(retry=RetryPolicy(max_attempts=1))
    await driver.push("a")
    for _ in range(3):
        claim = await driver.claim_one()
        assert claim.attempt == 1
        await driver.settle(claim, "release")

    assert (await driver.settle(await driver.claim_one(), "retry", 0, FAULT)).state == "failed"
    await driver.stats()


@pytest.mark.parametrize("word", ["retry", "error"])
async def test_i5_the_store_itself_holds_the_limit_on_attempts(driver: Driver, word: str) -> None:
    await driver.create(retry=RetryPolicy(max_attempts=3))
    await driver.push("a")

    states = [(await driver.settle(await driver.claim_one(), word, 0, FAULT)).state for _ in "123"]

    assert states == ["retrying", "retrying", "failed"]
    record = await driver.store.task("a")
    assert record is not None
    assert [attempt.number for attempt in record.attempts] == [1, 2, 3]
    assert record.reason == "ValueError: no"


async def test_the_last_ten_attempts_are_kept(driver: Driver) -> None:
    await driver.create(retry=RetryPolicy(max_attempts=20))
    await driver.push("a")
    for _ in range(12):
        await driver.settle(await driver.claim_one(), "retry", 0, FAULT)

    record = await driver.store.task("a")

    assert record is not None
    assert [attempt.number for attempt in record.attempts] == list(range(3, 13))


async def test_a_fault_from_a_foreign_worker_is_kept_whatever_it_is(driver: Driver) -> None:
    await driver.push("text", "nothing", "broken")
    faults = {"text": b'"boom"', "nothing": b"", "broken": b"{oops"}
    for claim in await driver.claim(3):
        await driver.settle(claim, "fail", body=faults[claim.id])

    for task_id in faults:
        record = await driver.store.task(task_id)
        assert record is not None
        assert record.state is TaskState.FAILED


@pytest.mark.parametrize("argument", ["", "soon", "nan", "-5", "-inf", "1e400"])
async def test_a_strange_delay_neither_breaks_a_settle_nor_loses_the_task(
    driver: Driver, argument: str
) -> None:
    await driver.push("a")

    settled = await driver.settle(await driver.claim_one(), "retry", argument, FAULT)

    assert settled == ("ok", "retrying")
    await driver.stats()


_numbers = count(1)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
    print_blob=True,
)
@given(
    base_ms=st.integers(0, 10_000_000),
    cap_ms=st.integers(0, 10_000_000_000),
    failures=st.integers(1, 4),
    jitter=st.floats(0, 1, exclude_max=True),
)
async def test_the_word_error_waits_as_long_as_the_domains_policy(
    driver: Driver, clock: ManualClock, *, base_ms: int, cap_ms: int, failures: int, jitter: float
) -> None:
    policy = RetryPolicy.from_ms(10, base_ms, cap_ms)
    await driver.create(retry=policy)
    task_id = f"t{next(_numbers)}"
    await driver.push(task_id)
    for _ in range(failures - 1):
        await driver.settle(await driver.claim_one(), "retry", 0, FAULT)

    await driver.settle(await driver.claim_one(), "error", repr(jitter), FAULT)

    # With no delay the same call has promoted it already.
    due = driver.zset("retry").get(task_id) or int(driver.run(task_id)["ready"])
    await driver.store.cancel("q", task_id)
    assert due == clock() + policy.delay_ms(failures, jitter)
