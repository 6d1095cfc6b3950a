"""Reading events in a group: each at least once, to one of its readers (R20)."""

from typing import Any

import pytest
from redis.exceptions import ConnectionError as NoConnection

from hms_async.domain.event import GAP, Event
from hms_async.errors import StoreUnavailable
from hms_async.storage import group
from hms_async.storage.events import START
from hms_async.storage.group import GroupReader
from hms_async.storage.replies import Settle
from tests.servers import Raw
from tests.storage.driver import Driver

pytestmark = pytest.mark.usefixtures("driver")


def take_all_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds an entry is taken for dead from now on."""
    monkeypatch.setattr(group, "TAKE_OVER_AFTER_MS", 0)
    monkeypatch.setattr(group, "LOOK_EVERY_S", 0.0)


def reader(driver: Driver, consumer: str = "a", after: str | None = START) -> GroupReader:
    return GroupReader(driver.store, driver.queue, group="portal", consumer=consumer, after=after)


async def cancelled(driver: Driver, *ids: str) -> None:
    """An event for each."""
    await driver.push(*ids)
    for task_id in ids:
        assert await driver.store.cancel(driver.queue, task_id) == "ok"


async def done_together(driver: Driver, *ids: str) -> None:
    """One entry for all of them."""
    await driver.push(*ids)
    claims = await driver.claim(len(ids))
    await driver.exchange(*[Settle(one.id, one.token, "done", "", b"1") for one in claims])


async def told(one: GroupReader, calls: int = 1) -> list[Event]:
    """What some calls tell."""
    await one.start()
    return [event for _ in range(calls) for event in await one.read(1)]


async def read(one: GroupReader, calls: int = 1) -> list[str | None]:
    """What some calls tell, in short: ids of tasks, or `gap`."""
    return [GAP if event.type == GAP else event.task_id for event in await told(one, calls)]


def pending(raw: Raw) -> int:
    return int(raw("XPENDING", "queue:q:events", "portal")["pending"])


async def test_what_was_told_is_acknowledged_by_asking_for_more(driver: Driver, raw: Raw) -> None:
    await cancelled(driver, "t1", "t2")
    one = reader(driver)

    assert await read(one) == ["t1"]
    assert pending(raw) == 1
    assert await read(one) == ["t2"]
    assert pending(raw) == 1
    assert await read(one) == []
    assert pending(raw) == 0


async def test_a_consumer_that_comes_back_is_told_again_at_once(driver: Driver) -> None:
    await cancelled(driver, "t1", "t2")

    assert await read(reader(driver)) == ["t1"]
    assert await read(reader(driver), 3) == ["t1", "t2"]


async def test_the_readers_of_a_group_share_its_events(driver: Driver) -> None:
    await cancelled(driver, "t1", "t2", "t3")
    one, other = reader(driver, "a"), reader(driver, "b")

    assert await read(one) == ["t1"]
    assert await read(other) == ["t2"]
    assert await read(one, 2) == ["t3"]
    assert await read(other) == []


async def test_what_dead_consumers_held_goes_to_another(
    driver: Driver, raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cancelled(driver, "t1", "t2", "t3")
    for consumer in ("a", "b"):
        assert len(await read(reader(driver, consumer))) == 1
    take_all_for_dead(monkeypatch)

    assert await read(reader(driver, "c"), 4) == ["t1", "t2", "t3"]
    assert pending(raw) == 0


async def test_a_consumer_that_lives_keeps_what_it_holds(driver: Driver) -> None:
    await cancelled(driver, "t1", "t2")
    assert await read(reader(driver, "a")) == ["t1"]

    assert await read(reader(driver, "b"), 3) == ["t2"]


async def test_an_entry_of_several_tasks_is_told_again_as_a_whole(driver: Driver) -> None:
    await done_together(driver, "t1", "t2", "t3")

    first = await told(reader(driver))
    assert [event.task_id for event in first] == ["t1", "t2", "t3"]
    assert await told(reader(driver)) == first


async def test_a_group_that_is_new_begins_where_it_was_told(driver: Driver) -> None:
    await cancelled(driver, "t1")
    one = GroupReader(driver.store, "q", group="now", consumer="a")
    await one.start()
    await cancelled(driver, "t2", "t3")
    (event,) = await one.read(1)
    later = GroupReader(driver.store, "q", group="later", consumer="a", after=event.id)
    again = GroupReader(driver.store, "q", group="now", consumer="b", after=START)

    assert event.task_id == "t2"
    assert await read(later, 2) == ["t3"]
    assert await read(again, 2) == ["t3"]  # the group knows its place by itself


async def test_a_place_within_an_entry_begins_with_that_entry(driver: Driver) -> None:
    await done_together(driver, "t1", "t2", "t3")
    first, second, _ = await told(reader(driver))
    assert second.id == f"{first.id.partition('.')[0]}.1"

    later = GroupReader(driver.store, "q", group="later", consumer="a", after=second.id)
    assert await read(later) == ["t1", "t2", "t3"]


async def test_pending_entries_that_were_trimmed_away_are_a_gap(driver: Driver, raw: Raw) -> None:
    await cancelled(driver, "t1", "t2", "t3")
    assert await read(reader(driver, "a")) == ["t1"]
    assert await read(reader(driver, "b")) == ["t2"]
    raw("XTRIM", "queue:q:events", "MAXLEN", "=", "2")

    assert await read(reader(driver, "a"), 3) == [GAP, "t3"]
    assert pending(raw) == 1


async def test_trimmed_entries_of_a_dead_consumer_are_a_gap(
    driver: Driver, raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cancelled(driver, "t1", "t2", "t3")
    assert await read(reader(driver, "a")) == ["t1"]
    assert await read(reader(driver, "b")) == ["t2"]
    raw("XTRIM", "queue:q:events", "MAXLEN", "=", "2")
    take_all_for_dead(monkeypatch)

    assert sorted(map(str, await read(reader(driver, "c"), 5))) == [GAP, "t2", "t3"]
    assert pending(raw) == 0


async def test_a_group_that_fell_behind_is_told_of_the_gap(driver: Driver, raw: Raw) -> None:
    await cancelled(driver, "t1", "t2")
    assert await read(reader(driver), 2) == ["t1", "t2"]
    assert await read(reader(driver), 2) == ["t2"]
    await cancelled(driver, "t3", "t4")
    raw("XTRIM", "queue:q:events", "MAXLEN", "=", "1")

    assert await read(reader(driver), 3) == [GAP, "t4"]


async def test_a_group_that_is_gone_begins_again_after_a_gap(driver: Driver, raw: Raw) -> None:
    await cancelled(driver, "t1")
    one = reader(driver, after=None)
    assert await read(one) == []
    raw("XGROUP", "DESTROY", "queue:q:events", "portal")

    again = [event for _ in range(3) for event in await one.read(1)]
    assert [(event.type, event.task_id) for event in again] == [(GAP, None), ("cancelled", "t1")]


async def test_an_entry_whose_delivery_was_lost_is_asked_for_again(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cancelled(driver, "t1", "t2")
    one = reader(driver)
    assert await read(one) == ["t1"]
    ask = driver.store.waiting.xreadgroup

    async def lose(*args: Any, **options: Any) -> Any:
        await ask(*args, **options)
        raise NoConnection("gone")

    with monkeypatch.context() as patch:
        patch.setattr(driver.store.waiting, "xreadgroup", lose)
        with pytest.raises(StoreUnavailable):
            await one.read(1)

    assert await read(one, 2) == ["t2"]
