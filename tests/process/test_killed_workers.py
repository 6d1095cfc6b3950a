"""Worker processes are killed under load (I2, I3): nothing is lost, nothing runs beside itself."""

import random

import anyio
import pytest

from benchmarks.faults import oracle
from hms_async import AsyncOMSClient, Event, TaskState
from hms_async.storage.events import START, EventReader
from hms_async.storage.store import Store
from tests.process.support import Workers

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

KILLS = 20
LEASE_S = 3


async def test_twenty_killed_workers_lose_nothing_and_nothing_runs_twice_at_once(
    oms: AsyncOMSClient, url: str, workers: Workers
) -> None:
    chance = random.Random(20)
    await oms.create_queue("q", lease=f"{LEASE_S}s", max_crashes=100, keep_done_max=100_000)
    accepted: set[str] = set()
    running = [workers.start() for _ in range(2)]
    for number in range(KILLS):
        victim = running.pop(chance.randrange(2))
        # Or the other one could do it all before the victim has come up.
        workers.wait_until_ready(victim)
        batch = await oms.enqueue_many("q", [f"{number}.{n}" for n in range(100)])
        accepted |= {one.id for one in batch}
        workers.wait_for("start", victim, 10)
        workers.kill(victim)
        running.append(workers.start())
    with anyio.fail_after(60):
        while (stats := await oms.stats("q")).open:  # noqa: ASYNC110  # other processes
            await anyio.sleep(0.05)
    for pid in running:
        workers.signal(pid)
    codes = [workers.exit_code(pid) for pid in running]

    assert len(workers.killed) == KILLS
    assert codes == [0, 0]
    assert (stats.done, stats.totals["accepted"]) == (len(accepted), len(accepted))
    assert stats.balanced
    notes = workers.notes()
    assert {note.id for note in notes if note.word == "end"} == accepted
    evidence = oracle.evidence(await everything(url), workers.deaths())
    assert oracle.overlapping(oracle.executions(notes), evidence) == set()
    rescued = stats.totals["rescued"]
    assert rescued >= KILLS
    page = await oms.list_tasks("q", TaskState.DONE, limit=500)
    assert max(task.crashes for task in page.tasks) < 100


async def everything(url: str) -> list[Event]:
    """Return all events of the queue."""
    found: list[Event] = []
    async with Store(url) as store:
        reader = EventReader(store, "q", START)
        while page := await reader.read(1):
            found += page
    return found
