"""The thread that keeps leases alive, with a renewer that only takes notes."""

import asyncio
import threading
import time
from collections.abc import Generator, Sequence
from typing import Any

import anyio
import pytest
import structlog
from structlog.testing import capture_logs

from hms_async import (
    AsyncOMSClient,
    AsyncWorker,
    StoreUnavailable,
    Task,
    TaskState,
    handler,
)
from hms_async.runtime import heartbeat
from hms_async.runtime.heartbeat import Heartbeat
from hms_async.runtime.leases import Held
from hms_async.runtime.slots import Slots
from hms_async.runtime.task import Attempt
from hms_async.storage.replies import Claim, Extended
from hms_async.testing import running
from tests.runtime.support import PATIENCE_S, QUICK, worker

Lease = tuple[str, str]


class Notes:
    """Stands for the renewer; what it answers is set by the test."""

    def __init__(self) -> None:
        self.renewed: list[list[Lease]] = []
        self.lost: set[str] = set()
        self.cancelling: set[str] = set()
        self.error: Exception | None = None
        self.takes_s = 0.0
        self.closed = threading.Event()

    def extend(self, _queue: str, leases: Sequence[Lease]) -> Extended:
        time.sleep(self.takes_s)
        self.renewed.append(list(leases))
        if self.error:
            raise self.error
        return Extended(frozenset(self.lost), frozenset(self.cancelling))

    def close(self) -> None:
        self.closed.set()

    async def wait_for(self, count: int) -> None:
        with anyio.fail_after(PATIENCE_S):
            while len(self.renewed) < count:  # noqa: ASYNC110  # it is a thread that takes notes
                await anyio.sleep(0.001)


def attempt() -> Attempt:
    claim = Claim("id", "token", 1, 0, 0, None, 0, b"{}")
    return Attempt(claim, "q", server_ms=0, max_result_bytes=100)


@pytest.fixture
def held() -> Held:
    held = Held()
    held.add(attempt())
    return held


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    monkeypatch.setattr(heartbeat, "_PULSE_S", 0.005)
    monkeypatch.setattr(heartbeat, "_BLOCKED_AFTER_S", 0.05)
    yield
    structlog.reset_defaults()


def slots(count: int = 1, executor: Any = None) -> Slots:
    return Slots(count, executor)


def beating(notes: Any, held: Held, *, stall_limit_s: float = 60.0) -> Heartbeat:
    return Heartbeat(
        notes, held, slots(), lease_s=lambda: 0.03, worker_id="w", stall_limit_s=stall_limit_s
    )


async def test_it_renews_what_is_held_and_nothing_else(held: Held) -> None:
    notes = Notes()
    async with anyio.create_task_group() as group:
        group.start_soon(beating(notes, held).run)
        await notes.wait_for(2)
        held.drop(held.attempts()[0])
        await anyio.sleep(0.05)
        seen = len(notes.renewed)
        await anyio.sleep(0.05)
        assert len(notes.renewed) == seen
        group.cancel_scope.cancel()

    assert notes.renewed[0] == [("id", "token")]
    assert notes.closed.is_set()


async def test_a_handler_that_blocks_the_loop_does_not_lose_its_siblings_leases(
    held: Held,
) -> None:
    notes = Notes()
    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            group.start_soon(beating(notes, held).run)
            await notes.wait_for(1)
            before = len(notes.renewed)
            time.sleep(0.2)  # noqa: ASYNC251  # blocking the loop is what this is about
            assert len(notes.renewed) - before >= 5
            group.cancel_scope.cancel()

    blocked = [entry for entry in logs if entry["event"] == "loop.blocked"]
    assert len(blocked) == 1
    assert "time.sleep(0.2)" in blocked[0]["stack"]
    assert blocked[0]["task_ids"] == ["id"]


async def test_a_loop_that_is_stuck_for_good_does_not_hold_its_tasks_for_good(held: Held) -> None:
    notes = Notes()
    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            group.start_soon(beating(notes, held, stall_limit_s=0.05).run)
            await notes.wait_for(1)
            time.sleep(0.2)  # noqa: ASYNC251  # as above
            stuck = len(notes.renewed)
            time.sleep(0.1)  # noqa: ASYNC251  # as above
            assert len(notes.renewed) == stuck
            await notes.wait_for(stuck + 1)
            group.cancel_scope.cancel()

    told = [entry["event"] for entry in logs]
    assert told == ["loop.blocked", "loop.stalled"]


async def test_who_blocks_the_loop_is_named(oms: AsyncOMSClient) -> None:
    begun = anyio.Event()

    async def waits(_task: Task[Any]) -> None:
        await begun.wait()

    async def blocks(_task: Task[Any]) -> None:
        begun.set()
        time.sleep(0.3)  # noqa: ASYNC251  # blocking the loop is what this is about

    for queue in ("innocent", "guilty"):
        await oms.create_queue(queue)
    await oms.enqueue_many("innocent", [1, 2, 3])
    handlers = [handler(queue="innocent")(waits), handler(queue="guilty")(blocks)]
    with capture_logs() as logs:
        async with running(AsyncWorker(handlers=handlers, url=oms.url)):
            guilty = await oms.enqueue("guilty", 1)
            await oms.result(guilty.id, timeout=PATIENCE_S)

    (blocked,) = [entry for entry in logs if entry["event"] == "loop.blocked"]
    assert blocked["task_ids"] == [guilty.id]
    assert blocked["handler"].endswith("blocks")
    assert "time.sleep(0.3)" in blocked["stack"]


async def test_a_process_that_stood_still_blames_no_handler(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "_FROZEN_AFTER_S", 0.0)
    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            group.start_soon(beating(Notes(), held).run)
            time.sleep(0.1)  # noqa: ASYNC251  # as if it had been stopped from outside
            await anyio.sleep(0.05)
            group.cancel_scope.cancel()

    assert {entry["event"] for entry in logs} == {"worker.frozen"}
    assert {entry["handler"] for entry in logs} == {None}


async def test_a_server_that_is_slow_is_no_process_that_stood_still(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "_FROZEN_AFTER_S", 0.1)
    notes = Notes()
    notes.takes_s = 0.15
    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            group.start_soon(beating(notes, held).run)
            await notes.wait_for(3)
            group.cancel_scope.cancel()

    assert [entry for entry in logs if entry["event"] == "worker.frozen"] == []


async def test_a_lost_lease_cancels_its_attempt_alone(held: Held) -> None:
    notes = Notes()
    lost = held.attempts()[0]
    other = Attempt(
        Claim("other", "other-token", 1, 0, 0, None, 0, b"{}"), "q", server_ms=0, max_result_bytes=1
    )
    held.add(other)
    notes.lost = {"token"}
    async with anyio.create_task_group() as group:
        group.start_soon(beating(notes, held).run)
        scope = anyio.CancelScope()
        with anyio.fail_after(PATIENCE_S), scope:
            held.watch(lost, scope, in_thread=False)
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        group.cancel_scope.cancel()

    assert (lost.lost, other.lost) == (True, False)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), RuntimeError("a bug")])
async def test_whatever_is_raised_does_not_end_it(held: Held, error: Exception) -> None:
    notes = Notes()
    notes.error = error
    async with anyio.create_task_group() as group:
        group.start_soon(beating(notes, held).run)
        await notes.wait_for(2)
        notes.error = None
        seen = len(notes.renewed)
        await notes.wait_for(seen + 2)
        group.cancel_scope.cancel()


async def test_no_thread_is_left_behind(held: Held) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(beating(Notes(), held).run)
        await asyncio.sleep(0.01)
        group.cancel_scope.cancel()

    assert "hms-heartbeat" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("store_url", ["valkey"], indirect=True)
async def test_a_task_that_takes_longer_than_its_lease_is_not_rescued(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()

    def handle(_task: Task[Any]) -> str:
        time.sleep(3.5)
        return "at its own pace"

    await oms.create_queue("q", lease="3s", retry=QUICK)
    enqueued = await oms.enqueue("q", 1)
    async with worker(oms.url, handle):
        assert await oms.result(enqueued.id, timeout=PATIENCE_S) == "at its own pace"

    record = await oms.get_task(enqueued.id)
    assert (record.state, record.attempt, record.crashes) == (TaskState.DONE, 1, 0)
