"""A worker written from docs/protocol.md alone, beside ours on one queue."""

import ast
import random
import sys
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import anyio
import pytest

from benchmarks.faults import oracle
from benchmarks.faults.journal import Word
from benchmarks.faults.proxy import proxied
from benchmarks.faults.workers import Workers as Processes
from hms_async import AsyncOMSClient, TaskFailed, TaskState
from hms_async.storage.scripts import load, names
from tests.process.scripts import EXAMPLES, output_of, running_script
from tests.process.support import PATIENCE_S, eventually
from tests.process.test_killed_workers import everything

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

EXAMPLE = EXAMPLES / "other_languages" / "protocol_worker.py"
SCRIPT = Path(__file__).with_name("protocol_script.py")
LONGEST = 200
LEASE_S = 3
KILLS = 12


class Crew(Processes):
    """Workers of both kinds, which note what they do in one journal."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__(url, folder)
        self.scripts = folder / "scripts"
        self.scripts.mkdir()
        for name in names():
            (self.scripts / f"{name}.lua").write_text(load(name).text)

    def foreign(self, slots: int = 10, url: str | None = None) -> int:
        """Start one that knows the page only."""
        environ = {"HMS_SCRIPTS": str(self.scripts), "HMS_URL": url or self.url}
        return self.start([str(SCRIPT), str(slots)], environ).pid

    def python(self) -> int:
        return self.run(target="benchmarks.faults.handlers:quick").pid

    def wait_until_ready(self, pid: int) -> None:
        log = self.all[pid].log
        ready = (b'"worker.started"', b"works for q")
        eventually(lambda: any(word in log.read_bytes() for word in ready), f"{pid} takes tasks")

    def wait_for(self, word: Word, pid: int, count: int = 1) -> None:
        eventually(lambda: self.journal.count(word, pid) >= count, f"{count} {word} by {pid}")


@pytest.fixture
def crew(url: str, tmp_path: Path) -> Generator[Crew]:
    crew = Crew(url, tmp_path)
    yield crew
    crew.close()


def test_it_is_short_and_knows_nothing_but_the_page() -> None:
    source = EXAMPLE.read_text()
    imported = {
        name.name.partition(".")[0] if isinstance(node, ast.Import) else str(node.module)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }

    assert {name.partition(".")[0] for name in imported} - sys.stdlib_module_names == {"redis"}
    assert len([line for line in source.splitlines() if line.strip()]) < LONGEST


async def test_killed_beside_killed_python_workers_it_loses_and_doubles_nothing(
    oms: AsyncOMSClient, url: str, crew: Crew
) -> None:
    chance = random.Random(12)
    await oms.create_queue("q", lease=f"{LEASE_S}s", max_crashes=100)
    accepted: set[str] = set()
    running = {crew.foreign: crew.foreign(), crew.python: crew.python()}
    for number in range(KILLS):
        # Each kind in turn, when it has begun some of what came since the last kill.
        kind = (crew.foreign, crew.python)[number % 2]
        victim = running[kind]
        crew.wait_until_ready(victim)
        batch = await oms.enqueue_many("q", [f"{number}.{n}" for n in range(100)])
        accepted |= {one.id for one in batch}
        crew.wait_for("start", victim, chance.randrange(5, 20))
        crew.all[victim].kill()
        running[kind] = kind()
    with anyio.fail_after(60):
        while (stats := await oms.stats("q")).open:  # noqa: ASYNC110  # other processes
            await anyio.sleep(0.05)
    for pid in running.values():
        crew.all[pid].terminate()
    codes = [crew.all[pid].join(PATIENCE_S) for pid in running.values()]

    assert codes == [0, 0]
    assert (stats.done, stats.totals["accepted"]) == (len(accepted), len(accepted))
    assert stats.balanced
    events = await everything(url)
    ends = Counter(event.task_id for event in events if event.type == "done")
    assert ends == Counter(accepted)
    done = oracle.executions(crew.journal.lines())
    assert oracle.lost(accepted, {one.id for one in done if one.succeeded}) == set()
    assert oracle.overlapping(done, oracle.evidence(events, crew.deaths())) == set()
    by_kind = Counter(crew.all[one.pid].command[1] == str(SCRIPT) for one in done)
    assert min(by_kind[True], by_kind[False]) >= 5 * KILLS // 2
    assert stats.totals["rescued"] >= KILLS


async def test_its_outcomes_are_those_of_the_page(oms: AsyncOMSClient, crew: Crew) -> None:
    await oms.create_queue("q")
    good, flaky, bad = await oms.enqueue_many("q", ["good", "flaky", "bad"])
    crew.foreign()

    assert await oms.result(good.id, timeout=20) == "by the protocol"
    assert await oms.result(flaky.id, timeout=20) == "by the protocol"
    with pytest.raises(TaskFailed, match="as the payload wants it"):
        await oms.result(bad.id, timeout=20)
    attempts = (await oms.get_task(flaky.id)).attempts
    assert [(one.error_type, one.error) for one in attempts] == [
        ("RuntimeError", "as the payload wants it")
    ]


async def test_it_keeps_a_lease_leaves_what_is_cancelled_and_hands_back_at_a_stop(
    oms: AsyncOMSClient, crew: Crew
) -> None:
    await oms.create_queue("q", lease=f"{LEASE_S}s")
    first, second = await oms.enqueue_many("q", ["long", "long"])
    pid = crew.foreign()
    crew.wait_for("start", pid, 2)
    begun = await oms.get_task(second.id)
    assert begun.lease_expires_ms is not None
    renewed = begun.lease_expires_ms + 1_000 * LEASE_S  # it would have been lost without `extend`
    with anyio.fail_after(20):
        while ((await oms.get_task(second.id)).lease_expires_ms or 0) < renewed:  # noqa: ASYNC110
            await anyio.sleep(0.05)

    assert await oms.cancel(first.id) is False
    crew.wait_for("cut", pid)
    with anyio.fail_after(20):
        while (await oms.get_task(first.id)).state is not TaskState.CANCELLED:  # noqa: ASYNC110
            await anyio.sleep(0.01)
    crew.all[pid].terminate()

    assert crew.all[pid].join(PATIENCE_S) == 0
    left = await oms.get_task(second.id)
    assert (left.state, left.attempt, left.crashes) == (TaskState.WAITING, 0, 0)


async def test_answers_that_are_lost_are_asked_for_again(
    oms: AsyncOMSClient, url: str, crew: Crew
) -> None:
    await oms.create_queue("q")
    async with proxied(url) as proxy:
        proxy.lose_answers = 12
        pid = crew.foreign(slots=3, url=proxy.url)
        batch = await oms.enqueue_many("q", list(range(60)))
        with anyio.fail_after(40):
            await proxy.lost.wait()
            for one in batch:
                assert await oms.result(one.id, timeout=40) == "by the protocol"
            crew.all[pid].terminate()
            while crew.all[pid].died is None:  # noqa: ASYNC110  # another process
                await anyio.sleep(0.01)

    assert crew.all[pid].code == 0
    assert crew.journal.count("start") == crew.journal.count("end") == len(batch)
    tasks = (await oms.list_tasks("q", TaskState.DONE, limit=100)).tasks
    assert {(task.attempt, task.crashes) for task in tasks} == {(1, 0)}


async def test_a_reader_of_the_example_enqueues_and_works_with_exported_scripts(
    oms: AsyncOMSClient, url: str, tmp_path: Path
) -> None:
    await oms.create_queue("passport.photo", sla="2h")
    output_of(url, tmp_path, "-m", "hms_async", "protocol", "export", "scripts")
    enqueue = (EXAMPLE, "enqueue", "passport.photo")
    good = output_of(url, tmp_path, *enqueue, "REQ-1", '{"file": "sam.jpg"}').strip()
    bad = output_of(url, tmp_path, *enqueue, "REQ-2", '{"file": "cat.png"}').strip()

    with running_script(url, tmp_path, EXAMPLE, "work", "passport.photo") as worker:
        assert await oms.result(good, timeout=20) == {"note": "Photo OK"}
        with pytest.raises(TaskFailed, match="Not a JPEG"):
            await oms.result(bad, timeout=20)

    assert worker.returncode == 0
    assert (await oms.get_task(good)).correlation_id == "REQ-1"
