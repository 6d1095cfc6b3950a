import asyncio
import threading
from contextlib import suppress
from typing import Any

import anyio
import pytest

from hms_async import (
    AlreadySettled,
    AsyncOMSClient,
    LeaseLost,
    ResultInvalid,
    RetryPolicy,
    Task,
    TaskState,
)
from tests.runtime.support import QUICK, burst, do, lose_leases


@pytest.fixture(autouse=True)
async def _queue(oms: AsyncOMSClient) -> None:
    await oms.create_queue("q", retry=QUICK, max_payload_bytes=1_000)


async def test_a_returned_value_completes(oms: AsyncOMSClient) -> None:
    async def handle(task: Task[Any]) -> dict[str, Any]:
        return {"saw": task.payload}

    record = await do(oms, handle, {"n": 1})

    assert (record.state, record.result) == (TaskState.DONE, {"saw": {"n": 1}})


async def test_a_plain_function_that_returns_nothing_completes(oms: AsyncOMSClient) -> None:
    def handle(task: Task[Any]) -> None:
        assert task.payload == "hello"

    record = await do(oms, handle, "hello")

    assert (record.state, record.result) == (TaskState.DONE, None)


async def test_complete_is_awaited_or_not_as_one_likes(oms: AsyncOMSClient) -> None:
    async def awaits(task: Task[Any]) -> None:
        await task.complete(1)

    async def does_not(task: Task[Any]) -> None:
        task.complete(2)

    def plain(task: Task[Any]) -> None:
        task.complete(3)

    assert [(await do(oms, one)).result for one in (awaits, does_not, plain)] == [1, 2, 3]


async def test_fail_in_a_plain_function_is_final(oms: AsyncOMSClient) -> None:
    def handle(task: Task[Any]) -> None:
        task.fail("Not a JPEG")

    record = await do(oms, handle)

    assert (record.state, record.reason, record.attempt) == (TaskState.FAILED, "Not a JPEG", 1)


async def test_a_retryable_fail_is_tried_again(oms: AsyncOMSClient) -> None:
    async def handle(task: Task[Any]) -> int | None:
        if task.attempt < 3:
            await task.fail("not yet", retryable=True)
            return None
        return task.attempt

    record = await do(oms, handle)

    assert (record.state, record.result) == (TaskState.DONE, 3)
    assert [attempt.error for attempt in record.attempts] == ["not yet", "not yet"]


async def test_retry_counts_as_a_failed_attempt(oms: AsyncOMSClient) -> None:
    async def handle(task: Task[Any]) -> None:
        await task.retry(delay=0)

    record = await do(oms, handle)

    assert (record.state, record.attempt) == (TaskState.FAILED, 3)


async def test_retry_waits_for_its_delay(oms: AsyncOMSClient) -> None:
    async def handle(task: Task[Any]) -> None:
        await task.retry(delay="1h")

    record = await do(oms, handle)

    assert record.state is TaskState.RETRYING
    assert record.starts_ms is not None
    assert record.started_ms is not None
    assert 3_590_000 < record.starts_ms - record.started_ms < 3_610_000


async def test_an_exception_is_retried_and_its_traceback_is_kept(oms: AsyncOMSClient) -> None:
    async def handle(_task: Task[Any]) -> None:
        raise ZeroDivisionError("by hand")

    record = await do(oms, handle)

    assert (record.state, record.reason) == (TaskState.FAILED, "ZeroDivisionError: by hand")
    assert [attempt.number for attempt in record.attempts] == [1, 2, 3]
    assert all("in handle\n" in attempt.traceback for attempt in record.attempts)


async def test_a_second_outcome_is_refused_and_the_first_one_stands(oms: AsyncOMSClient) -> None:
    refused: list[AlreadySettled] = []

    async def handle(task: Task[Any]) -> None:
        await task.complete("first")
        with pytest.raises(AlreadySettled) as error:
            task.complete("late")
        refused.append(error.value)
        with pytest.raises(AlreadySettled):
            task.fail("late")
        with pytest.raises(AlreadySettled):
            await task.retry()

    record = await do(oms, handle)

    assert (record.state, record.result) == (TaskState.DONE, "first")
    assert "the first one stands" in str(refused[0])


async def test_an_outcome_after_a_returned_value_is_refused(oms: AsyncOMSClient) -> None:
    kept: list[Task[Any]] = []

    async def handle(task: Task[Any]) -> str:
        kept.append(task)
        return "returned"

    record = await do(oms, handle)

    with pytest.raises(AlreadySettled):
        kept[0].fail("too late")
    assert record.result == "returned"


async def test_a_second_outcome_of_another_task_fails_this_one(oms: AsyncOMSClient) -> None:
    async def handle(_task: Task[Any]) -> None:
        raise AlreadySettled("other", "task other has an outcome")

    record = await do(oms, handle)

    assert (record.state, record.attempt) == (TaskState.FAILED, 3)
    assert record.reason == "AlreadySettled: task other has an outcome"


async def test_an_uncaught_second_outcome_does_not_fail_the_task(oms: AsyncOMSClient) -> None:
    def handle(task: Task[Any]) -> None:
        task.complete("first")
        task.complete("second")

    record = await do(oms, handle)

    assert (record.state, record.result) == (TaskState.DONE, "first")


@pytest.mark.parametrize("result", [{1, 2}, b"bytes", float("nan"), "x" * 1_001, object()])
async def test_a_result_that_cannot_be_kept_fails_at_once(
    oms: AsyncOMSClient, result: object
) -> None:
    async def returns(_task: Task[Any]) -> object:
        return result

    async def completes(task: Task[Any]) -> None:
        with pytest.raises(ResultInvalid):
            task.complete(result)

    for handle in (returns, completes):
        record = await do(oms, handle)

        assert (record.state, record.attempt) == (TaskState.FAILED, 1)
        assert record.reason.startswith("ResultInvalid: ")


async def test_exit_in_a_handler_does_not_end_the_worker(oms: AsyncOMSClient) -> None:
    def plain(_task: Task[Any]) -> None:
        raise SystemExit(3)

    async def coroutine(_task: Task[Any]) -> None:
        raise SystemExit(3)

    for handle in (plain, coroutine):
        record = await do(oms, handle)

        assert (record.state, record.reason) == (TaskState.FAILED, "SystemExit: 3")


async def test_a_cancellation_of_its_own_is_a_handlers_own_fault(oms: AsyncOMSClient) -> None:
    async def handle(_task: Task[Any]) -> None:
        cancelled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        cancelled.cancel()
        await cancelled

    record = await do(oms, handle)

    assert (record.state, record.attempt) == (TaskState.FAILED, 3)
    assert record.reason.startswith("CancelledError")


async def test_a_handler_that_cancels_its_own_task_leaves_the_slot_alive(
    oms: AsyncOMSClient,
) -> None:
    async def handle(task: Task[Any]) -> str:
        current = asyncio.current_task()
        assert current is not None
        current.cancel()
        if task.payload == "awaits":
            await anyio.sleep(60)
        return "returned"

    ids = [(await oms.enqueue("q", payload)).id for payload in ("awaits", "returns", "returns")]
    await burst(oms.url, handle, concurrency=1)

    states = [(await oms.get_task(task_id)).state for task_id in ids]
    assert states == [TaskState.FAILED, TaskState.DONE, TaskState.DONE]


async def test_a_task_group_that_fails_in_a_handler_is_one_failure(oms: AsyncOMSClient) -> None:
    async def fails() -> None:
        raise SystemError("inner")

    async def handle(_task: Task[Any]) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(fails)

    record = await do(oms, handle)

    assert record.state is TaskState.FAILED
    assert "SystemError: inner" in record.attempts[0].traceback


async def test_a_lost_lease_cancels_the_handler_and_refuses_its_outcome(
    oms: AsyncOMSClient,
) -> None:
    await oms.create_queue("q", retry=RetryPolicy(), lease="3s", max_payload_bytes=1_000)
    heard: list[object] = []

    async def handle(task: Task[Any]) -> str:
        if task.attempt > 1:
            return "second"
        await lose_leases(oms, task.queue)
        try:
            await anyio.sleep(30)
        except anyio.get_cancelled_exc_class():
            with pytest.raises(LeaseLost) as error:
                task.complete("first")
            heard.append(error.value)
            raise
        return "first"

    record = await do(oms, handle)

    assert [str(error) for error in heard] == [
        f"the lease of task {record.id} is lost: another worker may have it"
    ]
    assert (record.state, record.result, record.crashes) == (TaskState.DONE, "second", 1)


async def test_an_attempt_that_runs_for_too_long_is_ended_and_tried_again(
    oms: AsyncOMSClient,
) -> None:
    await oms.create_queue("q", retry=QUICK, run_timeout="50ms")
    seen: list[int] = []

    async def handle(task: Task[Any]) -> str:
        seen.append(task.attempt)
        if task.attempt < 3:
            await anyio.sleep_forever()
        return "in time"

    record = await do(oms, handle)

    assert (record.state, record.result, seen) == (TaskState.DONE, "in time", [1, 2, 3])
    assert [attempt.error_type for attempt in record.attempts] == ["RunTimeout", "RunTimeout"]
    assert record.attempts[0].error == "the attempt ran for more than 50ms"


async def test_a_task_may_have_a_time_of_its_own_to_run(oms: AsyncOMSClient) -> None:
    await oms.create_queue("q", retry=RetryPolicy(max_attempts=1), run_timeout="1h")
    task = await oms.enqueue("q", 1, run_timeout="20ms")

    async def handle(_: Task[Any]) -> None:
        await anyio.sleep_forever()

    await burst(oms.url, handle)

    record = await oms.get_task(task.id)
    assert (record.state, record.reason) == (
        TaskState.FAILED,
        "RunTimeout: the attempt ran for more than 20ms",
    )


async def test_a_result_that_came_just_before_the_time_was_over_counts(
    oms: AsyncOMSClient,
) -> None:
    await oms.create_queue("q", retry=QUICK, run_timeout="20ms")

    async def handle(task: Task[Any]) -> None:
        await task.complete("done")
        await anyio.sleep_forever()

    record = await do(oms, handle)

    assert (record.state, record.result) == (TaskState.DONE, "done")


async def test_a_handler_that_will_not_be_ended_has_the_last_word(oms: AsyncOMSClient) -> None:
    await oms.create_queue("q", retry=QUICK, run_timeout="20ms")

    async def handle(_: Task[Any]) -> str:
        with suppress(asyncio.CancelledError):
            await anyio.sleep_forever()
        return "finished all the same"

    record = await do(oms, handle)

    assert (record.state, record.result) == (TaskState.DONE, "finished all the same")


async def test_a_plain_function_is_not_left_to_run_beside_its_next_attempt(
    oms: AsyncOMSClient,
) -> None:
    await oms.create_queue("q", retry=QUICK, run_timeout="20ms")
    attempts: list[int] = []

    def handle(task: Task[Any]) -> str:
        attempts.append(task.attempt)
        threading.Event().wait(0.1)  # longer than it may
        return "done"

    record = await do(oms, handle)

    assert (record.state, record.result, attempts) == (TaskState.DONE, "done", [1])
