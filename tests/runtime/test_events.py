import re
from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import pytest

from hms_async import AsyncOMSClient, ConfigInvalid, Event, Handoff, ResultInvalid, Task
from tests.runtime.support import PATIENCE_S, QUICK, burst, do
from tests.servers import Raw


@pytest.fixture(autouse=True)
async def _queue(oms: AsyncOMSClient) -> None:
    await oms.create_queue("q", retry=QUICK)


async def take(
    oms: AsyncOMSClient, count: int, after: str | None = "0-0", **options: Any
) -> list[Event]:
    events: list[Event] = []
    with anyio.fail_after(PATIENCE_S):
        async for event in oms.events("q", after=after, **options):
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


# What a terminal event says.


async def ended(oms: AsyncOMSClient, handler: Callable[[Task[Any]], Any]) -> Event:
    """The event of the end of the one task that a handler does."""
    await do(oms, handler)
    *_, event = await take(oms, (await oms.stats("q")).totals.get("retried", 0) + 1)
    return event


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({"note": "Photo Validated"}, "Photo Validated"),
        ({"note": "é" * 501}, "é" * 500),
        ({"note": 5}, None),
        ({"note": ""}, None),
        ("note", None),
        (None, None),
    ],
)
async def test_the_event_of_a_done_task_has_its_note(
    oms: AsyncOMSClient, result: object, message: str | None
) -> None:
    event = await ended(oms, lambda _: result)

    assert (event.type, event.message, event.handoff, event.fields) == ("done", message, None, {})


@pytest.mark.parametrize("retryable", [False, True])
async def test_the_event_of_a_failed_task_says_why(oms: AsyncOMSClient, retryable: bool) -> None:  # noqa: FBT001
    async def fail(task: Task[Any]) -> None:
        await task.fail(f"face {task.attempt} missing, " + "x" * 600, retryable=retryable)

    event = await ended(oms, fail)

    assert event.type == "failed"
    assert event.message == (f"face {3 if retryable else 1} missing, " + "x" * 600)[:500]


async def test_an_exception_that_ends_a_task_is_told(oms: AsyncOMSClient) -> None:
    def explode(_: Task[Any]) -> None:
        raise ValueError("no ink")

    assert (await ended(oms, explode)).message == "no ink"


@pytest.mark.parametrize("as_mapping", [False, True])
async def test_a_hand_off_is_in_the_event_and_in_the_record(
    oms: AsyncOMSClient,
    as_mapping: bool,  # noqa: FBT001
) -> None:
    handoff = Handoff("passport.renewal", "REQ-123", {"photo": "sam.jpg"})
    given = msgspec.structs.asdict(handoff) if as_mapping else handoff

    async def hand_off(task: Task[Any]) -> None:
        await task.complete({"note": "Photo OK"}, handoff=given)

    event = await ended(oms, hand_off)

    assert (event.message, event.handoff) == ("Photo OK", handoff)
    record = await oms.get_task(str(event.task_id))
    assert (record.result, record.handoff) == ({"note": "Photo OK"}, handoff)


async def test_a_task_taken_by_hand_hands_off_as_well(oms: AsyncOMSClient) -> None:
    await oms.enqueue("q", 1)
    task = await oms.pop_task("q")
    assert task is not None
    await task.complete({"note": "paid"}, handoff={"workflow": "fees", "key": "k"})

    (event,) = await take(oms, 1)
    assert (event.message, event.handoff) == ("paid", Handoff("fees", "k"))


@pytest.mark.parametrize(
    ("handoff", "said"),
    [
        ({"workflow": "w"}, "handoff.key: missing"),
        (Handoff("w", "k", {"when": object()}), "handoff.payload.when: a value of type object"),
        (Handoff("w", "\ud800"), "handoff.key: a string with a lone surrogate"),
        (Handoff("w", "k", "x" * 1_000), "the hand-off has 1039 bytes of JSON, the queue takes"),
    ],
)
async def test_a_hand_off_that_is_none_fails_its_task_and_says_why(
    oms: AsyncOMSClient, handoff: Any, said: str
) -> None:
    await oms.create_queue("q", max_payload_bytes=1_000)

    async def hand_off(task: Task[Any]) -> None:
        await task.complete(1, handoff=handoff)

    event = await ended(oms, hand_off)
    assert (event.type, event.handoff) == ("failed", None)
    assert str(event.message).startswith(said)

    await oms.enqueue("q", 1)
    task = await oms.pop_task("q")
    assert task is not None
    with pytest.raises(ResultInvalid, match=re.escape(said)):
        await task.complete(1, handoff=handoff)
    assert (await oms.get_task(task.id)).error == {
        "type": "ResultInvalid",
        "message": event.message,
    }


# Filters and groups; `tests/storage/test_group.py` has the rest.


async def test_only_the_types_that_were_asked_for_are_told(oms: AsyncOMSClient) -> None:
    await oms.enqueue("q", 1)
    await burst(oms.url, once_then_done)
    await oms.pause("q")

    assert [event.type for event in await take(oms, 2, types=("done", "paused"))] == [
        "done",
        "paused",
    ]


async def test_a_body_that_did_not_end_is_told_again_and_the_rest_once(
    oms: AsyncOMSClient, raw: Raw
) -> None:
    for _ in range(2):
        await oms.pause("q")
        await oms.resume("q")
    first = await take(oms, 2, group="portal", consumer="a")
    rest = await take(oms, 3, group="portal", consumer="a")

    assert [event.type for event in first] == ["paused", "resumed"]
    assert [event.type for event in rest] == ["resumed", "paused", "resumed"]
    assert rest[0] == first[1]
    assert raw("XPENDING", "queue:q:events", "portal")["pending"] == 1


async def test_tasks_that_ended_together_are_acknowledged_together(
    oms: AsyncOMSClient, raw: Raw
) -> None:
    await oms.enqueue_many("q", range(10))
    await burst(oms.url, lambda _: None, concurrency=10)
    told = await take(oms, 10)
    entries = list(dict.fromkeys(event.id.partition(".")[0] for event in told))
    last = [event for event in told if event.id.startswith(entries[-1])]

    heard = await take(oms, 10, group="portal", consumer="a")
    again = await take(oms, len(last), group="portal", consumer="a")

    assert heard == told
    assert again == last
    assert raw("XPENDING", "queue:q:events", "portal")["pending"] == 1


async def test_two_readers_of_a_group_hear_each_event_once(oms: AsyncOMSClient) -> None:
    for _ in range(5):
        await oms.pause("q")
        await oms.resume("q")
    heard: list[str] = []
    everything = anyio.Event()

    async def listen() -> None:
        async for event in oms.events("q", group="portal", after="0-0"):
            heard.append(event.id)
            if len(heard) == 10:
                everything.set()

    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            group.start_soon(listen)
            await everything.wait()
            group.cancel_scope.cancel()

    assert sorted(heard) == [event.id for event in await take(oms, 10)]


async def test_a_reader_that_is_cancelled_while_it_waits_loses_nothing(
    oms: AsyncOMSClient,
) -> None:
    events = oms.events("q", group="portal", consumer="a")
    with anyio.move_on_after(0.05):
        await anext(events)

    await oms.pause("q")
    assert [event.type for event in await take(oms, 1, group="portal", consumer="a")] == ["paused"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"consumer": "a"}, "consumer='a' is one of a group: give group=, too"),
        ({"group": "a b"}, "group 'a b'"),
        ({"group": "g", "consumer": ""}, "consumer ''"),
        ({"group": "g", "after": "yesterday"}, "after='yesterday' is not the id of an event"),
        ({"types": "done"}, "write types=('done',)"),
    ],
)
async def test_arguments_that_make_no_sense_are_named(
    oms: AsyncOMSClient, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigInvalid, match=re.escape(said)):
        await anext(oms.events("q", **options))
