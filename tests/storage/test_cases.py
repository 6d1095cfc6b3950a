"""Cases: an index of tasks by correlation id, as long as the tasks are stored."""

import json

import pytest

from hms_async.domain.case import Case
from hms_async.storage.cases import read_case
from hms_async.testing import ManualClock
from tests.storage.driver import Driver


async def ids(driver: Driver, correlation_id: str = "REQ-1") -> list[str]:
    case = await read_case(driver.store, correlation_id, 2_000)
    return [] if case is None else [task.id for task in case.tasks]


async def the_case(driver: Driver, correlation_id: str = "REQ-1") -> Case:
    case = await read_case(driver.store, correlation_id, 2_000)
    assert case is not None
    return case


async def test_a_case_has_its_tasks_by_arrival_across_queues(
    driver: Driver, clock: ManualClock
) -> None:
    other = Driver(driver.store, driver.raw, queue="other")
    await other.create()
    await driver.push("b", corr="REQ-1")
    clock.advance("1s")
    await other.push("a", corr="REQ-1")
    await driver.push("later", corr="REQ-1", delay=60_000)
    await driver.push("x", corr="REQ-2")
    await driver.push("y")

    case = await the_case(driver)

    assert [(task.id, task.queue) for task in case.tasks] == [
        ("b", "q"),
        ("a", "other"),
        ("later", "q"),
    ]
    assert case.tasks[2].starts_ms == clock() + 60_000
    assert not case.more
    assert (case.summary.open, case.summary.at.id) == (3, "b")
    assert await ids(driver, "REQ-3") == []


async def test_a_refused_or_repeated_task_is_in_no_case(driver: Driver) -> None:
    await driver.create(max_depth=1)
    await driver.push("a", corr="REQ-1")

    assert await driver.push("a", "b", corr="REQ-2") == ["exists", "full"]

    assert await ids(driver) == ["a"]
    assert driver.raw.kind("case:REQ-2") == "none"


async def test_an_adopted_task_comes_into_its_case(driver: Driver) -> None:
    entry = {"id": "a", "correlation_id": "REQ-1", "payload": 1}
    driver.raw("RPUSH", "queue:q", json.dumps(entry))

    await driver.claim_one()

    assert await ids(driver) == ["a"]


async def test_i8_what_is_forgotten_leaves_its_case(driver: Driver, clock: ManualClock) -> None:
    await driver.push("old", corr="REQ-1")
    await driver.push("open", corr="REQ-1")
    await driver.push("alone", corr="REQ-2")
    await driver.store.cancel("q", "old")
    await driver.store.cancel("q", "alone")
    assert await ids(driver) == ["old", "open"]
    clock.advance("31d")

    await driver.store.prune("q")

    assert driver.raw("ZRANGE", "case:REQ-1", 0, -1) == [b"open"]
    assert driver.raw.kind("case:REQ-2") == "none"


async def test_i8_a_case_keeps_its_latest_tasks(driver: Driver, clock: ManualClock) -> None:
    await driver.push("first", corr="REQ-1")
    clock.advance("1s")
    many = [f"t{n:04}" for n in range(2_000)]
    for start in range(0, 2_000, 500):
        await driver.push(*many[start : start + 500], corr="REQ-1")

    assert driver.raw("ZCARD", "case:REQ-1") == 2_000
    assert driver.raw("ZSCORE", "case:REQ-1", "first") is None
    case = await read_case(driver.store, "REQ-1", 3)
    assert case is not None
    assert [task.id for task in case.tasks] == many[-3:]
    assert case.more


async def test_a_requeued_task_comes_back_into_its_case(driver: Driver) -> None:
    await driver.push("a", corr="REQ-1")
    await driver.store.cancel("q", "a")
    driver.raw("DEL", "case:REQ-1")

    await driver.store.requeue("q", "a")

    assert await ids(driver) == ["a"]
    assert driver.raw("PTTL", "case:REQ-1") > 300 * 86_400_000


@pytest.mark.parametrize("name", ["a:b {c} \n", "queue:q", "ü" * 512, "x" * 512, "x" * 513])
async def test_a_correlation_id_may_be_any_text(
    driver: Driver, clock: ManualClock, name: str
) -> None:
    await driver.push("a", corr=name)

    key = driver.store.keys.case(name)
    assert driver.raw("ZRANGE", key, 0, -1) == [b"a"]
    assert len(key) <= 520
    assert await ids(driver, name) == ["a"]
    assert await ids(driver, name + ".") == []
    await driver.store.cancel("q", "a")
    clock.advance("31d")
    await driver.store.prune("q")
    assert driver.raw("EXISTS", key) == 0


async def test_a_foreign_key_in_its_place_hides_a_case_and_stops_nothing(
    driver: Driver, clock: ManualClock
) -> None:
    driver.raw("SET", "case:REQ-1", "foreign")

    assert await driver.push("a", corr="REQ-1") == ["created"]
    assert await driver.store.cancel("q", "a") == "ok"
    assert await driver.store.requeue("q", "a") == "ok"
    assert await ids(driver) == []
    await driver.store.cancel("q", "a")
    clock.advance("31d")
    assert (await driver.store.prune("q"))[0] == 1


async def test_an_entry_that_outlived_its_task_shows_no_other_of_that_id(driver: Driver) -> None:
    await driver.push("a", corr="REQ-1")
    await driver.push("b", corr="REQ-2")
    driver.raw("ZADD", "case:REQ-1", 5, "b", 6, "gone")

    assert await ids(driver) == ["a"]
