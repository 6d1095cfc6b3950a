"""A removal is gone on with wherever its runner died, and one that cannot be leaves its queue."""

from typing import Any

import pytest

from hms_async import AsyncOMSClient
from hms_async.domain.operation import Operation
from hms_async.runtime.work import Work
from hms_async.storage import operations, removal
from hms_async.storage.replies import Enqueue
from hms_async.storage.store import Store
from hms_async.testing import ManualClock
from tests.storage.driver import Driver

LEFT = {"audit", "operations", "queue:q:audit"}


@pytest.fixture
async def oms(driver: Driver) -> Any:
    """A client of the same store."""
    async with AsyncOMSClient(store=driver.store) as client:
        yield client


async def take(store: Store, begun: Operation) -> Work:
    """Take an operation, as a supervisor does that finds it."""
    taken = await operations.take(store, begun.id)
    assert taken is not None
    return Work(store, taken)


async def finish(work: Work) -> Operation:
    """Do all that is left to do."""
    while work.alive:
        await work.step()
    return work.operation


def _left(driver: Driver) -> set[str]:
    """What is stored, but for what tells of it and goes by itself."""
    return {
        name
        for name in driver.raw.names() - LEFT
        if not name.startswith(("operation:", "queue:q:lane:", "queue:q:cancelling:", "worker:"))
    }


async def _with_ended(driver: Driver, clock: ManualClock) -> None:
    """A queue in which nothing is open, with a task in each end and every kind of key."""
    await driver.create(sla="1m", ladder=["50% warn", "100% breach"])
    await driver.push("done", key="k1", corr="REQ-1")
    claim = await driver.claim_one()
    clock.advance("2m")
    await driver.store.sweep("q")
    assert (await driver.settle(claim, "done", "", b"1")).answer == "ok"
    await driver.fail("failed")
    await driver.push("cancelled", key="k2")
    await driver.store.cancel("q", "cancelled")
    assert (await driver.stats()).open == 0


async def test_every_key_of_a_queue_that_was_used_goes(
    oms: AsyncOMSClient, store: Store, driver: Driver, clock: ManualClock
) -> None:
    await _with_ended(driver, clock)

    done = await finish(await take(store, await oms.delete_queue("q")))

    assert done.state == "done"
    assert "3 tasks forgotten" in done.error
    assert _left(driver) == set()


async def test_a_removal_that_dies_between_any_two_calls_is_gone_on_with(
    oms: AsyncOMSClient, store: Store, driver: Driver, clock: ManualClock
) -> None:
    """Each step is taken by another, and the one before has written nothing of its own."""
    await driver.push(*[f"t{n}" for n in range(5)])
    begun = await oms.delete_queue("q", force=True)
    for _ in range(30):
        if (await oms.operations.get(begun.id)).state.ended:
            break
        lost = await take(store, begun)
        clock.advance("16s")
        work = await take(store, begun)
        await lost.step()
        await work.step()
        clock.advance("16s")

    done = await oms.operations.get(begun.id)
    assert (done.state, done.done) == ("done", 5)
    assert _left(driver) == set()


@pytest.mark.parametrize("force", [True, False])
async def test_a_queue_closed_by_one_who_died_then_is_cleared_even_if_it_is_to_stop(
    *, oms: AsyncOMSClient, store: Store, driver: Driver, clock: ManualClock, force: bool
) -> None:
    await driver.fail("a")
    begun = await oms.delete_queue("q", force=force)
    work = await take(store, begun)
    if force:
        await work.step()
    await removal.close(store, begun, whatever=False)
    clock.advance("16s")
    await oms.operations.stop(begun.id)

    done = await finish(await take(store, begun))

    assert (done.state, done.error) == ("done", "1 tasks forgotten")
    assert _left(driver) == set()
    assert (await oms.create_queue("q")).version == 1


async def test_a_removal_that_meets_something_foreign_lets_the_queue_go_on(
    oms: AsyncOMSClient, store: Store, driver: Driver
) -> None:
    await driver.push("a")
    begun = await oms.delete_queue("q", force=True)
    work = await take(store, begun)
    await work.step()
    driver.raw("SET", "queue:q:scheduled", "wrong")
    await finish(work)

    assert (await oms.operations.get(begun.id)).state == "failed"
    driver.raw("DEL", "queue:q:scheduled")
    assert await driver.push("b") == ["created"]
    again = await finish(await take(store, await oms.delete_queue("q", force=True)))
    assert (again.state, again.error) == ("done", "2 tasks forgotten")


async def test_a_queue_that_is_created_anew_is_not_cleared_by_one_who_comes_late(
    oms: AsyncOMSClient, store: Store, driver: Driver, clock: ManualClock
) -> None:
    begun = await oms.delete_queue("q")
    work = await take(store, begun)
    await work.step()
    clock.advance("16s")
    other = await take(store, begun)
    await removal.forget_queue(store, begun, clock())  # and dies
    await driver.create()
    await driver.push("new")

    await work.step()
    await finish(other)

    assert (await oms.operations.get(begun.id)).state == "done"
    assert await oms.list_queues() == ["q"]
    assert (await driver.stats()).waiting == 1


async def test_two_who_remove_one_queue_are_one_removal(
    oms: AsyncOMSClient, store: Store, driver: Driver
) -> None:
    await driver.push("a", "b")
    first = await oms.delete_queue("q", force=True)
    second = await oms.delete_queue("q", force=True)
    one, other = await take(store, first), await take(store, second)
    while one.alive or other.alive:
        for work in (one, other):
            if work.alive:
                await work.step()

    states = {(await oms.operations.get(begun.id)).state for begun in (first, second)}
    assert states == {"done", "failed"}
    assert _left(driver) == set()


async def test_a_task_of_another_queue_that_stands_here_is_left_alone(
    oms: AsyncOMSClient, store: Store, driver: Driver, clock: ManualClock
) -> None:
    await oms.create_queue("other")
    await store.enqueue("other", [Enqueue("theirs", b"{}")])
    driver.raw("ZADD", "queue:q:failed", clock(), "theirs")

    done = await finish(await take(store, await oms.delete_queue("q")))

    assert (done.state, done.error) == ("done", "")
    assert driver.raw.kind("task:theirs:run") == "hash"


async def test_a_key_that_a_foreign_hand_made_something_else_goes_with_the_rest(
    oms: AsyncOMSClient, store: Store, driver: Driver
) -> None:
    await driver.fail("a")
    begun = await oms.delete_queue("q")
    work = await take(store, begun)
    await work.step()
    driver.raw("DEL", "queue:q:cancelled")
    driver.raw("SET", "queue:q:cancelled", "wrong")
    await finish(work)

    assert (await oms.operations.get(begun.id)).state == "done"
    assert _left(driver) == set()
