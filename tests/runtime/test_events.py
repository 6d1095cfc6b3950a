from typing import Any

import anyio
import pytest

from hms_async import AsyncOMSClient, Event, Task
from tests.runtime.support import PATIENCE_S, QUICK, burst
from tests.servers import Raw


@pytest.fixture(autouse=True)
async def _queue(oms: AsyncOMSClient) -> None:
    await oms.create_queue("q", retry=QUICK)


async def take(oms: AsyncOMSClient, count: int, after: str | None = "0-0") -> list[Event]:
    events: list[Event] = []
    with anyio.fail_after(PATIENCE_S):
        async for event in oms.events("q", after=after):
            events.append(event)
            if len(events) == count:
                break
    return events


async def once_then_done(task: Task[Any]) -> None:
    if task.attempt == 1:
        await task.retry(delay=0)


async def test_what_happens_to_tasks_is_told_in_order(oms: AsyncOMSClient) -> None:
    enqueued = await oms.enqueue("q", 1, correlation_id="REQ-1")
    await burst(oms.url, once_then_done)
    await oms.pause("q", reason="lunch")
    await oms.resume("q")
    events = await take(oms, 4)

    assert [event.type for event in events] == ["retrying", "done", "paused", "resumed"]
    assert [(event.task_id, event.correlation_id) for event in events[:2]] == [
        (enqueued.id, "REQ-1")
    ] * 2
    assert events[2].fields["reason"] == "lunch"
    assert {event.queue for event in events} == {"q"}


async def test_a_reader_goes_on_where_it_left_off(oms: AsyncOMSClient) -> None:
    for _ in range(2):
        await oms.pause("q")
        await oms.resume("q")
    first = await take(oms, 2)
    rest = await take(oms, 2, after=first[-1].id)

    assert [event.type for event in first + rest] == ["paused", "resumed"] * 2


async def test_a_reader_without_a_place_hears_only_what_is_new(oms: AsyncOMSClient) -> None:
    await oms.pause("q")
    heard: list[Event] = []

    async def listen() -> None:
        heard.extend(await take(oms, 1, after=None))

    async with anyio.create_task_group() as group:
        group.start_soon(listen)
        while not heard:
            await oms.resume("q")
            await oms.pause("q")
            await anyio.lowlevel.checkpoint()

    assert heard[0].type in ("resumed", "paused")
    assert heard[0].id > (await take(oms, 1))[0].id


async def test_a_reader_that_fell_behind_is_told_of_the_gap(oms: AsyncOMSClient, raw: Raw) -> None:
    await oms.pause("q")
    place = (await take(oms, 1))[0].id
    for _ in range(3):
        await oms.resume("q")
        await oms.pause("q")
    raw("XTRIM", "queue:q:events", "MAXLEN", "=", "2")
    events = await take(oms, 3, after=place)

    assert [event.type for event in events] == ["gap", "resumed", "paused"]


async def test_tasks_that_end_together_are_told_one_by_one(oms: AsyncOMSClient, raw: Raw) -> None:
    cases = [f"REQ-{number}" if number % 2 else None for number in range(25)]
    sent = [
        (await oms.enqueue("q", number, correlation_id=case)).id
        for number, case in enumerate(cases)
    ]

    await burst(oms.url, lambda _: None, concurrency=25)

    told = await take(oms, 25)
    assert {(event.task_id, event.correlation_id) for event in told} == set(
        zip(sent, cases, strict=True)
    )
    assert raw("XLEN", "queue:q:events") < 25


async def test_a_reader_goes_on_in_the_middle_of_an_entry(oms: AsyncOMSClient) -> None:
    for number in range(25):
        await oms.enqueue("q", number)
    await burst(oms.url, lambda _: None, concurrency=25)
    told = await take(oms, 25)

    for read in (1, 9, 10, 11, 24):
        rest = await take(oms, 25 - read, after=told[read - 1].id)
        assert [event.task_id for event in rest] == [event.task_id for event in told[read:]]
