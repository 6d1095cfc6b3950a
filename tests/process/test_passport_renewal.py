"""The passport office of `examples/passport_renewal` while its clerks are killed.

Nothing is lost, nothing is done twice that shows, and no step is late without a warning in time.
"""

import math
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.streams.memory import MemoryObjectReceiveStream

from benchmarks.faults.processes import ROOT, Owned
from benchmarks.faults.workers import Workers as Processes
from hms_async import AsyncOMSClient, Event, TaskFailed, TaskRecord, TaskState
from tests.process.support import PATIENCE_S, eventually

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]

SCRIPTS = ROOT / "examples" / "passport_renewal"
FORM, RECORDS, PRINT, MAIL = STEPS = (
    "passport.form",
    "passport.records",
    "passport.print",
    "passport.mail",
)
CASES = [f"REN-{number:03}" for number in range(1, 51)]
STALLED = "REN-033"  # the archive stalls five times in a row for it: longer than the promise
KILLS = 6


class Office:
    """The processes of an office, and the folder in which they all work."""

    def __init__(self, url: str, folder: Path) -> None:
        self._processes = Processes(url, folder)
        self._environ = {"PYTHONPATH": f"{ROOT}:{SCRIPTS}"}
        self._folder = folder
        self.close = self._processes.close

    def script(self, name: str, *arguments: str) -> str:
        """Run a script of the example to its end, and return what it printed."""
        process = self._start(str(SCRIPTS / name), *arguments)
        assert process.join(PATIENCE_S) == 0, process.log.read_text()
        return process.log.read_text()

    def supervisor(self) -> Owned:
        return self._start("-m", "hms_async", "act")

    def clerks(self) -> Owned:
        return self._start("-m", "hms_async", "run", "office:worker")

    def wait_until_ready(self, clerks: Owned) -> None:
        """Wait until a process takes tasks."""
        eventually(
            lambda: bool(self._processes.log(clerks, "worker.started")), f"{clerks.pid} works"
        )

    def files(self, folder: str) -> dict[str, str]:
        """Return what the clerks have put into a folder, case by case."""
        return {path.stem: path.read_text() for path in (self._folder / folder).glob("*.txt")}

    def _start(self, *words: str) -> Owned:
        return self._processes.start(words, self._environ, folder=self._folder)


@pytest.fixture
def office(url: str, tmp_path: Path) -> Generator[Office]:
    """An office that is open, without clerks; its processes are gone when the test is over."""
    office = Office(url, tmp_path)
    try:
        office.script("register.py")
        yield office
    finally:
        office.close()


@asynccontextmanager
async def news(oms: AsyncOMSClient) -> AsyncGenerator[MemoryObjectReceiveStream[Event]]:
    """All that the four queues tell, from their beginning on."""
    send, receive = anyio.create_memory_object_stream[Event](math.inf)

    async def follow(queue: str) -> None:
        async for event in oms.events(queue, after="0-0"):
            await send.send(event)

    async with anyio.create_task_group() as group, send, receive:
        for queue in STEPS:
            group.start_soon(follow, queue)
        yield receive
        group.cancel_scope.cancel()


async def until_all_ended(oms: AsyncOMSClient, ended: Callable[[int], None]) -> list[Event]:
    """Return all events until each step of each case is done; tell how many are, as they grow."""
    told: list[Event] = []
    done: set[str | None] = set()
    async with news(oms) as events:
        async for event in events:
            told.append(event)
            if event.type == "done" and event.task_id not in done:
                done.add(event.task_id)
                ended(len(done))
            if len(done) == len(CASES) * len(STEPS):
                return told
    raise AssertionError("the events ended")


async def test_fifty_renewals_come_to_one_end_each_while_clerks_are_killed(
    oms: AsyncOMSClient, office: Office
) -> None:
    chance = random.Random(50)
    moments = sorted(chance.sample(range(5, 190), KILLS))  # how many steps are done by then
    supervisor = office.supervisor()
    running = [office.clerks(), office.clerks()]

    def kill_at_a_moment(steps_done: int) -> None:
        while moments and steps_done >= moments[0]:
            moments.pop(0)
            victim = running.pop(chance.randrange(2))
            office.wait_until_ready(victim)
            victim.kill()
            running.append(office.clerks())

    assert office.script("enqueue.py") == "50 renewals handed in.\n"
    with anyio.fail_after(180):
        told = await until_all_ended(oms, kill_at_a_moment)
    for process in (supervisor, *running):
        process.terminate()
    codes = [process.join(PATIENCE_S) for process in (supervisor, *running)]

    assert (moments, codes) == ([], [0, 0, 0])
    # Each case went through each step once, and came to one end.
    ends = Counter((event.queue, event.correlation_id) for event in told if event.type == "done")
    assert ends == {(step, case): 1 for step in STEPS for case in CASES}
    stats = [await oms.stats(step) for step in STEPS]
    assert [(one.totals["accepted"], one.done, one.open, one.failed) for one in stats] == [
        (len(CASES), len(CASES), 0, 0)
    ] * len(STEPS)
    assert sum(one.totals.get("rescued", 0) for one in stats) > 0, "no kill hit a task"
    # Each citizen got one mail, with the one tracking number of the case.
    records = {
        step: (await oms.list_tasks(step, TaskState.DONE, limit=500)).tasks for step in STEPS
    }
    tracking = {str(task.correlation_id): task.result["tracking"] for task in records[MAIL]}
    outbox = office.files("outbox")
    assert outbox.keys() == tracking.keys() == set(CASES)
    assert len(set(tracking.values())) == len(CASES)
    for case, text in outbox.items():
        assert text.count(tracking[case]) == text.count("PP-") == 1
    # No step was late without a warning that came before.
    tasks = [task for step in STEPS for task in records[step]]
    late = late_ones(tasks, told)
    assert STALLED in {task.correlation_id for task in late}
    assert [task.correlation_id for task in late if not warned_in_time(task, told)] == []
    shown = office.script("show.py").splitlines()
    assert [(*line.split()[:3], line.split()[-1]) for line in shown] == [
        (case, "mail", "done", tracking[case]) for case in CASES
    ]


def late_ones(tasks: list[TaskRecord], told: list[Event]) -> list[TaskRecord]:
    """Those that broke their promise, whether a supervisor came to say so or not."""
    breached = {event.task_id for event in told if event.type == "sla.breach"}
    return [
        task
        for task in tasks
        if task.id in breached or (task.finished_ms or 0) > (task.due_ms or 0)
    ]


def warned_in_time(task: TaskRecord, told: list[Event]) -> bool:
    """Whether the warning stands before the breach, if there is one, and before the due instant."""
    words = [event for event in told if event.task_id == task.id and event.type.startswith("sla.")]
    if not words or words[0].type != "sla.warn":
        return False
    told_ms = int(words[0].id.partition("-")[0])
    return task.due_ms is not None and told_ms < task.due_ms


async def test_a_bad_form_ends_at_the_first_desk_with_the_reason(
    oms: AsyncOMSClient, office: Office
) -> None:
    good = {"name": "Sam", "photo": "s3://uploads/sam.jpg", "paid": 60}
    office.clerks()
    reasons: list[str] = []
    for wrong in ({"name": " "}, {"photo": "s3://cat.png"}, {"paid": 40}, {"paid": "much"}):
        form = await oms.enqueue(FORM, good | wrong)
        with pytest.raises(TaskFailed) as failed:
            await oms.result(form.id, timeout=PATIENCE_S)
        reasons.append(failed.value.reason)

    assert reasons == [
        "there is no name on the form",
        "the photo s3://cat.png is not a JPEG",
        "the fee is 60, and 40 were paid",
        "PayloadInvalid: $.paid: Expected `int`, got `str`",
    ]
    assert "accepted" not in (await oms.stats(RECORDS)).totals


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.stem)
def test_no_file_of_the_story_is_longer_than_a_page(script: Path) -> None:
    assert len(script.read_text().splitlines()) <= 42
