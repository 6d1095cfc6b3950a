"""Acts on many tasks: bounded steps, whoever does them, whatever happens in between."""

from typing import Any

import anyio
import pytest

from hms_async import AsyncOMSClient, TaskState
from hms_async.domain.audit import Actor
from hms_async.domain.fingerprint import fingerprint
from hms_async.domain.operation import Operation, OperationState
from hms_async.domain.selection import Where
from hms_async.errors import (
    OperationEnded,
    OperationNotFound,
    OperationTimeout,
    QueueClosing,
    QueueNotEmpty,
    QueueNotFound,
    TooManyOperations,
)
from hms_async.runtime import bulk, search
from hms_async.runtime.work import Work, carry_on
from hms_async.storage import candidates, operations
from hms_async.storage.replies import Settle
from hms_async.storage.store import Store
from hms_async.testing import ManualClock
from tests.storage.driver import FAULT, Driver

ANN = Actor("ann", "cli", "since the outage")


@pytest.fixture
async def oms(driver: Driver) -> Any:
    """A client of the same store."""
    async with AsyncOMSClient(store=driver.store, by=ANN) as client:
        yield client


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few tasks make many pages and steps."""
    monkeypatch.setattr(search, "PAGE", 7)
    monkeypatch.setattr("hms_async.domain.operation.MOST_A_STEP", 5)


async def at_once(_: float) -> None:
    """Pause for no time at all."""


async def work_off(store: Store, operation: Operation) -> Operation:
    assert await carry_on(store, operation.id, sleep=at_once)
    return await operations.get(store, operation.id)


async def fail_many(driver: Driver, count: int, prefix: str = "f") -> list[str]:
    ids = [f"{prefix}{n:03d}" for n in range(count)]
    await driver.fail(*ids)
    return ids


async def states(driver: Driver) -> dict[str, int]:
    stats = await driver.stats()
    return {str(state): getattr(stats, state) for state in TaskState if getattr(stats, state)}


# Each act.


async def test_requeue_brings_back_what_failed_in_the_order_of_its_end(
    driver: Driver, oms: AsyncOMSClient
) -> None:
    ids = await fail_many(driver, 23)
    operation = await oms.operations.start("requeue", "q")
    assert (operation.matched, operation.exact, operation.rate) == (23, True, 100)
    done = await work_off(driver.store, operation)

    assert (done.state, done.done, done.refused) == (OperationState.DONE, 23, 0)
    assert driver.lane_of("express") == ids
    assert (await driver.stats()).totals["requeued"] == 23


async def test_only_those_that_are_meant_are_acted_on(driver: Driver, oms: AsyncOMSClient) -> None:
    await driver.push("a", "b", "c", corr="REQ-1")
    await driver.push("d")
    fault = b'{"type":"Timeout","message":"No answer from GATEWAY 7"}'
    claims = await driver.claim(4)
    faults = [fault, FAULT, fault, fault]
    await driver.exchange(
        *[
            Settle(claim.id, claim.token, "fail", "", said)
            for claim, said in zip(claims, faults, strict=True)
        ]
    )
    where = {
        "correlation_id": "REQ-1",
        "error": "gateway",
        "fingerprint": fingerprint("Timeout", "No answer from GATEWAY 12"),
    }
    operation = await oms.operations.start("requeue", "q", where=where)
    assert (operation.matched, operation.exact) == (2, True)
    done = await work_off(driver.store, operation)

    assert done.done == 2
    assert driver.lane_of("express") == ["a", "c"]
    assert sorted(driver.zset("failed")) == ["b", "d"]


async def test_cancel_takes_what_waits_and_asks_for_what_is_held(
    driver: Driver, oms: AsyncOMSClient
) -> None:
    await driver.push(*[f"w{n}" for n in range(12)])
    await driver.push("later", delay=60_000)
    held = await driver.claim(3)
    done = await work_off(driver.store, await oms.operations.start("cancel", "q"))

    assert (done.done, done.refused) == (13, 0)
    assert await states(driver) == {"in_progress": 3, "cancelled": 10}
    for claim in held:
        assert driver.run(claim.id)["cancel"]


async def test_purge_leaves_alone_what_a_worker_holds(driver: Driver, oms: AsyncOMSClient) -> None:
    await driver.push(*[f"w{n:02d}" for n in range(20)])
    await driver.push("later", delay=60_000)
    (held, failing) = await driver.claim(2)
    await driver.settle(failing, "retry", 60_000, FAULT)
    operation = await oms.purge("q", reason="a test batch")
    assert (operation.matched, operation.rate) == (20, None)
    done = await work_off(driver.store, operation)

    assert done.done == 20
    assert await states(driver) == {"in_progress": 1, "cancelled": 20}
    assert "cancel" not in driver.run(held.id)


async def test_purge_does_not_ask_for_a_task_that_was_claimed_since_it_was_seen(
    driver: Driver, oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await driver.push("a", "b", "c")
    act = candidates.act

    async def claim_first(store: Store, operation: Operation, ids: Any) -> Any:
        if driver.lane_of() and driver.run("a")["state"] == "waiting":
            await driver.claim(2)
        return await act(store, operation, ids)

    monkeypatch.setattr(candidates, "act", claim_first)
    done = await work_off(driver.store, await oms.purge("q"))

    assert (done.done, done.refused) == (1, 0)
    assert "cancel" not in driver.run("a")


@pytest.mark.parametrize("act", ["cancel", "purge"])
async def test_a_task_that_an_operation_cancels_names_that(
    driver: Driver, oms: AsyncOMSClient, act: str
) -> None:
    await driver.push("a")
    operation = await oms.operations.start(act, "q", reason="a wrong upload")
    await work_off(driver.store, operation)

    task = await oms.get_task("a")
    assert (task.state, task.cancel_by) == ("cancelled", None)
    assert task.cancel_reason == f"operation {operation.id}"


async def test_bump_keeps_the_order(driver: Driver, oms: AsyncOMSClient) -> None:
    ids = [f"w{n:02d}" for n in range(18)]
    await driver.push(*ids)
    await driver.push("first", prio="high")
    done = await work_off(driver.store, await oms.operations.start("bump", "q"))

    assert done.done == 18
    assert driver.lane_of("express") == ["first", *ids]


async def test_waive_lets_off_what_has_a_promise(driver: Driver, oms: AsyncOMSClient) -> None:
    await driver.push("without")
    await driver.create(sla="1h")
    await driver.push("a", "b")
    await driver.push("later", delay=60_000)
    done = await work_off(
        driver.store, await oms.operations.start("waive", "q", reason="agreed with the ministry")
    )

    assert (done.done, done.refused) == (3, 0)
    assert driver.run("a")["waived"] == "agreed with the ministry"


async def test_some_ids_are_found_without_a_search(driver: Driver, oms: AsyncOMSClient) -> None:
    ids = await fail_many(driver, 20)
    await driver.push("waits")
    where = {"ids": [*ids[3:15], "unknown", "waits"]}
    operation = await oms.operations.start("requeue", "q", where=where)
    assert (operation.matched, operation.exact) == (12, True)
    done = await work_off(driver.store, operation)

    assert done.done == 12
    assert sorted(driver.zset("failed")) == [*ids[:3], *ids[15:]]


async def test_what_cannot_be_done_is_said_with_the_reason(
    driver: Driver, oms: AsyncOMSClient
) -> None:
    ids = await fail_many(driver, 120)
    for task_id in ids[:110]:
        driver.raw("DEL", f"task:{task_id}")
    done = await work_off(driver.store, await oms.operations.start("requeue", "q"))

    assert (done.done, done.refused, len(done.refusals)) == (10, 110, 100)
    assert done.refusals[0].id == ids[0]
    assert "no body" in done.refusals[0].reason


# What comes in meanwhile, and what moves.


@pytest.mark.parametrize(("act", "by_then"), [("cancel", 0), ("purge", 0), ("cancel", 1)])
async def test_a_task_that_is_brought_back_later_is_left_alone(
    driver: Driver, oms: AsyncOMSClient, clock: ManualClock, act: str, by_then: int
) -> None:
    failed = await fail_many(driver, 2)
    await driver.push("waits")
    clock.advance("1m")
    for task_id in failed[:by_then]:
        await oms.requeue(task_id)
    operation = await oms.operations.start(act, "q")
    clock.advance("1s")
    for task_id in failed[by_then:]:
        await oms.requeue(task_id)
    done = await work_off(driver.store, operation)

    assert done.done == 1 + by_then
    assert {driver.run(task_id)["state"] for task_id in failed[by_then:]} == {"waiting"}
    assert await states(driver) == {"waiting": 2 - by_then, "cancelled": 1 + by_then}


async def test_tasks_that_come_in_or_end_later_are_left_alone(
    driver: Driver, oms: AsyncOMSClient, clock: ManualClock
) -> None:
    await fail_many(driver, 3)
    await driver.push("old")
    requeue = await oms.operations.start("requeue", "q")
    purge = await oms.purge("q")
    clock.advance("1s")
    await driver.push("new")
    await driver.push("new-later", delay=60_000)
    await driver.push("old-2")
    claims = await driver.claim(1)
    await driver.settle(claims[0], "fail", "", FAULT)
    assert (await work_off(driver.store, requeue)).done == 3
    assert (await work_off(driver.store, purge)).done == 0  # those of the first came back later

    assert await states(driver) == {"waiting": 5, "scheduled": 1, "failed": 1}


@pytest.mark.parametrize("act", ["cancel", "purge"])
async def test_nothing_that_stays_is_missed_while_workers_claim_and_tasks_come_in(
    driver: Driver,
    oms: AsyncOMSClient,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    act: str,
) -> None:
    await driver.push(*[f"w{n:03d}" for n in range(150)])
    operation = await oms.operations.start(act, "q")
    clock.advance("1ms")
    busy = driver.another("cd")
    original, pushed = candidates.read_page, 0

    async def read_page(*args: Any) -> Any:
        nonlocal pushed
        if pushed < 60:
            await driver.push(f"new{pushed}", f"new{pushed + 1}")
            pushed += 2
            await busy.claim(3)
        return await original(*args)

    monkeypatch.setattr(search, "read_page", read_page)
    done = await work_off(driver.store, operation)

    records = {task_id: driver.run(task_id) for task_id in [f"w{n:03d}" for n in range(150)]}
    assert {run["state"] for run in records.values()} <= {"cancelled", "in_progress"}
    assert done.done == sum(
        run["state"] == "cancelled" or "cancel" in run for run in records.values()
    )
    assert all(driver.run(f"new{n}")["state"] != "cancelled" for n in range(60))


async def test_a_set_whose_entries_all_ended_at_one_instant_is_gone_through_once(
    driver: Driver, oms: AsyncOMSClient
) -> None:
    ids = [f"{letter}{n}" for letter in "aBc_.-Z"[:3] for n in range(30)]
    await driver.fail(*ids)
    where = Where.create(states=["failed"], error_type="ValueError")
    done = await work_off(driver.store, await oms.operations.start("requeue", "q", where=where))

    assert done.done == 90
    assert driver.zset("failed") == {}


# Whoever works on it.


async def interrupted(
    store: Store,
    operation: Operation,
    monkeypatch: pytest.MonkeyPatch,
    *,
    after_acting: bool,
    steps: int,
) -> None:
    """Let a process die in the middle of a step, as `kill -9` would."""
    taken = await operations.take(store, operation.id)
    assert taken is not None
    work = Work(store, taken)
    act = candidates.act

    async def die(store: Store, operation: Operation, ids: Any) -> Any:
        if after_acting:
            await act(store, operation, ids)
        else:
            await act(store, operation, ids[: len(ids) // 2])
        raise SystemError("killed")

    for _ in range(steps):
        await work.step()
    with monkeypatch.context() as patched:
        patched.setattr(candidates, "act", die)
        with pytest.raises(SystemError, match="killed"):
            await work.step()


@pytest.mark.parametrize("after_acting", [True, False])
async def test_another_goes_on_from_where_one_died(
    driver: Driver,
    oms: AsyncOMSClient,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    *,
    after_acting: bool,
) -> None:
    await fail_many(driver, 23)
    operation = await oms.operations.start("requeue", "q")
    await interrupted(driver.store, operation, monkeypatch, after_acting=after_acting, steps=2)

    assert not await carry_on(driver.store, operation.id)  # its lease lives
    clock.advance("16s")
    done = await work_off(driver.store, operation)

    assert (done.state, done.done) == (OperationState.DONE, 23)
    assert (await driver.stats()).totals["requeued"] == 23


async def test_a_task_that_failed_anew_is_not_requeued_twice(
    driver: Driver, oms: AsyncOMSClient, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fail_many(driver, 3)
    operation = await oms.operations.start("requeue", "q")
    await interrupted(driver.store, operation, monkeypatch, after_acting=True, steps=0)
    clock.advance("16s")
    for claim in await driver.claim(3):
        await driver.settle(claim, "fail", "", FAULT)
    done = await work_off(driver.store, operation)

    assert done.done == 3
    assert await states(driver) == {"failed": 3}


async def test_one_that_was_thought_dead_writes_no_more(
    driver: Driver, oms: AsyncOMSClient, clock: ManualClock
) -> None:
    await fail_many(driver, 23)
    operation = await oms.operations.start("requeue", "q")
    taken = await operations.take(driver.store, operation.id)
    assert taken is not None
    frozen = Work(driver.store, taken)
    await frozen.step()
    clock.advance("16s")
    another = await operations.take(driver.store, operation.id)
    assert another is not None
    await frozen.step()

    assert not frozen.alive
    assert another.progress.done == 5
    await operations.let_go(driver.store, another)
    assert (await work_off(driver.store, operation)).done == 23


async def test_two_at_once_share_nothing_and_lose_nothing(
    driver: Driver, oms: AsyncOMSClient
) -> None:
    await fail_many(driver, 40)
    begun = [await oms.operations.start("requeue", "q") for _ in range(2)]
    results: list[bool] = []

    async def run(operation: Operation) -> None:
        left = await carry_on(driver.store, operation.id, sleep=at_once)
        results.append(left is not None)

    async with anyio.create_task_group() as group:
        for operation in begun * 2:
            group.start_soon(run, operation)

    assert sorted(results) == [False, False, True, True]
    ended = [await oms.operations.get(operation.id) for operation in begun]
    assert sum(one.done for one in ended) == 40
    assert (await driver.stats()).totals["requeued"] == 40


async def test_a_stop_is_heard_with_the_next_step(driver: Driver, oms: AsyncOMSClient) -> None:
    await fail_many(driver, 40)
    operation = await oms.operations.start("requeue", "q")

    async def stop(pause_s: float) -> None:
        assert pause_s == 0.05  # five of a hundred a second
        if (await oms.operations.get(operation.id)).done >= 10:
            await oms.operations.stop(operation.id, reason="enough")

    await carry_on(driver.store, operation.id, sleep=stop)
    stopped = await oms.operations.get(operation.id)

    assert (stopped.state, stopped.done) == (OperationState.STOPPED, 10)
    assert len(driver.zset("failed")) == 30
    with pytest.raises(OperationEnded, match="is stopped"):
        await oms.operations.stop(operation.id)


async def test_whoever_leaves_lets_another_go_on_at_once(
    driver: Driver, oms: AsyncOMSClient
) -> None:
    await fail_many(driver, 23)
    operation = await oms.operations.start("requeue", "q", rate=4)
    with anyio.CancelScope() as scope:

        async def leave(_: float) -> None:
            scope.cancel()
            await anyio.sleep_forever()

        await carry_on(driver.store, operation.id, sleep=leave)

    assert (await work_off(driver.store, operation)).done == 23


async def test_wait_works_on_what_nobody_else_does(driver: Driver, oms: AsyncOMSClient) -> None:
    await fail_many(driver, 7)
    operation = await oms.operations.start("requeue", "q", rate=10_000)
    assert (await oms.operations.wait(operation.id, "10s")).done == 7
    slow = await oms.operations.start("cancel", "q", rate=1)
    with pytest.raises(OperationTimeout):
        await oms.operations.wait(slow.id, 0.05)


# What is kept.


async def test_a_dry_run_stores_nothing(driver: Driver, oms: AsyncOMSClient) -> None:
    await fail_many(driver, 5)
    await driver.push("a")
    before = driver.raw.snapshot()
    operation = await oms.operations.start("cancel", "q", dry_run=True)
    assert operation.by_state == {
        TaskState.SCHEDULED: 0,
        TaskState.RETRYING: 0,
        TaskState.WAITING: 1,
        TaskState.IN_PROGRESS: 0,
    }
    where = {"error_type": "ValueError"}
    counted = await oms.operations.start("requeue", "q", where=where, dry_run=True)
    assert (counted.id, counted.matched, counted.by_state) == ("", 5, {TaskState.FAILED: 5})
    assert driver.raw.snapshot() == before


async def test_more_than_are_looked_at_are_estimated(driver: Driver, oms: AsyncOMSClient) -> None:
    await fail_many(driver, 100)
    operation = await oms.operations.start(
        "requeue", "q", where={"error_type": "ValueError"}, dry_run=True
    )
    counts = {TaskState.FAILED: 100}
    assert await search.estimate(driver.store, operation, counts, most=20) == (counts, False)


async def test_the_latest_are_listed_and_the_oldest_make_room(
    driver: Driver, oms: AsyncOMSClient, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "MOST_KEPT", 5)
    # Imported late: if it were only now, it would have the 5 for the tests that follow as well.
    monkeypatch.setattr(bulk, "MOST_KEPT", 50)
    begun: list[str] = []
    for n in range(9):
        clock.advance("1s")
        operation = await oms.operations.start("requeue", "q")
        begun.append(operation.id)
        if n:
            await work_off(driver.store, operation)
    kept = [one.id for one in await oms.operations.list()]

    assert kept == [*reversed(begun[5:]), begun[0]]
    with pytest.raises(OperationNotFound):
        await oms.operations.get(begun[2])
    assert 0 < driver.raw("PTTL", f"operation:{begun[8]}") <= 30 * 86_400_000
    assert driver.raw("PTTL", f"operation:{begun[0]}") == -1  # it is open


async def test_so_many_are_open_that_no_more_are_begun(
    driver: Driver, oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "MOST_OPEN", 2)
    first = await oms.operations.start("requeue", "q")
    await oms.operations.start("requeue", "q")
    with pytest.raises(TooManyOperations):
        await oms.operations.start("requeue", "q")
    await work_off(driver.store, first)
    await oms.operations.start("requeue", "q")


async def test_its_begin_its_stop_and_its_end_are_in_the_audit(
    driver: Driver, oms: AsyncOMSClient
) -> None:
    await fail_many(driver, 5)
    operation = await oms.operations.start("requeue", "q")
    await oms.operations.stop(operation.id, reason="no")
    await work_off(driver.store, operation)

    entries = driver.raw.stream("audit")
    assert [(one["act"], one["who"], one["reason"]) for one in entries] == [
        ("operation.start", "ann", "since the outage"),
        ("operation.stop", "ann", "no"),
        ("operation.end", "operation", ""),
    ]
    assert {one["queue"] for one in entries} == {"q"}
    assert entries[2]["state"] == "stopped"
    assert entries[2]["outcome"] == "done 0, refused 0"
    assert not driver.raw.stream("queue:q:audit")


async def test_foreign_keys_end_it_with_the_reason(driver: Driver, oms: AsyncOMSClient) -> None:
    await fail_many(driver, 3)
    operation = await oms.operations.start("requeue", "q")
    driver.raw("SET", driver.key("failed"), "foreign")
    done = await work_off(driver.store, operation)
    assert done.state is OperationState.FAILED
    assert "WRONGTYPE" in done.error


# Taking a queue away.


async def test_an_empty_queue_leaves_nothing_behind(driver: Driver, oms: AsyncOMSClient) -> None:
    await driver.create(sla="1h")
    await fail_many(driver, 30)
    await driver.push("d", key="once")
    await driver.settle(await driver.claim_one(), "done")
    other = Driver(driver.store, driver.raw, queue="other")
    await other.create()
    await other.push("mine")
    operation = await oms.delete_queue("q")
    done = await work_off(driver.store, operation)

    assert (done.state, done.error) == (OperationState.DONE, "31 tasks forgotten")
    left = {name for name in driver.raw.names() if "other" not in name}
    lanes = {name for name in left if name.startswith("queue:q:lane:")}  # they expire
    assert left - lanes == {
        *("queues", "operations", f"operation:{operation.id}", "audit", "task:mine"),
        "task:mine:run",
    }
    assert await oms.list_queues() == ["other"]
    with pytest.raises(QueueNotFound):
        await oms.enqueue("q", 1)
    await driver.create()
    assert await driver.push("f000") == ["created"]


async def test_a_queue_with_open_tasks_stays(driver: Driver, oms: AsyncOMSClient) -> None:
    await driver.push("a", "b")
    await driver.push("later", delay=1_000)
    with pytest.raises(QueueNotEmpty) as caught:
        await oms.delete_queue("q")
    assert caught.value.counts == {"waiting": 2, "scheduled": 1}
    assert await driver.push("c") == ["created"]


async def test_a_task_that_comes_in_before_the_queue_is_closed_keeps_it(
    driver: Driver, oms: AsyncOMSClient
) -> None:
    operation = await oms.delete_queue("q")
    await driver.push("a")
    done = await work_off(driver.store, operation)

    assert done.state is OperationState.FAILED
    assert "1 waiting" in done.error
    assert await states(driver) == {"waiting": 1}


async def test_by_force_what_is_open_is_cancelled(
    driver: Driver, oms: AsyncOMSClient, clock: ManualClock
) -> None:
    await driver.push(*[f"w{n:02d}" for n in range(20)])
    await driver.push("later", delay=60_000)
    held = await driver.claim(2)
    operation = await oms.delete_queue("q", force=True)
    pauses = 0

    async def settle(pause_s: float) -> None:
        nonlocal pauses
        pauses += 1
        assert pause_s > 0
        with pytest.raises(QueueNotFound):  # it takes no more tasks
            await oms.enqueue("q", 1)
        clock.advance("1s")
        if pauses == 2:
            replies = await driver.exchange(
                *[Settle(claim.id, claim.token, "release", "", b"") for claim in held]
            )
            assert [one.state for one in replies.settled] == ["cancelled"] * 2

    assert await carry_on(driver.store, operation.id, sleep=settle)
    done = await oms.operations.get(operation.id)
    assert (done.state, done.done) == (OperationState.DONE, 21)
    assert done.error == "21 tasks forgotten"
    assert pauses == 2


async def test_by_force_what_a_worker_holds_for_too_long_is_given_up_and_said(
    driver: Driver, oms: AsyncOMSClient, clock: ManualClock
) -> None:
    await driver.push("a", "b")
    (held,) = await driver.claim(1)
    driver.raw("RPUSH", driver.key(), '{"payload":1}')
    operation = await oms.delete_queue("q", force=True)

    async def renew(_: float) -> None:
        clock.advance("5s")
        await driver.store.extend("q", [(held.id, held.token)])

    assert await carry_on(driver.store, operation.id, sleep=renew)
    done = await oms.operations.get(operation.id)
    assert done.state is OperationState.DONE
    assert done.error == (
        "given up with the queue: 1 entries of its lanes, 1 tasks that workers still held; "
        "2 tasks forgotten"
    )
    assert "given up" in driver.raw.stream("audit")[-1]["outcome"]
    with pytest.raises(QueueNotFound):
        await driver.claim(1)


async def test_a_removal_goes_on_after_each_death(
    driver: Driver, oms: AsyncOMSClient, clock: ManualClock
) -> None:
    await driver.push(*[f"w{n:02d}" for n in range(30)])
    await fail_many(driver, 0)
    operation = await oms.delete_queue("q", force=True)
    steps = 0
    while not (await oms.operations.get(operation.id)).state.ended:
        taken = await operations.take(driver.store, operation.id)
        assert taken is not None
        await Work(driver.store, taken).step()  # and it is never heard of again
        clock.advance("16s")
        steps += 1
    done = await oms.operations.get(operation.id)
    assert (done.state, done.done) == (OperationState.DONE, 30)
    assert steps > 5
    assert await oms.list_queues() == []


async def test_a_removal_that_is_stopped_leaves_a_paused_queue(
    driver: Driver, oms: AsyncOMSClient
) -> None:
    await driver.push(*[f"w{n:02d}" for n in range(30)])
    operation = await oms.delete_queue("q", force=True)
    taken = await operations.take(driver.store, operation.id)
    assert taken is not None
    work = Work(driver.store, taken)
    for _ in range(2):
        await work.step()
    with pytest.raises(QueueClosing):
        await driver.create(sla="1h")
    await oms.operations.stop(operation.id)
    while work.alive:
        await work.step()

    assert (await oms.operations.get(operation.id)).state is OperationState.STOPPED
    assert (await driver.stats()).paused
    assert await driver.push("new") == ["created"]


async def test_one_that_has_closed_its_queue_cannot_be_stopped(
    driver: Driver, oms: AsyncOMSClient
) -> None:
    operation = await oms.delete_queue("q")
    taken = await operations.take(driver.store, operation.id)
    assert taken is not None
    work = Work(driver.store, taken)
    await work.step()
    with pytest.raises(OperationEnded, match="only its keys are left"):
        await oms.operations.stop(operation.id)
    with pytest.raises(QueueClosing):
        await driver.create()
    await work.step()
    await driver.create()
    assert await oms.list_queues() == ["q"]
