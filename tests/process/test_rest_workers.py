"""Workers in Node, in POSIX shell, of the protocol page and ours share a queue, and are killed."""

import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Literal

import anyio
import pytest

from benchmarks.faults import oracle
from hms_async import AsyncOMSClient, QueueStats, TaskFailed, TaskState
from tests.process.rest import Server
from tests.process.scripts import EXAMPLES
from tests.process.support import PATIENCE_S
from tests.process.test_killed_workers import everything
from tests.process.test_protocol_worker import Crew as Natives

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

FOLDER = EXAMPLES / "other_languages"
HANDLER = Path(__file__).with_name("rest_handler.mjs")
COMMAND = Path(__file__).with_name("rest_command.py")
LEASE_S = 3
ROUNDS = 3
Kind = Literal["node", "sh", "python", "protocol"]
EXAMPLES_OF = {"node": FOLDER / "worker.mjs", "sh": FOLDER / "worker.sh"}
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node: no Node.js on PATH")


class Crew(Natives):
    """Workers of all kinds, which note what they do in one journal, and the API."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__(url, folder)
        self.api = Server(self)
        self.left_behind = partial(folder.glob, "tmp.*")
        # Without what the interpreter would look for: it is started for each task.
        self._command = (sys.executable, "-I", "-S", COMMAND)

    def rest(self, program: str, *command: str | Path) -> int:
        environ = {"HMS_API": self.api.url, "QUEUE": "q", "SLOTS": "5"}
        found = shutil.which(program) or program
        return self.start([str(one) for one in command], environ, program=found).pid

    def node(self) -> int:
        return self.rest("node", EXAMPLES_OF["node"], HANDLER)

    def shell(self) -> int:
        # The command's parent is the worker: whose death the journal is to tell.
        return self.rest("sh", EXAMPLES_OF["sh"], *self._command)


@pytest.fixture
def crew(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Crew]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # a killed shell leaves its files there
    crew = Crew(url, tmp_path)
    yield crew
    crew.close()


class Load:
    """Tasks, so many that the queue never runs dry while somebody is to begin some.

    Attributes:
        accepted: All that were enqueued.
    """

    def __init__(self, oms: AsyncOMSClient, crew: Crew) -> None:
        self._oms = oms
        self._journal = crew.journal
        self.accepted: set[str] = set()

    async def until_begun(self, pid: int, count: int) -> None:
        """Keep it up until a worker has begun so many more tasks."""
        wanted = self._journal.count("start", pid) + count
        with anyio.fail_after(PATIENCE_S):
            while self._journal.count("start", pid) < wanted:
                if (await self._oms.stats("q")).waiting < 20:
                    batch = await self._oms.enqueue_many("q", [{"s": 0.05}] * 40)
                    self.accepted.update(one.id for one in batch)
                await anyio.sleep(0.01)

    async def until_done(self) -> QueueStats:
        """Wait for the end of all."""
        with anyio.fail_after(60):
            while (stats := await self._oms.stats("q")).open:  # noqa: ASYNC110  # other processes
                await anyio.sleep(0.05)
        return stats


async def kill_in_turn(crew: Crew, load: Load) -> dict[int, Kind]:
    """Kill each kind in turn, and the API once, all of them under load; return who they were."""
    chance = random.Random(6)
    start: dict[Kind, Callable[[], int]] = {
        "node": crew.node,
        "sh": crew.shell,
        "python": crew.python,
        "protocol": lambda: crew.foreign(3),
    }
    running: dict[Kind, int] = {kind: begin() for kind, begin in start.items()}
    kinds: dict[int, Kind] = {}
    kinds.update((pid, kind) for kind, pid in running.items())
    for number in range(ROUNDS):
        for kind, begin in start.items():
            victim = running[kind]
            crew.wait_until_ready(victim)
            await load.until_begun(victim, chance.randrange(2, 8))
            crew.all[victim].kill()
            running[kind] = begin()
            kinds[running[kind]] = kind
        if number == 1:
            # Those who ask it are in the midst of pops, outcomes and heartbeats then.
            await load.until_begun(running["node"], 5)
            crew.api.kill_and_start_again()
            for kind in ("node", "sh"):
                await load.until_begun(running[kind], 2)
    return kinds


@needs_node
@pytest.mark.node
async def test_killed_workers_of_four_kinds_and_a_killed_api_lose_and_double_nothing(
    oms: AsyncOMSClient, url: str, crew: Crew
) -> None:
    await oms.create_queue("q", lease=f"{LEASE_S}s", max_crashes=100, keep_done_max=100_000)
    load = Load(oms, crew)
    kinds = await kill_in_turn(crew, load)
    stats = await load.until_done()
    left = [pid for pid in kinds if crew.all[pid].died is None]
    for pid in left:
        crew.all[pid].terminate()
    codes = [crew.all[pid].join(PATIENCE_S) for pid in left]

    accepted = load.accepted
    assert codes == [0, 0, 0, 0]
    assert (stats.done, stats.totals["accepted"]) == (len(accepted), len(accepted))
    assert stats.balanced
    events = await everything(url)
    assert Counter(one.task_id for one in events if one.type == "done") == Counter(accepted)
    done = oracle.executions(crew.journal.lines())
    assert oracle.lost(accepted, {one.id for one in done if one.succeeded}) == set()
    # A killed shell leaves its command behind, so its death is no end: only that of the lease is.
    deaths = {pid: at for pid, at in crew.deaths().items() if kinds.get(pid) != "sh"}
    assert oracle.overlapping(done, oracle.evidence(events, deaths)) == set()
    by_kind = Counter(kinds[one.pid] for one in done)
    assert min(by_kind[kind] for kind in kinds.values()) >= 2 * ROUNDS
    assert stats.totals["rescued"] >= len(kinds) - len(left)


@pytest.mark.parametrize("kind", [pytest.param("node", marks=[needs_node, pytest.mark.node]), "sh"])
async def test_what_they_run_without_a_handler_tells_good_from_bad(
    oms: AsyncOMSClient, crew: Crew, kind: str
) -> None:
    await oms.create_queue("q")
    good, bad = await oms.enqueue_many("q", [{"file": "sam.jpg"}, {"file": "cat.png"}])
    pid = crew.rest(kind, EXAMPLES_OF[kind])

    assert await oms.result(good.id, timeout=20) == {"note": "Photo OK"}
    with pytest.raises(TaskFailed, match="Not a JPEG"):
        await oms.result(bad.id, timeout=20)
    assert (await oms.get_task(bad.id)).attempt == 1
    crew.all[pid].terminate()
    assert crew.all[pid].join(PATIENCE_S) == 0
    assert list(crew.left_behind()) == []


@pytest.mark.parametrize("kind", [pytest.param("node", marks=[needs_node, pytest.mark.node]), "sh"])
async def test_they_keep_a_lease_leave_what_is_cancelled_and_hand_back_at_a_stop(
    oms: AsyncOMSClient, crew: Crew, kind: str
) -> None:
    await oms.create_queue("q", lease=f"{LEASE_S}s")
    first = await oms.enqueue("q", {"s": 60})
    pid = crew.shell() if kind == "sh" else crew.node()
    crew.wait_for("start", pid)
    begun = await oms.get_task(first.id)
    assert begun.lease_expires_ms is not None
    renewed = begun.lease_expires_ms + 1_000 * LEASE_S  # it would have been lost without heartbeats
    with anyio.fail_after(20):
        while ((await oms.get_task(first.id)).lease_expires_ms or 0) < renewed:  # noqa: ASYNC110
            await anyio.sleep(0.05)

    assert await oms.cancel(first.id) is False
    crew.wait_for("cut", pid)
    with anyio.fail_after(20):
        while (await oms.get_task(first.id)).state is not TaskState.CANCELLED:  # noqa: ASYNC110
            await anyio.sleep(0.01)
    second = await oms.enqueue("q", {"s": 60})
    crew.wait_for("start", pid, 2)
    crew.all[pid].terminate()

    assert crew.all[pid].join(PATIENCE_S) == 0
    assert crew.journal.count("cut", pid) == 2
    left = await oms.get_task(second.id)
    assert (left.state, left.attempt, left.crashes) == (TaskState.WAITING, 0, 0)


async def test_a_killed_shell_worker_takes_its_command_along_and_lets_the_task_go(
    oms: AsyncOMSClient, crew: Crew
) -> None:
    await oms.create_queue("q", lease=f"{LEASE_S}s")
    await oms.enqueue("q", {"s": 60})
    killed = crew.shell()
    crew.wait_for("start", killed)
    crew.all[killed].kill()
    heir = crew.python()

    crew.wait_for("cut", killed)
    crew.wait_for("start", heir)
