"""Probes of whole processes, while their server, their loop and they themselves are hurt."""

import json
import os
import signal
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from hms_async import AsyncOMSClient
from hms_async.storage.embedded import EmbeddedServer, running
from tests.process.scripts import lines_until, running_script

pytestmark = [pytest.mark.process, pytest.mark.timeout(90)]

SERVICE = """
import time
from pathlib import Path

import anyio
from hms_async import AsyncWorker, Task, handler

async def gate(task):
    while not Path(task.payload["gate"]).exists():
        await anyio.sleep(0.01)

@handler(queue="q")
async def work(task: Task) -> None:
    if task.payload["blocks"]:
        while not Path(task.payload["gate"]).exists():
            time.sleep(0.01)
    else:
        await gate(task)

worker = AsyncWorker(handlers=[work], loop_stall_limit="1s", supervise=False)
"""

Ask = Callable[[str], dict[str, Any]]


@pytest.fixture
def server() -> Generator[EmbeddedServer]:
    """A server of our own: it will be frozen, and die."""
    with running() as server:
        yield server
        with suppress(ProcessLookupError):
            os.kill(server.pid, signal.SIGCONT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "service.py").write_text(SERVICE)
    return tmp_path


def probing(process: Popen[str]) -> Ask:
    """Wait until a process is ready; returns what asks for one of its pages."""
    said = lines_until("ready.  Ctrl-C", process)
    (ready,) = (line.split()[-1] for line in said if line.startswith("ready  "))

    def ask(page: str) -> dict[str, Any]:
        try:
            with urlopen(ready.replace("/ready", page), timeout=5) as answer:  # noqa: S310
                return {"code": answer.status, **json.load(answer)}
        except HTTPError as error:
            with error:
                return {"code": error.code, **json.load(error)}

    return ask


def until(
    ask: Ask, page: str, holds: Callable[[dict[str, Any]], bool], within_s: float = 20
) -> None:
    """Ask for a page until it is as it should be."""
    deadline = time.monotonic() + within_s
    while not holds(found := ask(page)):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def is_well(page: dict[str, Any]) -> bool:
    return page == WELL


WELL = {"code": 200, "ok": True, "reason": ""}


async def test_a_frozen_and_a_restarted_server_show_in_ready_and_not_in_live(
    server: EmbeddedServer, folder: Path
) -> None:
    async with AsyncOMSClient(server.url) as oms:
        await oms.create_queue("q", sla="2h")
    port = ("--health-port", "0")
    with (
        running_script(server.url, folder, "-m", "hms_async", "act", *port) as act,
        running_script(
            server.url, folder, "-m", "hms_async", "run", "service:worker", *port
        ) as run,
    ):
        probes = [probing(act), probing(run)]
        for ask in probes:
            until(ask, "/ready", is_well)
        os.kill(server.pid, signal.SIGSTOP)
        for ask in probes:
            until(ask, "/ready", lambda page: page["code"] == 503, within_s=8)
            assert "the store's last answer is" in ask("/ready")["reason"]
            assert ask("/live") == WELL
            status = ask("/status")
            assert (status["live"], status["ready"]) == (True, False)
            assert status["store_silent_s"] >= 5
        os.kill(server.pid, signal.SIGCONT)
        for ask in probes:
            until(ask, "/ready", is_well)
        server.stop()
        with running(server.data_dir, server.port):
            for ask in probes:
                until(ask, "/status", lambda page: page["store_silent_s"] < 1)
                assert ask("/ready") == WELL


async def test_a_blocked_loop_and_a_drain_are_told_by_the_worker_itself(
    server: EmbeddedServer, folder: Path
) -> None:
    gates = [folder / "first", folder / "second"]
    async with AsyncOMSClient(server.url) as oms:
        await oms.create_queue("q", sla="2h")
        with running_script(
            server.url,
            folder,
            *("-m", "hms_async", "run", "service:worker"),
            *("--health-port", "0", "--metrics-port", "0"),
        ) as run:
            ask = probing(run)
            assert ask("/live") == WELL
            await oms.enqueue("q", {"blocks": True, "gate": str(gates[0])})
            until(ask, "/live", lambda page: page["code"] == 503)
            assert ask("/ready")["reason"].startswith("the event loop has stood still for ")
            status = ask("/status")
            assert (status["running"], status["leases"]) == (1, 1)
            gates[0].touch()
            until(ask, "/ready", is_well)

            await oms.enqueue("q", {"blocks": False, "gate": str(gates[1])})
            until(ask, "/status", lambda page: page["running"] == 1)
            run.send_signal(signal.SIGTERM)
            until(ask, "/ready", lambda page: page["reason"] == "draining")
            assert ask("/live") == WELL
            gates[1].touch()
            assert run.wait() == 0
