"""What a client may ask of its tasks, with a worker at the other end."""

from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from hms_async import (
    AsyncOMSClient,
    ConfigInvalid,
    NewTask,
    ResultTimeout,
    Task,
    TaskFailed,
    TaskInProgress,
    TaskNotFound,
    TaskState,
    WrongState,
)
from tests.runtime.support import PATIENCE_S, QUICK, burst, worker
from tests.servers import Raw


@pytest.fixture(autouse=True)
async def _queue(oms: AsyncOMSClient) -> None:
    await oms.create_queue("q", retry=QUICK)


async def echo(task: Task[Any]) -> object:
    if task.payload == "fail":
        await task.fail("as asked")
    return task.payload


async def payloads(oms: AsyncOMSClient, state: TaskState) -> list[object]:
    return [task.payload for task in (await oms.list_tasks("q", state)).tasks]


async def test_a_delayed_task_starts_when_it_is_due_and_not_before(oms: AsyncOMSClient) -> None:
    begun = anyio.current_time()
    enqueued = await oms.enqueue("q", "later", delay=0.3)
    async with worker(oms.url, echo, supervise=False):
        assert await oms.result(enqueued.id, timeout=PATIENCE_S) == "later"

    assert anyio.current_time() - begun >= 0.3


async def test_an_eta_is_a_moment_and_one_that_has_passed_is_now(oms: AsyncOMSClient) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    past = await oms.enqueue("q", "past", eta=now - timedelta(hours=1))
    future = await oms.enqueue("q", "future", eta=now + timedelta(hours=1))
    await burst(oms.url, echo)

    assert (await oms.get_task(past.id)).state is TaskState.DONE
    record = await oms.get_task(future.id)
    assert record.state is TaskState.SCHEDULED
    assert record.starts_ms == (now + timedelta(hours=1)).timestamp() * 1_000


async def test_high_priority_goes_first(oms: AsyncOMSClient) -> None:
    order: list[object] = []

    async def note(task: Task[Any]) -> None:
        order.append(task.payload)

    await oms.enqueue("q", "normal")
    await oms.enqueue("q", "high", priority="high")
    await burst(oms.url, note, concurrency=1)

    assert order == ["high", "normal"]


async def test_one_idempotency_key_is_one_task_even_after_its_end(oms: AsyncOMSClient) -> None:
    first = await oms.enqueue("q", 1, idempotency_key="case 7")
    again = await oms.enqueue("q", 2, idempotency_key="case 7")
    await burst(oms.url, echo)
    after = await oms.enqueue("q", 3, idempotency_key="case 7")

    assert (first.created, again.created, after.created) == (True, False, False)
    assert {first.id, again.id, after.id} == {first.id}
    assert await oms.result(first.id, timeout=0) == 1


async def test_one_id_is_one_task(oms: AsyncOMSClient) -> None:
    results = await oms.enqueue_many("q", [NewTask("a", id="mine"), NewTask("b", id="mine")])

    assert [one.created for one in results] == [True, False]
    assert await payloads(oms, TaskState.WAITING) == ["a"]


async def test_what_has_not_started_is_cancelled_and_never_runs(oms: AsyncOMSClient) -> None:
    waiting = await oms.enqueue("q", "waiting")
    scheduled = await oms.enqueue("q", "scheduled", delay="1h")
    for task in (waiting, scheduled):
        await oms.cancel(task.id)
    await burst(oms.url, echo)

    stats = await oms.stats("q")
    assert (stats.cancelled, stats.done, stats.open) == (2, 0, 0)
    assert stats.balanced
    with pytest.raises(TaskFailed, match="is cancelled"):
        await oms.result(waiting.id, timeout=0)
    with pytest.raises(WrongState, match="is cancelled, cannot be cancelled"):
        await oms.cancel(waiting.id)


async def test_a_running_task_is_neither_requeued_nor_bumped(oms: AsyncOMSClient) -> None:
    refused = 0

    async def handle(task: Task[Any]) -> None:
        nonlocal refused
        for act in (oms.requeue, oms.bump):
            with pytest.raises(TaskInProgress, match="a worker holds it"):
                await act(task.id)
            refused += 1

    enqueued = await oms.enqueue("q", 1)
    await burst(oms.url, handle)

    assert refused == 2
    assert (await oms.get_task(enqueued.id)).state is TaskState.DONE


async def test_a_failed_task_is_requeued_and_starts_over(oms: AsyncOMSClient) -> None:
    enqueued = await oms.enqueue("q", "fail")
    await burst(oms.url, echo)
    await oms.requeue(enqueued.id)

    record = await oms.get_task(enqueued.id)
    assert (record.state, record.attempt, record.error) == (TaskState.WAITING, 0, None)

    async def mended(_task: Task[Any]) -> str:
        return "mended"

    await burst(oms.url, mended)
    assert await oms.result(enqueued.id, timeout=0) == "mended"
    with pytest.raises(WrongState, match="is done, cannot be requeued"):
        await oms.requeue(enqueued.id)
    assert (await oms.stats("q")).balanced


async def test_a_task_is_run_again_as_a_new_one_and_each_names_the_other(
    oms: AsyncOMSClient,
) -> None:
    payload = {"account": 2**70 + 1, "parts": [1.5, None]}
    old = await oms.enqueue("q", payload, id="t1", correlation_id="REQ-1", priority="high")

    same = await oms.run_again(old.id)
    other = await oms.run_again(old.id, payload=None, correlation_id=None, id="t2")

    first, then, was = [await oms.get_task(one.id) for one in (same, other, old)]
    assert (first.payload, then.payload) == (payload, None)
    assert (first.correlation_id, then.correlation_id) == ("REQ-1", None)
    assert {(one.queue, one.priority, one.again_of) for one in (first, then)} == {
        ("q", "high", "t1"),
    }
    assert (was.state, was.again_of, was.again_as) == (TaskState.WAITING, None, "t2")
    assert (await oms.run_again(old.id, id="t2")).created is False
    assert (await oms.stats("q")).waiting == 3
    assert [(one.task_id, one.fields) for one in (await oms.audit("q")).entries[:-1]] == [
        ("t2", {"of": "t1"}),
        (same.id, {"of": "t1"}),
    ]


async def test_what_cannot_be_read_is_run_again_with_another_payload_only(
    oms: AsyncOMSClient, raw: Raw
) -> None:
    old = await oms.enqueue("q", 1)
    raw("SET", f"task:{old.id}", "no envelope")

    with pytest.raises(WrongState, match="no payload that can be read"):
        await oms.run_again(old.id)

    again = await oms.run_again(old.id, payload=2)
    assert (await oms.get_task(again.id)).payload == 2


async def test_a_bumped_task_goes_before_the_others(oms: AsyncOMSClient) -> None:
    ids = [one.id for one in await oms.enqueue_many("q", ["first", "second", "third"])]
    await oms.bump(ids[2])
    await oms.bump(ids[2])

    assert await payloads(oms, TaskState.WAITING) == ["third", "first", "second"]


async def test_a_paused_queue_is_left_alone_until_it_is_resumed(oms: AsyncOMSClient) -> None:
    assert await oms.pause("q", reason="an outage elsewhere")
    assert not await oms.pause("q")
    enqueued = await oms.enqueue("q", 1)
    await burst(oms.url, echo)

    queue = await oms.get_queue("q")
    assert (queue.paused, queue.reason) == (True, "an outage elsewhere")
    assert (await oms.get_task(enqueued.id)).state is TaskState.WAITING

    async with worker(oms.url, echo):
        assert await oms.resume("q")
        assert not await oms.resume("q")
        assert await oms.result(enqueued.id, timeout=PATIENCE_S) == 1


async def test_a_result_is_waited_for(oms: AsyncOMSClient) -> None:
    gate = anyio.Event()

    async def handle(task: Task[Any]) -> object:
        await gate.wait()
        return task.payload

    enqueued = await oms.enqueue("q", {"n": 1})
    results: list[object] = []

    async def wait() -> None:
        results.append(await oms.result(enqueued.id, timeout=PATIENCE_S))

    async with worker(oms.url, handle), anyio.create_task_group() as group:
        group.start_soon(wait)
        with pytest.raises(ResultTimeout, match="it goes on") as error:
            await oms.result(enqueued.id, timeout=0.05)
        assert error.value.task_id == enqueued.id
        gate.set()

    assert results == [{"n": 1}]


async def test_the_result_of_a_failed_task_is_its_reason(oms: AsyncOMSClient) -> None:
    enqueued = await oms.enqueue("q", "fail")
    async with worker(oms.url, echo):
        with pytest.raises(TaskFailed, match="is failed: as asked") as error:
            await oms.result(enqueued.id, timeout=PATIENCE_S)

    assert (error.value.state, error.value.reason) == ("failed", "as asked")


async def test_a_task_that_never_was_is_not_found(oms: AsyncOMSClient) -> None:
    for act in (oms.get_task, oms.cancel, oms.requeue, oms.bump, oms.run_again):
        with pytest.raises(TaskNotFound, match='no task "never"'):
            await act("never")
    with pytest.raises(TaskNotFound):
        await oms.result("never", timeout=1)


async def test_lists_come_in_pages_without_gaps_and_in_claim_order(oms: AsyncOMSClient) -> None:
    await oms.enqueue_many("q", list(range(7)))
    await oms.enqueue_many("q", [NewTask(f"high {n}", priority="high") for n in range(4)])
    seen: list[object] = []
    cursor = None
    while True:
        page = await oms.list_tasks("q", TaskState.WAITING, cursor, limit=3)
        seen += [task.payload for task in page.tasks]
        cursor = page.cursor
        if cursor is None:
            break

    assert seen == ["high 0", "high 1", "high 2", "high 3", 0, 1, 2, 3, 4, 5, 6]


async def test_ended_tasks_are_listed_newest_first(oms: AsyncOMSClient) -> None:
    for payload in ("a", "b"):
        await oms.enqueue("q", payload)
        await burst(oms.url, echo)
        await anyio.sleep(0.002)  # the order is that of milliseconds

    assert await payloads(oms, TaskState.DONE) == ["b", "a"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"state": "dead"}, "'dead' is not a state: one of scheduled, waiting"),
        ({"state": "done", "limit": 0}, "limit=0 is not a"),
        ({"state": "done", "limit": 501}, "limit=501"),
        ({"state": "done", "cursor": "rubbish"}, "cursor"),
    ],
)
async def test_a_list_that_cannot_be_is_refused(
    oms: AsyncOMSClient, arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigInvalid, match=says):
        await oms.list_tasks("q", **arguments)
