"""A real browser before a real system: a server, `hms web` and a worker, each a process.

Whatever a page asks another host for, says on its console, or does against its policy is noted,
and fails the test at its end.
"""

import shutil
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from benchmarks.faults.workers import Workers as Processes
from hms_async.storage.connect import connect_for_thread
from hms_async.storage.embedded import running
from tests.process.rest import Server
from tests.process.support import eventually

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 15_000


class System:
    """What a browser looks at.

    Attributes:
        url: Where the pages are.
        http: The REST API, to prepare and to check.
    """

    def __init__(self, processes: Processes, folder: Path) -> None:
        self._gate = folder / "gate"
        self._processes = processes
        self._store: Any = connect_for_thread(processes.url, timeout_s=20)
        server = Server(processes, "web")
        self.url = f"{server.url}/ui"
        self.http = httpx.Client(base_url=server.url, timeout=20)
        self._tasks = 0

    def close(self) -> None:
        """Close the connections."""
        self.http.close()
        self._store.close()

    def create(self, name: str, **settings: Any) -> str:
        """Create a queue."""
        self.http.post("/oms/queues", json={"name": name, **settings}).raise_for_status()
        return name

    def work(self, *queues: str, slots: int = 4) -> None:
        """Start a worker for some queues, and wait until it works."""
        process = self._processes.hms(
            "run",
            "tests.browser.clerk:work",
            "-c",
            str(slots),
            *(word for queue in queues for word in ("-Q", queue)),
            environ={"GATE": str(self._gate)},
        )
        eventually(lambda: "worker.started" in process.log.read_text(), "a worker works")

    def push(self, queue: str, payload: Any, **options: Any) -> str:
        """Enqueue a task and return its id."""
        answer = self.http.post(
            "/oms/enqueue", json={"queue": queue, "payload": payload, **options}
        )
        answer.raise_for_status()
        return str(answer.json()["id"])

    def waited(self, queue: str, *, minutes_ago: int) -> None:
        """Count an attempt that began then, after a wait of a second."""
        seconds, _ = self._store.time()
        self._store.hset(f"queue:{queue}:stats:{seconds // 60 - minutes_ago}", "wait:5", 1)

    def open_gate(self, name: str) -> None:
        """Let tasks that wait at a gate go on."""
        self._gate.with_name(f"gate-{name}").touch()

    def task(self, task_id: str) -> Any:
        """Return a task as the API shows it."""
        return self.http.get(f"/oms/tasks/{task_id}").json()

    def until(self, task_id: str, state: str) -> Any:
        """Wait until a task is in a state, and return it."""
        eventually(lambda: self.task(task_id)["state"] == state, f"{task_id} is {state}")
        return self.task(task_id)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Generator[System]:
    """A system of the module's own, as what is in it is looked at."""
    folder = tmp_path_factory.mktemp("system")
    with running() as server:
        processes = Processes(server.url, folder)
        try:
            made = System(processes, folder)
            yield made
            made.close()
        finally:
            processes.close()


@pytest.fixture(scope="module")
def chromium() -> Generator[Browser]:
    """Debian's Chromium, or the reason why it is not there.

    A module's own: as long as it lives, no test may have an event loop of its own.
    """
    binary = shutil.which("chromium")
    if binary is None:
        pytest.skip("chromium: no chromium on PATH; apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=_FLAGS)
        yield browser
        browser.close()


Opens = Callable[..., Page]


@pytest.fixture
def opens(chromium: Browser, system: System) -> Generator[Opens]:
    """Open a page in a browser of its own; what it does that it should not fails the test."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []
    ours = urlsplit(system.url).netloc

    def open_page(path: str = "/", *, width: int = 1280, **options: Any) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request",
            lambda asked: (
                faults.append(f"asks for {asked.url}")
                if urlsplit(asked.url).netloc not in (ours, "")
                else None
            ),
        )
        page.goto(f"{system.url}{path}")
        return page

    yield open_page
    for context in contexts:
        with suppress(Exception):
            context.close()
    assert faults == []
