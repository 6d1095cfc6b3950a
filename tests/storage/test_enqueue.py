"""R7, the store's side: an id or a key is one task, and each item is answered for itself."""

import pytest

from hms_async.errors import QueueNotFound, StoreProtocol
from hms_async.storage import codec
from hms_async.storage.replies import Enqueue
from hms_async.testing import ManualClock
from tests.storage.driver import Driver

KEY = "unique:q:photo-1"


async def test_r7_the_same_request_sent_again_is_one_task(driver: Driver) -> None:
    assert await driver.push("a", "b") == ["created", "created"]
    assert await driver.push("a", "b", "c") == ["exists", "exists", "created"]

    assert driver.lane_of() == ["a", "b", "c"]
    assert (await driver.stats()).totals["accepted"] == 3


async def test_r7_an_id_twice_in_one_call_is_one_task(driver: Driver) -> None:
    assert await driver.push("a", "a") == ["created", "exists"]

    assert (await driver.stats()).waiting == 1


async def test_r7_a_key_stands_for_its_first_task_while_that_is_open(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a", key="photo-1")
    clock.advance("30d")

    answer = (await driver.store.enqueue("q", [_keyed("b")]))[0]

    assert answer == ("exists", "a", "waiting")
    assert driver.raw("PTTL", KEY) == -1
    assert driver.raw("EXISTS", "task:b") == 0


async def test_r7_a_key_twice_in_one_call_is_one_task(driver: Driver) -> None:
    answers = await driver.store.enqueue("q", [_keyed("a"), _keyed("b")])

    assert answers == [None, ("exists", "a", "waiting")]


async def test_r7_the_same_key_in_another_queue_is_another_task(driver: Driver) -> None:
    other = Driver(driver.store, driver.raw, queue="other")
    await other.create()

    assert await driver.push("a", key="photo-1") == ["created"]
    assert await other.push("b", key="photo-1") == ["created"]


async def test_r7_a_key_is_written_only_with_its_task(driver: Driver) -> None:
    await driver.create(max_depth=1)
    await driver.push("a")

    assert await driver.push("b", key="photo-1") == ["full"]

    assert driver.raw("EXISTS", KEY) == 0


@pytest.mark.parametrize(
    ("ends_after", "rest_ms"), [("1h", 23 * 3_600_000), ("30h", 1)], ids=["window", "end"]
)
async def test_r7_a_key_lives_until_the_later_of_its_window_and_the_tasks_end(
    driver: Driver, clock: ManualClock, ends_after: str, rest_ms: int
) -> None:
    await driver.create(idempotency_window="24h")
    await driver.push("a", key="photo-1")
    claim = await driver.claim_one()
    clock.advance(ends_after)

    await driver.settle(claim, "done")

    left = driver.raw("PTTL", KEY)
    assert rest_ms - 5_000 < left <= rest_ms
    assert left != -1


async def test_r7_the_window_of_a_scheduled_task_begins_when_it_is_accepted(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a", key="photo-1", delay=10 * 3_600_000)
    clock.advance("1h")

    await driver.store.cancel("q", "a")

    assert 0 <= 23 * 3_600_000 - driver.raw("PTTL", KEY) < 5_000


async def test_r7_requeue_keeps_the_key_for_the_tasks_whole_second_life(driver: Driver) -> None:
    await driver.push("a", key="photo-1")
    await driver.store.cancel("q", "a")
    assert driver.raw("PTTL", KEY) > 0

    await driver.store.requeue("q", "a")

    assert driver.raw("PTTL", KEY) == -1


async def test_r7_a_requeued_task_does_not_end_the_key_of_a_later_one(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a", key="photo-1")
    await driver.store.cancel("q", "a")
    driver.raw("DEL", KEY)
    clock.advance("25h")
    await driver.push("b", key="photo-1")
    await driver.store.requeue("q", "a")

    await driver.store.cancel("q", "a")

    assert driver.raw.string(KEY) == b"b"
    assert driver.raw("PTTL", KEY) == -1


async def test_r7_one_bad_item_of_a_call_fails_alone(driver: Driver) -> None:
    await driver.create(max_payload_bytes=10, max_depth=3)
    await driver.push("old")

    big = Enqueue("big", codec.encode_envelope("big", "q", b'"0123456789"'))
    fits = Enqueue("fits", codec.encode_envelope("fits", "q", b'"01234567"'))
    small = [Enqueue(task_id, b'{"payload":1}') for task_id in ("old", "b", "c")]
    answers = await driver.store.enqueue("q", [big, fits, *small])

    assert answers == [
        ("too_large", "big", "10"),
        None,
        ("exists", "old", "waiting"),
        None,
        ("full", "c", "3"),
    ]
    await driver.stats()


async def test_r7_an_unknown_queue_takes_nothing(driver: Driver) -> None:
    with pytest.raises(QueueNotFound):
        await driver.store.enqueue("nowhere", [Enqueue("a", b"{}")])

    assert driver.raw("EXISTS", "task:a") == 0


@pytest.mark.parametrize("task_id", ["", "has space", "-dash", "x" * 129, "ä", '{"a":1}'])
async def test_r7_an_id_outside_the_alphabet_is_refused_before_anything_is_written(
    driver: Driver, task_id: str
) -> None:
    before = driver.raw.snapshot()

    with pytest.raises(StoreProtocol):
        await driver.store.enqueue("q", [Enqueue("a", b"{}"), Enqueue(task_id, b"{}")])

    assert driver.raw.snapshot() == before


@pytest.mark.parametrize(
    "options",
    [
        b'{"corr":null,"key":null,"delay":null,"sla":null,"prio":null}',
        b'{"corr":{"a":1},"key":[1],"delay":"soon","sla":{},"eta":true}',
        b'{"delay":1e400,"sla":1e400,"eta":1e400}',
        b'{"delay":-1e400,"sla":1.5,"eta":-5}',
        b'{"delay":nan,"sla":nan,"eta":nan}',
    ],
)
async def test_r7_options_of_a_wrong_kind_never_leave_half_a_task(
    driver: Driver, options: bytes
) -> None:
    await driver.create(sla="1h")

    try:
        answers = await driver.store.enqueue("q", [Enqueue("a", b'{"payload":1}', options)])
    except StoreProtocol:
        assert not {"task:a", "task:a:run"} & driver.raw.names()
    else:
        assert answers == [None]
        record = await driver.store.task("a")
        assert record is not None
        assert (await driver.stats()).open == 1


async def test_r7_more_than_8000_tasks_fit_into_one_call(driver: Driver) -> None:
    ids = [f"t{number}" for number in range(8_500)]

    assert set(await driver.push(*ids)) == {"created"}

    assert driver.lane_of() == ids
    assert (await driver.stats()).waiting == 8_500


async def test_i4_scheduled_tasks_arrive_when_they_are_due(
    driver: Driver, clock: ManualClock
) -> None:
    now = clock()
    await driver.push("later", delay=60_000, sla=1_000)
    await driver.push("then", eta=now + 30_000)
    await driver.push("past", eta=now - 30_000)

    assert driver.zset("scheduled") == {"later": now + 60_000, "then": now + 30_000}
    assert driver.lane_of() == ["past"]
    record = await driver.store.task("later")
    assert record is not None
    assert (record.arrived_ms, record.due_ms) == (now + 60_000, now + 61_000)
    assert record.starts_ms == now + 60_000


def _keyed(task_id: str) -> Enqueue:
    return Enqueue(task_id, b'{"payload":1}', b'{"key":"photo-1"}')
