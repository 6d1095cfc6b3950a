"""R15: a task that one more crash would fail may be what kills its workers, so it runs apart."""

import pytest

from hms_async.domain.task import TaskState
from hms_async.storage.replies import Settle
from hms_async.testing import ManualClock
from tests.storage.driver import FAULT, Driver


async def crash(driver: Driver, clock: ManualClock, want: int = 10, times: int = 1) -> list[str]:
    """Claim, and die with what was claimed; returns the ids of the last time."""
    ids = list[str]()
    for _ in range(times):
        ids = [claim.id for claim in await driver.claim(want)]
        clock.advance("31s")
        await driver.sweep()
    return ids


async def test_r15_a_worker_that_holds_a_suspect_is_given_no_other(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a", "b", "c")
    await crash(driver, clock, times=2)
    await driver.push("innocent-1", "innocent-2")

    first = await driver.exchange(want=10)
    assert [claim.id for claim in first.claims] == ["a", "innocent-1", "innocent-2"]
    assert first.suspect == first.claims[0].token
    second = await driver.exchange(want=10, suspects=False)
    assert (second.claims, second.suspect) == ([], None)

    # Whoever holds none may take the next.
    other = await driver.another("cd").exchange(want=10)
    assert [claim.id for claim in other.claims] == ["b"]
    assert driver.lane_of("suspects") == ["c"]
    await driver.stats()


async def test_r15_the_next_suspect_comes_with_the_settling_of_the_last(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a", "b", "c")
    await crash(driver, clock, times=2)

    order = list[str]()
    settles = list[Settle]()
    while (reply := await driver.exchange(*settles, want=10)).claims:
        (claim,) = reply.claims
        order.append(claim.id)
        settles = [Settle(claim.id, claim.token, "done")]

    assert order == ["a", "b", "c"]
    assert (await driver.stats()).done == 3


async def test_r15_what_a_caller_may_not_take_is_not_left_for_it(
    driver: Driver, clock: ManualClock
) -> None:
    """Or it would ask again and again, and ring for itself."""
    await driver.push("a", "b")
    await crash(driver, clock, times=2)
    driver.take_token()

    first = await driver.exchange(want=10)
    assert (len(first.claims), first.left) == (1, 0)
    assert driver.take_token(), "somebody else may take the other"
    second = await driver.exchange(want=10, suspects=False)
    assert (second.claims, second.left) == ([], 0)
    assert not driver.take_token()

    released = await driver.exchange(Settle("a", first.claims[0].token, "done"), suspects=True)
    assert released.left == 1


async def test_r15_the_sweep_rings_for_suspects(driver: Driver, clock: ManualClock) -> None:
    await driver.push("a", "b")
    await crash(driver, clock, times=2)
    await driver.exchange(want=10)
    driver.take_token()

    await driver.sweep()

    assert driver.take_token()


@pytest.mark.parametrize("word", ["release", "retry", "error"])
async def test_r15_a_suspect_stays_one_through_every_lane(
    driver: Driver, clock: ManualClock, word: str
) -> None:
    await driver.push("a", "b")
    await crash(driver, clock, times=2)
    suspect = await driver.claim_one()
    await driver.settle(suspect, word, 0, FAULT if word != "release" else b"")

    reply = await driver.exchange(want=10, suspects=False)

    assert reply.claims == []
    assert sorted(driver.lane_of("suspects")) == ["a", "b"]
    assert driver.lane_of("express") == []
    await driver.stats()


async def test_r15_a_suspect_can_be_cancelled_and_needs_no_bump(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a", "b")
    await crash(driver, clock, times=2)
    await driver.exchange(want=10, suspects=False)

    assert await driver.store.bump("q", "b") == "already"
    assert await driver.store.cancel("q", "a") == "ok"

    assert [claim.id for claim in await driver.claim(10)] == ["b"]
    assert (await driver.stats()).waiting == 0


async def test_r15_suspects_are_listed_first_among_the_waiting(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a", "b")
    await crash(driver, clock, times=2)
    await driver.exchange(want=10, suspects=False)
    await driver.push("late", "urgent", prio="high")

    listed, cursor = list[str](), None
    while True:
        page = await driver.store.tasks("q", TaskState.WAITING, cursor, 1)
        listed += [task.id for task in page.tasks]
        cursor = page.cursor
        if cursor is None:
            break

    assert listed == ["a", "b", "late", "urgent"]
    assert (await driver.stats()).waiting == 4


async def test_r15_with_a_limit_of_one_crash_nobody_is_a_suspect(driver: Driver) -> None:
    await driver.create(max_crashes=1)
    await driver.push("a", "b")

    assert len((await driver.exchange(want=10, suspects=False)).claims) == 2


async def test_r15_asking_again_names_the_suspect_again(driver: Driver, clock: ManualClock) -> None:
    await driver.push("a")
    await crash(driver, clock, times=2)
    reply = await driver.exchange(want=1)

    again = await driver.deliver(want=1, seq=driver.seq)

    assert again is not None
    assert (again.verdict, again.suspect) == ("replayed", reply.claims[0].token)


@pytest.mark.parametrize("poison", [{"t7"}, {"t7", "t303", "t431"}])
async def test_r15_a_task_that_kills_its_worker_takes_hardly_an_innocent_with_it(
    driver: Driver, clock: ManualClock, poison: set[str]
) -> None:
    """Of 600 tasks, at 50 slots: with one poison nobody is harmed, with three at most a few."""
    await driver.push(*[f"t{number}" for number in range(600)])
    processes = 0
    while (await driver.stats()).open:
        processes += 1
        worker = driver.another(f"p{processes}")
        held: dict[str, tuple[str, bool]] = {}
        while not poison & set(held):
            # Each round the older half finishes.
            done = list(held)[: len(held) // 2 + 1]
            settles = [Settle(task_id, held.pop(task_id)[0], "done") for task_id in done]
            room = 50 - len(held)
            free = not any(suspect for _, suspect in held.values())
            reply = await worker.exchange(*settles, want=room, suspects=free)
            held |= {c.id: (c.token, c.token == reply.suspect) for c in reply.claims}
            if not held:
                break
        clock.advance("31s")
        await driver.sweep()

    failed = {task.id for task in (await driver.store.tasks("q", TaskState.FAILED)).tasks}
    assert poison <= failed
    assert len(failed - poison) <= (0 if len(poison) == 1 else 6)
    assert (await driver.stats()).done == 600 - len(failed)
