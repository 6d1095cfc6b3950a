"""R21: the primary dies, and the replica that takes its place lacks the last writes."""

from collections.abc import Generator
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from benchmarks.faults.proxy import Proxy, proxied
from hms_async import (
    AsyncOMSClient,
    EnqueueUnknown,
    HMSError,
    LeaseLost,
    Task,
    TaskNotFound,
    TaskState,
    TooFewReplicas,
)
from hms_async.runtime import submit
from tests.runtime.support import PATIENCE_S, worker
from tests.servers import REDIS, VALKEY, Pair, pair_of

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(params=[VALKEY, REDIS])
def pair(request: pytest.FixtureRequest) -> Generator[Pair]:
    with pair_of(request.param) as pair:
        yield pair


def fail_over(pair: Pair, proxy: Proxy) -> None:
    pair.kill_primary()
    proxy.lead_to(pair.replica)


async def all_done(oms: AsyncOMSClient) -> None:
    with anyio.fail_after(3 * PATIENCE_S):
        while (await oms.stats("q")).open:  # noqa: ASYNC110  # the worker has its own clients
            await anyio.sleep(0.05)


async def test_r21_claims_that_were_lost_are_refused_and_their_tasks_run_again(pair: Pair) -> None:
    runs: list[object] = []
    gate = anyio.Event()

    async def handle(task: Task[Any]) -> object:
        runs.append(task.payload)
        await gate.wait()
        return task.payload

    async with proxied(pair.primary) as proxy, AsyncOMSClient(proxy.url, durable=1) as oms:
        await oms.create_queue("q", lease="3s", max_crashes=2)
        kept = [one.id for one in await oms.enqueue_many("q", range(5))]
        pair.promote_replica()  # from here on it lacks what the primary does
        async with AsyncOMSClient(pair.primary) as unsafe:
            gone = (await unsafe.enqueue("q", "gone")).id
        with capture_logs() as logs:
            async with worker(proxy.url, handle):
                with anyio.fail_after(PATIENCE_S):
                    while len(runs) < 6:
                        await anyio.lowlevel.checkpoint()
                fail_over(pair, proxy)
                gate.set()
                results = [await oms.result(one, timeout=PATIENCE_S) for one in kept]
                await all_done(oms)

        assert results == list(range(5))
        assert sorted(runs[6:], key=str) == list(range(5))
        told = [one["task_id"] for one in logs if one.get("outcome") == "lost"]
        assert set(told) == {*kept, gone}
        with pytest.raises(TaskNotFound):
            await oms.get_task(gone)
        stats = await oms.stats("q")
        assert stats.balanced
        assert (stats.done, stats.totals["accepted"]) == (5, 5)
        records = (await oms.list_tasks("q", TaskState.DONE)).tasks
        assert {(record.attempt, record.crashes) for record in records} == {(1, 0)}


async def test_r21_a_task_by_hand_whose_claim_was_lost_cannot_be_settled(pair: Pair) -> None:
    async with proxied(pair.primary) as proxy, AsyncOMSClient(proxy.url, durable=1) as oms:
        await oms.create_queue("q")
        accepted = await oms.enqueue("q", 1)
        pair.promote_replica()
        before = await oms.pop_task("q")
        fail_over(pair, proxy)
        after = await oms.pop_task("q", timeout=PATIENCE_S)
        assert before is not None
        assert after is not None
        assert before.id == after.id == accepted.id
        with pytest.raises(LeaseLost):
            await before.heartbeat()
        with pytest.raises(LeaseLost):
            await before.complete("too late")
        await after.complete("in time")
        assert await oms.result(accepted.id, timeout=0) == "in time"


async def test_r21_nothing_durable_is_lost_in_the_middle_of_work(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "DURABLE_TIMEOUT_S", 0.5)
    accepted: set[str] = set()
    ended: set[str] = set()

    async def handle(task: Task[Any]) -> None:
        await anyio.sleep(0.005)
        ended.add(task.id)

    async def enqueue() -> None:
        for number in range(10_000):
            try:
                accepted.add((await oms.enqueue("q", number)).id)
            except (EnqueueUnknown, TooFewReplicas) as error:
                # On the new primary, which has no replica; there it is one task all the same.
                async with AsyncOMSClient(pair.replica) as plain:
                    accepted.add((await plain.enqueue("q", number, id=error.task_id)).id)
                return
            except HMSError:
                return

    async with proxied(pair.primary) as proxy, AsyncOMSClient(proxy.url, durable=1) as oms:
        await oms.create_queue("q", lease="3s", keep_done_max=100_000)
        async with worker(proxy.url, handle, concurrency=20):
            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(enqueue)
                with anyio.fail_after(PATIENCE_S):
                    while len(ended) < 100:
                        await anyio.lowlevel.checkpoint()
                pair.kill_primary()
                pair.promote_replica()
                proxy.lead_to(pair.replica)
            await all_done(oms)

        stats = await oms.stats("q")
        assert stats.balanced
        assert stats.totals["accepted"] == stats.done
        assert len(accepted) > 100
        assert accepted <= ended
        states = {(await oms.get_task(task_id)).state for task_id in accepted}
        assert states == {TaskState.DONE}
