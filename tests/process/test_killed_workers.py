"""Worker processes are killed under load (I2, I3): nothing is lost, nothing runs beside itself."""

import random

import anyio
import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.faults import oracle
from hms_async import AsyncOMSClient, Event, TaskState
from hms_async.storage.events import START, EventReader
from hms_async.storage.store import Store
from hms_async.telemetry.metrics import QueueMetrics
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
    await the_metrics_are_the_history(url, accepted)
    rescued = stats.totals["rescued"]
    assert rescued >= KILLS
    page = await oms.list_tasks("q", TaskState.DONE, limit=500)
    assert max(task.crashes for task in page.tasks) < 100


async def the_metrics_are_the_history(url: str, accepted: set[str]) -> None:
    """What is exported is what the records of the tasks tell, each by itself."""
    attempts = crashes = 0
    async with Store(url) as store:
        for task in accepted:
            attempt, crashed, revived = await store.ask(
                "HMGET", store.keys.run("q", task), "attempt", "crashes", "revived"
            )
            attempts += int(attempt)
            crashes += int(crashed or 0) + int(revived or 0)
        text = (await QueueMetrics(store).text()).decode()
    found = {
        (
            sample.name,
            *(word for name, word in sample.labels.items() if name != "queue"),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }

    def attempts_that(outcome: str) -> float:
        return found["hms_attempts_finished_total", outcome]

    assert found["hms_tasks_arrived_total",] == len(accepted)
    assert found["hms_tasks_closed_total", "done"] == len(accepted)
    assert attempts_that("ok") == len(accepted)
    assert attempts_that("lease_lost") == crashes == found["hms_attempts_failed_total", "LeaseLost"]
    # What was handed back, or was claimed and never started, does not count for its task.
    assert found["hms_attempts_started_total",] == attempts + attempts_that("released")
    assert attempts == len(accepted) + crashes
    assert found["hms_task_total_seconds_count",] == len(accepted)


async def everything(url: str) -> list[Event]:
    """Return all events of the queue."""
    found: list[Event] = []
    async with Store(url) as store:
        reader = EventReader(store, "q", START)
        while page := await reader.read(1):
            found += page
    return found
