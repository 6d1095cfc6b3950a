"""How worker processes end: exit 0 when drained, 128 + the signal when anything was handed back."""

import signal

import pytest

from hms_async import AsyncOMSClient, TaskState
from tests.process.support import PATIENCE_S, Workers, eventually
from tests.servers import Raw

pytestmark = [pytest.mark.process, pytest.mark.timeout(90)]


@pytest.fixture(autouse=True)
async def _queue(oms: AsyncOMSClient) -> None:
    await oms.create_queue("q")


async def test_one_sigterm_drains_and_exits_0(oms: AsyncOMSClient, workers: Workers) -> None:
    pid = workers.start("gate", concurrency=2)
    await oms.enqueue_many("q", [1, 2, 3])
    workers.wait_for("start", pid, 2)
    workers.signal(pid)
    eventually(lambda: "worker.draining" in workers.events(), "draining")
    workers.open_gate()

    assert workers.exit_code(pid) == 0
    stats = await oms.stats("q")
    assert (stats.done, stats.waiting, stats.in_progress) == (2, 1, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_hands_back_and_exits_with_its_number(
    oms: AsyncOMSClient, workers: Workers, number: signal.Signals
) -> None:
    pid = workers.start("gate", concurrency=2)
    await oms.enqueue_many("q", [1, 2, 3])
    workers.wait_for("start", pid, 2)
    workers.signal(pid, number)
    eventually(lambda: "worker.draining" in workers.events(), "draining")
    workers.signal(pid, number)

    assert workers.exit_code(pid) == 128 + number
    page = await oms.list_tasks("q", TaskState.WAITING)
    assert [task.payload for task in page.tasks] == [1, 2, 3]
    assert [(task.attempt, task.crashes) for task in page.tasks] == [(0, 0)] * 3


@pytest.mark.parametrize("mode", ["gate", "thread", "stubborn"])
async def test_out_of_time_a_worker_hands_back_and_exits_whatever_its_handlers_do(
    oms: AsyncOMSClient, workers: Workers, mode: str
) -> None:
    pid = workers.start(mode, shutdown_timeout="100ms")
    enqueued = await oms.enqueue("q", 1)
    workers.wait_for("start", pid)
    workers.signal(pid)

    assert workers.exit_code(pid) == 128 + signal.SIGTERM
    record = await oms.get_task(enqueued.id)
    assert (record.state, record.attempt, record.crashes) == (TaskState.WAITING, 0, 0)


async def test_a_third_signal_ends_the_process_at_once(
    oms: AsyncOMSClient, workers: Workers
) -> None:
    pid = workers.start("stubborn")
    await oms.enqueue("q", 1)
    workers.wait_for("start", pid)
    workers.signal(pid)
    eventually(lambda: "worker.draining" in workers.events(), "draining")
    workers.signal(pid)
    workers.wait_for("ignored", pid)
    workers.signal(pid)

    assert workers.exit_code(pid) == 128 + signal.SIGTERM


async def test_garbage_pushed_by_hand_does_not_end_a_worker(
    oms: AsyncOMSClient, url: str, workers: Workers
) -> None:
    pid = workers.start()
    raw = Raw(url)
    garbage = [b"\xff\xfe", b"{broken", b"no id", b"NOSUCHID", b"[]", b'{"v":2,"payload":1}', b""]
    raw("RPUSH", "queue:q", *garbage)
    raw("RPUSH", "queue:q:bell", "1")
    raw.close()
    enqueued = await oms.enqueue("q", "fine")
    await oms.result(enqueued.id, timeout=PATIENCE_S)
    workers.signal(pid)

    assert workers.exit_code(pid) == 0
    assert (await oms.stats("q")).failed == len(garbage)


async def test_a_worker_of_a_missing_queue_does_not_start(
    oms: AsyncOMSClient, url: str, workers: Workers
) -> None:
    raw = Raw(url)
    raw("FLUSHALL")
    raw.close()
    pid = workers.start()

    assert workers.exit_code(pid) == 1
    assert await oms.list_queues() == []
