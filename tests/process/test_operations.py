"""An operation survives the process that works on it."""

import signal
import subprocess
import sys
from collections.abc import Generator

import pytest

from hms_async import AsyncOMSClient, AsyncWorker, Task
from hms_async.domain.operation import OperationState
from tests.process.scripts import environment
from tests.process.support import PATIENCE_S

TASKS = 3_000


class Acts:
    """Processes of `hms act`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._all: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(  # our own command
            [sys.executable, "-m", "hms_async", "act", "-l", "error"],
            env=environment(self._url),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._all.append(process)
        return process

    def close(self) -> None:
        for process in self._all:
            process.kill()
            process.wait(PATIENCE_S)


@pytest.fixture
def acts(url: str) -> Generator[Acts]:
    acts = Acts(url)
    yield acts
    acts.close()


async def refuse(task: Task[int]) -> None:
    task.fail("no")


async def done_so_far(oms: AsyncOMSClient, operation_id: str, at_least: int) -> int:
    while True:
        one = await oms.operations.get(operation_id)
        if one.done >= at_least or one.state.ended:
            return one.done


@pytest.mark.timeout(120)
async def test_a_killed_act_is_succeeded_and_no_task_is_forgotten_or_requeued_twice(
    oms: AsyncOMSClient, acts: Acts
) -> None:
    await oms.create_queue("q")
    await oms.enqueue_many("q", list(range(TASKS)))
    worker = AsyncWorker(queue="q", handler=refuse, url=oms.url, concurrency=200, supervise=False)
    await worker.run(burst=True)
    operation = await oms.operations.start("requeue", "q", rate=1_500)
    assert operation.matched == TASKS

    first = acts.start()
    assert 200 <= await done_so_far(oms, operation.id, 200) < TASKS
    first.send_signal(signal.SIGKILL)
    first.wait(PATIENCE_S)
    before = await oms.operations.get(operation.id)
    assert before.state is OperationState.RUNNING
    second = acts.start()
    # Its lease ends by itself; to wait for that is what the second one does.
    assert await done_so_far(oms, operation.id, before.done + 200) < TASKS
    second.send_signal(signal.SIGTERM)
    second.wait(PATIENCE_S)
    # One that left in order has let go of it, so whoever waits goes on at once.
    ended = await oms.operations.wait(operation.id, "60s")

    stats = await oms.stats("q")
    assert (stats.failed, stats.waiting, stats.totals["requeued"]) == (0, TASKS, TASKS)
    assert (ended.state, ended.done, ended.refused) == (OperationState.DONE, TASKS, 0)
