"""`hms web` with many who look: what they cost the server, and how it takes its leave of them."""

import time
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path

import anyio
import httpx
import pytest

from hms_async import AsyncOMSClient
from tests.process.rest import Server
from tests.process.support import PATIENCE_S
from tests.process.test_protocol_worker import Crew
from tests.servers import Raw

pytestmark = [pytest.mark.process, pytest.mark.timeout(90)]

FAREWELL_S = 5  # 2 s are promised, on a machine that has nothing else to do
CHANGES = 4


@pytest.fixture
def server(url: str, tmp_path: Path) -> Generator[Server]:
    processes = Crew(url, tmp_path)
    yield Server(processes, "web")
    processes.close()


@pytest.fixture
async def http(server: Server) -> AsyncGenerator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:
        yield client


class Viewer:
    """A browser: it listens, and asks for its page's part whenever that has changed."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.seen: list[str] = []
        self.over = anyio.Event()

    async def look(self) -> None:
        async with self._http.stream("GET", "/ui/events?topic=queue:q") as hints:
            async for line in hints.aiter_lines():
                if line in ("event: hello", "event: change"):
                    part = await self._http.get("/ui/q/q", headers={"x-part": "1"})
                    assert part.status_code == 200
                    self.seen.append(part.text)
        self.over.set()


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(PATIENCE_S):
        while not holds():  # noqa: ASYNC110  # nothing tells
            await anyio.sleep(0.01)


async def cost(oms: AsyncOMSClient, http: httpx.AsyncClient, url: str, viewers: int) -> float:
    """Return how many commands a change of the page costs the server."""
    looking = [Viewer(http) for _ in range(viewers)]
    raw = Raw(url)
    found = 0
    async with anyio.create_task_group() as group:
        for viewer in looking:
            group.start_soon(viewer.look)
        await until(lambda: all(viewer.seen for viewer in looking))
        before = _calls(raw)
        for n in range(1, CHANGES + 1):
            for viewer in looking:
                viewer.seen.clear()
            await oms.enqueue("q", n)
            await until(lambda: all(viewer.seen for viewer in looking))
        found = _calls(raw) - before
        group.cancel_scope.cancel()
    raw.close()
    return found / CHANGES


def _calls(raw: Raw) -> int:
    stats = raw("INFO", "commandstats")
    return sum(int(one["calls"]) for name, one in stats.items() if name != "cmdstat_info")


async def test_fifty_who_look_cost_the_server_what_one_costs(
    oms: AsyncOMSClient, http: httpx.AsyncClient, url: str
) -> None:
    await oms.create_queue("q", sla="2h")
    await oms.enqueue_many("q", list(range(100)))

    one = await cost(oms, http, url, 1)
    fifty = await cost(oms, http, url, 50)

    assert fifty < 1.1 * one + 20, (one, fifty)


async def test_a_stop_takes_leave_of_fifty_who_look(
    oms: AsyncOMSClient, server: Server, http: httpx.AsyncClient
) -> None:
    await oms.create_queue("q")
    looking = [Viewer(http) for _ in range(50)]
    asked = 0
    async with anyio.create_task_group() as group:
        for viewer in looking:
            group.start_soon(viewer.look)
        await until(lambda: all(viewer.seen for viewer in looking))
        asked = time.monotonic_ns()
        server.process.terminate()
        for viewer in looking:
            await viewer.over.wait()
    assert server.process.join(PATIENCE_S) == 0
    assert server.process.died is not None
    assert (server.process.died - asked) / 1e9 < FAREWELL_S
