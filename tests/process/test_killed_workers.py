"""Worker processes are killed under load (I2, I3): nothing is lost, nothing runs beside itself."""

import random
from itertools import groupby, pairwise
from operator import attrgetter

import anyio
import pytest

from hms_async import AsyncOMSClient, TaskState
from tests.process.support import Note, Workers

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

KILLS = 20
LEASE_S = 3


async def test_twenty_killed_workers_lose_nothing_and_nothing_runs_twice_at_once(
    oms: AsyncOMSClient, workers: Workers
) -> None:
    chance = random.Random(20)
    await oms.create_queue("q", lease=f"{LEASE_S}s", max_crashes=100, keep_done_max=100_000)
    accepted: set[str] = set()
    running = [workers.start() for _ in range(2)]
    for number in range(KILLS):
        batch = await oms.enqueue_many("q", [f"{number}.{n}" for n in range(100)])
        accepted |= {one.id for one in batch}
        victim = running.pop(chance.randrange(2))
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
    assert beside_themselves(notes, workers.killed) == []
    rescued = stats.totals["rescued"]
    assert rescued >= KILLS
    page = await oms.list_tasks("q", TaskState.DONE, limit=500)
    assert max(task.crashes for task in page.tasks) < 100


def beside_themselves(notes: list[Note], killed: dict[int, int]) -> list[tuple[Note, Note]]:
    """Return pairs of executions of one task of which the second began too early.

    It may begin when the first one has ended, or when its process was dead and its lease over.
    """
    wrong: list[tuple[Note, Note]] = []
    by_task = sorted(notes, key=attrgetter("id", "at"))
    for _, of_task in groupby(by_task, key=attrgetter("id")):
        lines = list(of_task)
        ends = {line.token: line.at for line in lines if line.word == "end"}
        starts = [line for line in lines if line.word == "start"]
        for first, second in pairwise(starts):
            dead = first.pid in killed and killed[first.pid] <= second.at
            expired = second.at - first.at >= (LEASE_S - 0.5) * 1_000_000_000
            ended = ends.get(first.token, second.at + 1) <= second.at
            if first.token == second.token or (not (dead and expired) and not ended):
                wrong.append((first, second))
    return wrong
