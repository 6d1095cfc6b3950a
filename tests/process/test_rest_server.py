"""One `hms api` process with very many who wait: what they cost it, and how it takes its leave.

The figures are properties of a JUnit report: `--junitxml FILE -o junit_family=xunit1`.
"""

import time
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import anyio.lowlevel
import httpx
import pytest

from benchmarks.footprint import cpu_s
from benchmarks.speed.quantiles import quantile
from hms_async import AsyncOMSClient
from tests.process.rest import Server
from tests.process.support import PATIENCE_S
from tests.process.test_protocol_worker import Crew
from tests.servers import Raw

pytestmark = [pytest.mark.process, pytest.mark.timeout(90)]

FAREWELL_S = 5  # 2 s are promised, on a machine that has nothing else to do
POLLS = 200
QUEUES = 10
A_LOOK = 40  # commands: an exchange that claims nothing, those inside of the script among them
A_TASK = 100  # commands: an enqueue, a claim, and a look of the next in line


@pytest.fixture
def server(url: str, tmp_path: Path) -> Generator[Server]:
    processes = Crew(url, tmp_path)
    yield Server(processes)
    processes.close()


@pytest.fixture
async def http(server: Server) -> AsyncGenerator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:
        yield client


async def pop(http: httpx.AsyncClient, queue: str, wait: str, answers: list[Any]) -> None:
    answer = await http.post("/oms/pop", json={"queue": queue, "wait": wait})
    answers.append((answer.status_code, answer.json(), time.monotonic()))


async def until_open(http: httpx.AsyncClient, polls: int, streams: int = 0) -> None:
    with anyio.fail_after(PATIENCE_S):
        while True:
            status = (await http.get("/status")).json()
            if (status["polls"], status["streams"]) == (polls, streams):
                return
            await anyio.sleep(0.02)


async def test_a_stop_answers_what_waits_and_takes_leave_of_streams_at_once(
    oms: AsyncOMSClient,
    server: Server,
    http: httpx.AsyncClient,
    record_property: Callable[[str, object], None],
) -> None:
    await oms.create_queue("q")
    polls: list[Any] = []
    streams: list[str] = []
    asked = 0

    async def follow() -> None:
        answer = await http.get("/oms/events", params={"queue": "q"})
        streams.append(answer.text)

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(pop, http, "q", "30s", polls)
            group.start_soon(follow)
        await until_open(http, 50, 50)
        asked = time.monotonic_ns()
        server.process.terminate()
    code = server.process.join(FAREWELL_S)

    assert server.process.died is not None
    seconds = (server.process.died - asked) / 1e9
    record_property("seconds", round(seconds, 3))
    assert code == 0
    assert seconds < FAREWELL_S
    assert [answer for _, answer, _ in polls] == [{"tasks": [], "drain": True}] * 50
    assert {status for status, _, _ in polls} == {200}
    assert {text.rpartition("event: ")[2] for text in streams} == {"bye\ndata: {}\n\n"}
    assert len(streams) == 50


class Spent(NamedTuple):
    """What was spent so far: by the clock, on CPU of the API, in commands of the store."""

    seconds: float
    cpu_s: float
    commands: int

    def since(self, before: "Spent") -> "Spent":
        return Spent(
            self.seconds - before.seconds,
            self.cpu_s - before.cpu_s,
            self.commands - before.commands,
        )


async def wake_one(oms: AsyncOMSClient, queue: str, answers: list[Any]) -> float:
    """Put a task into a queue for which many wait; return after how many seconds one has it."""
    heard = len(answers)
    began = time.monotonic()
    task = await oms.enqueue(queue, None)
    with anyio.fail_after(PATIENCE_S):
        while len(answers) == heard:  # how soon is what is asked
            await anyio.lowlevel.checkpoint()
    status, answer, at = answers[-1]
    assert status == 200
    assert [one["id"] for one in answer["tasks"]] == [task.id]
    return float(at - began)


async def test_two_hundred_long_polls_cost_what_their_queues_cost_and_are_woken_by_their_tasks(
    oms: AsyncOMSClient,
    url: str,
    server: Server,
    http: httpx.AsyncClient,
    record_property: Callable[[str, object], None],
) -> None:
    raw = Raw(url)
    names = [f"q{number}" for number in range(QUEUES)]
    for name in (*names, "other"):
        await oms.create_queue(name)
    answers: dict[str, list[Any]] = {name: [] for name in names}
    looks: list[Spent] = []
    lags: list[float] = []

    def look() -> None:
        stats = raw("INFO", "commandstats")  # those inside of scripts among them
        commands = sum(int(one["calls"]) for one in stats.values())
        looks.append(Spent(time.monotonic(), cpu_s(server.process.pid), commands))

    async with anyio.create_task_group() as group:
        for number in range(POLLS):
            name = names[number % QUEUES]
            group.start_soon(pop, http, name, "30s", answers[name])
        await until_open(http, POLLS)

        # At rest: from now until one more poll ends with nothing.
        look()
        await pop(http, "other", "3s", [])
        look()
        assert not any(answers.values())

        lags = [
            await wake_one(oms, names[number % QUEUES], answers[names[number % QUEUES]])
            for number in range(POLLS)
        ]
        look()
    raw.close()

    idle, woken = looks[1].since(looks[0]), looks[2].since(looks[1])
    p50, p99 = (1_000 * quantile(lags, part) for part in (0.5, 0.99))
    record_property("idle commands/s", round(idle.commands / idle.seconds))
    record_property("idle CPU of the API, %", round(100 * idle.cpu_s / idle.seconds, 1))
    record_property("commands a task", round(woken.commands / POLLS, 1))
    record_property("CPU of the API a task, ms", round(1_000 * woken.cpu_s / POLLS, 2))
    record_property("p50, p99 of a wake-up, ms", (round(p50, 1), round(p99, 1)))
    # Each queue is looked at once a second, however many wait for it.
    assert idle.commands <= (QUEUES + 1) * (idle.seconds + 1) * A_LOOK
    assert woken.commands <= POLLS * A_TASK + QUEUES * (woken.seconds + 1) * A_LOOK
