import gc
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from hms_async import AsyncOMSClient, ConfigInvalid, QueueNotFound, Supervisor, Task, TaskState
from hms_async.runtime import sweeps
from hms_async.storage import series
from hms_async.storage.store import Store
from hms_async.testing import ManualClock
from tests.runtime.support import PATIENCE_S, QUICK, worker
from tests.servers import Raw


@pytest.fixture
async def oms(store: Store) -> Any:
    """A client whose time is turned by hand."""
    async with AsyncOMSClient(store=store) as client:
        yield client


async def test_a_promise_is_warned_of_once_and_broken_once(
    oms: AsyncOMSClient, store: Store, clock: ManualClock
) -> None:
    await oms.create_queue("q", sla="1s")
    enqueued = await oms.enqueue("q", 1, correlation_id="REQ-1")
    trio = [Supervisor(store=store) for _ in range(3)]
    seen: list[list[str]] = []
    with capture_logs() as logs:
        for step in ("0.9s", "0.2s", "1m"):
            clock.advance(step)
            seen.append([rung.name for one in trio for rung in (await one.check_sla()).rungs])

    assert seen == [["warn"], ["breach"], []]
    told = [(entry["log_level"], entry["milestone"], entry["corr_id"]) for entry in logs]
    assert told == [("warning", "warn", "REQ-1"), ("error", "breach", "REQ-1")]
    assert (logs[0]["left_s"], logs[1]["late_by_s"], logs[1]["promise_s"]) == (0.1, 0.1, 1.0)
    assert logs[1]["task_id"] == enqueued.id


async def test_a_promise_that_was_noticed_late_is_only_broken(
    oms: AsyncOMSClient, store: Store, clock: ManualClock
) -> None:
    await oms.create_queue("q", sla="1s")
    await oms.enqueue("q", 1)
    clock.advance("1.1s")
    rungs = (await Supervisor(store=store).check_sla()).rungs

    assert [(rung.name, rung.late_by_ms, rung.collapsed) for rung in rungs] == [("breach", 100, 1)]


async def test_what_a_silent_worker_held_is_rescued_and_told(
    oms: AsyncOMSClient, store: Store, raw: Raw, clock: ManualClock
) -> None:
    await oms.create_queue("q", lease="3s")
    await oms.enqueue("q", 1)
    task = await oms.pop_task("q", timeout=0)
    assert task is not None
    raw.watch("q", clock.advance("3.1s"))
    with capture_logs() as logs:
        report = await Supervisor(store=store, queues=["q"]).check_sla()

    assert [(one.id, one.state, one.crashes) for one in report.rescued] == [(task.id, "waiting", 1)]
    assert logs[0]["event"] == "supervisor.rescued"
    assert logs[0]["from_worker"].endswith("-client")


async def test_queues_that_do_not_exist_are_passed_over(store: Store) -> None:
    report = await Supervisor(store=store, queues=["nowhere"]).check_sla()

    assert (report.promoted, report.rescued, report.rungs) == (0, [], [])
    with pytest.raises(QueueNotFound):
        await store.sweep("nowhere")


async def test_a_running_supervisor_notices_new_queues(store_url: str) -> None:
    async with anyio.create_task_group() as group, AsyncOMSClient(store_url) as oms:
        group.start_soon(Supervisor(store_url).run)
        await oms.create_queue("new", sla="1ms")
        await oms.enqueue("new", 1)
        with anyio.fail_after(PATIENCE_S):
            async for event in oms.events("new", after="0-0"):
                if event.type == "sla.breach":
                    break
        group.cancel_scope.cancel()


async def test_a_cancelled_supervisor_leaves_nothing_open(store_url: str) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(Supervisor(store_url).run)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()

    gc.collect()  # says so if a connection was left open


async def test_a_worker_supervises_its_own_queues(store_url: str) -> None:
    async def handle(task: Task[Any]) -> object:
        return task.payload

    async with AsyncOMSClient(store_url) as oms, Store(store_url) as store:
        await oms.create_queue("q", lease="3s", retry=QUICK)
        enqueued = await oms.enqueue("q", "rescued")
        now_ms = (await oms.stats("q")).now_ms
        async with Store(store_url, clock=lambda: now_ms - 10_000) as slow:
            await slow.exchange("q", worker="dead", incarnation="d", lane=0, seq=1, want=1)
        assert (await oms.get_task(enqueued.id)).state is TaskState.IN_PROGRESS
        async with worker(store_url, handle):
            assert await oms.result(enqueued.id, timeout=PATIENCE_S) == "rescued"
        assert (await store.stats("q")).balanced
    async with AsyncOMSClient(store_url) as oms:
        assert (await oms.get_task(enqueued.id)).crashes == 1


def test_a_supervisor_of_badly_named_queues_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="queue name 'a b'"):
        Supervisor(queues=["a b"])


async def test_a_round_of_tidying_looks_at_a_part_of_a_long_queue(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await oms.create_queue("q", sla="1h")
    await oms.enqueue_many("q", range(2_500))
    looked_at = list[int]()
    original = Store.reconcile

    async def reconcile(self: Store, queue: str, start: int, limit: int) -> tuple[int, int]:
        looked_at.append(start)
        return await original(self, queue, start, limit)

    monkeypatch.setattr(Store, "reconcile", reconcile)
    places = dict[str, int]()
    rounds = list[list[int]]()
    async with Store(oms.url) as store:
        for _ in range(4):
            await sweeps.tidy(store, ["q"], places=places)
            rounds.append(looked_at.copy())
            looked_at.clear()

    assert [(one[0], len(one)) for one in rounds] == [(0, 10), (1_000, 10), (2_000, 6), (0, 10)]


async def test_a_new_queue_s_two_empty_days_are_rolled_up_in_one_round_of_tidying(
    oms: AsyncOMSClient,
) -> None:
    await oms.create_queue("q", sla="1h")
    await oms.enqueue("q", 1)
    async with Store(oms.url) as store:
        report = await sweeps.tidy(store, ["q"])
        left = await series.roll_up(store, "q")

    assert (report.more, left) == (False, False)
