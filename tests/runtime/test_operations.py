"""Operations go on in the background, in whatever process supervises."""

import anyio
import anyio.lowlevel
import pytest
from structlog.testing import capture_logs

from hms_async import AsyncOMSClient, Supervisor, Task, supervisor
from hms_async.domain.operation import Operation
from hms_async.errors import StoreUnavailable
from hms_async.runtime import operations as runner
from hms_async.runtime.operations import run_operations
from hms_async.storage import candidates
from hms_async.storage import operations as storage
from hms_async.storage.store import Store
from tests.runtime.support import PATIENCE_S, burst


async def refuse(task: Task[int]) -> None:
    task.fail("no")


async def failed(oms: AsyncOMSClient, count: int, queue: str = "q") -> None:
    await oms.create_queue(queue)
    await oms.enqueue_many(queue, list(range(count)))
    await burst(oms.url, refuse, queue, supervise=False)


async def ended(oms: AsyncOMSClient, operation: Operation) -> Operation:
    with anyio.fail_after(PATIENCE_S):
        while not (one := await oms.operations.get(operation.id)).state.ended:
            await anyio.lowlevel.checkpoint()
    return one


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LOOK_EVERY_S", 0.02)


async def test_a_supervisor_works_off_what_a_client_began(oms: AsyncOMSClient) -> None:
    await failed(oms, 30)
    operation = await oms.operations.start("requeue", "q", rate=10_000)
    async with anyio.create_task_group() as group:
        group.start_soon(Supervisor(oms.url).run)
        assert (await ended(oms, operation)).done == 30
        group.cancel_scope.cancel()


async def test_what_is_begun_later_is_told_of_by_the_sweeps(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_UNTOLD_S", 3_600.0)
    monkeypatch.setattr(supervisor, "SWEEP_EVERY_S", 0.01)
    await failed(oms, 3)
    async with anyio.create_task_group() as group:
        group.start_soon(Supervisor(oms.url).run)
        for act in ("requeue", "cancel"):
            operation = await oms.operations.start(act, "q")
            assert (await ended(oms, operation)).done == 3
        group.cancel_scope.cancel()


async def test_a_supervisor_of_some_queues_leaves_the_others(oms: AsyncOMSClient) -> None:
    await failed(oms, 3)
    await failed(oms, 3, "mine")
    other = await oms.operations.start("requeue", "q")
    mine = await oms.operations.start("requeue", "mine")
    async with Store(oms.url) as store, anyio.create_task_group() as group:
        group.start_soon(run_operations, store, ["mine"])
        assert (await ended(oms, mine)).done == 3
        group.cancel_scope.cancel()
    assert (await oms.operations.get(other.id)).started_ms is None


async def test_many_runners_do_each_task_once(oms: AsyncOMSClient) -> None:
    await failed(oms, 200)
    begun = [
        await oms.operations.start("requeue", "q", where={"error": "no"}, rate=10_000)
        for _ in range(6)
    ]
    done = 0
    async with Store(oms.url) as store, anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(run_operations, store)
        for one in begun:
            done += (await ended(oms, one)).done
        group.cancel_scope.cancel()
    assert done == 200
    assert (await oms.stats("q")).totals["requeued"] == 200


async def test_an_outage_in_the_middle_is_gone_on_from(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await failed(oms, 60)
    operation = await oms.operations.start("requeue", "q", rate=10_000)
    act, calls = candidates.act, 0

    async def break_once(store: Store, operation: Operation, ids: list[str]) -> object:
        nonlocal calls
        calls += 1
        done = await act(store, operation, ids)
        if calls == 1:
            raise StoreUnavailable("gone in the middle")
        return done

    monkeypatch.setattr(candidates, "act", break_once)
    monkeypatch.setattr(storage, "LEASE_MS", 300)
    with capture_logs() as logs:
        async with Store(oms.url) as store, anyio.create_task_group() as group:
            group.start_soon(run_operations, store)
            assert (await ended(oms, operation)).done == 60
            group.cancel_scope.cancel()
    assert [one["event"] for one in logs] == [*("operation.interrupted", "operation.ended")]
    assert (await oms.stats("q")).totals["requeued"] == 60
