"""What a worker's canonical lines carry, as JSON."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from hms_async import AsyncOMSClient, RetryPolicy, Task
from hms_async.domain.outcome import Fault
from hms_async.telemetry import logs
from tests.runtime.support import burst

Lines = list[dict[str, Any]]


@pytest.fixture(autouse=True)
async def _queue(oms: AsyncOMSClient) -> None:
    await oms.create_queue("q", sla="2h")


async def lines_of(
    oms: AsyncOMSClient,
    handler: Callable[[Task[Any]], Any],
    event: str,
    level: str = "info",
    **options: Any,
) -> Lines:
    """Let a handler do a task, and return the lines of one event."""
    stream = io.StringIO()
    logs.configure(fmt="json", level=level, stream=stream)
    await oms.enqueue("q", 1, id="t1", correlation_id="REQ-1", **options)
    await burst(oms.url, handler)
    lines: Lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [line for line in lines if line["event"] == event]


async def succeed(_task: Task[Any]) -> str:
    return "fine"


async def raise_error(_task: Task[Any]) -> None:
    raise ValueError("photo 17 is torn")


async def test_a_started_task_says_how_long_it_waited_and_has_left(oms: AsyncOMSClient) -> None:
    (started,) = await lines_of(oms, succeed, "task.started", "debug")

    assert (started["task_id"], started["corr_id"], started["attempt"]) == ("t1", "REQ-1", 1)
    assert 0 <= started["wait_s"] < 60
    assert 7_000 < started["time_left_s"] <= 7_200


async def test_a_task_without_a_promise_has_no_time_left(oms: AsyncOMSClient) -> None:
    await oms.create_queue("q")
    (started,) = await lines_of(oms, succeed, "task.started", "debug")

    assert started["time_left_s"] is None


async def test_a_finished_task_says_how_it_went_and_how_its_promise_stands(
    oms: AsyncOMSClient,
) -> None:
    (finished,) = await lines_of(oms, succeed, "task.finished")

    assert (finished["outcome"], finished["clock"], finished["result"]) == (
        "ok",
        "on_track",
        "fine",
    )
    assert 0 <= finished["wait_s"] < 60
    assert 0 <= finished["run_s"] < 60
    assert not finished.keys() & {"error", "error_type", "fingerprint", "exc"}


async def test_a_promise_that_is_broken_is_said_with_the_outcome(oms: AsyncOMSClient) -> None:
    (finished,) = await lines_of(oms, succeed, "task.finished", sla="1ms")

    assert (finished["outcome"], finished["clock"]) == ("ok", "breached")


@pytest.mark.parametrize(
    ("attempts", "outcome", "level"), [(1, "failed", "error"), (2, "retry", "warning")]
)
async def test_a_task_that_raised_says_what_and_one_that_failed_for_good_says_where(
    oms: AsyncOMSClient, attempts: int, outcome: str, level: str
) -> None:
    await oms.create_queue("q", sla="2h", retry=RetryPolicy(max_attempts=attempts, base="1h"))
    (finished,) = await lines_of(oms, raise_error, "task.finished")

    assert (finished["outcome"], finished["level"]) == (outcome, level)
    assert (finished["error_type"], finished["clock"]) == ("ValueError", "on_track")
    assert finished["error"] == "ValueError: photo 17 is torn"
    assert finished["fingerprint"] == Fault("ValueError", "photo 18 is torn").fingerprint
    assert finished["fingerprint"] != Fault("ValueError", "no photo").fingerprint
    assert ("exc" in finished) == (outcome == "failed")
    if outcome == "failed":
        assert finished["exc"].startswith("Traceback")
        assert "in raise_error" in finished["exc"]


async def logs_as_coroutine(_task: Task[Any]) -> None:
    structlog.get_logger("app").info("photo.checked", width=35)


def logs_in_a_thread(_task: Task[Any]) -> None:
    structlog.get_logger("app").info("photo.checked", width=35)


@pytest.mark.parametrize("handler", [logs_as_coroutine, logs_in_a_thread])
async def test_what_a_handler_logs_itself_says_which_task_it_was_about(
    oms: AsyncOMSClient, handler: Callable[[Task[Any]], Any]
) -> None:
    (own,) = await lines_of(oms, handler, "photo.checked")

    assert (own["task_id"], own["corr_id"], own["queue"]) == ("t1", "REQ-1", "q")
    assert (own["logger"], own["width"]) == ("app", 35)
    assert structlog.contextvars.get_contextvars() == {}
