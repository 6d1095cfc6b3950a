import os
import re
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hms_async import AsyncOMSClient
from hms_async.storage.embedded import running

pytestmark = [pytest.mark.process, pytest.mark.timeout(90)]

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "examples" / "quickstart"
LONGEST_S = 60


@pytest.fixture
def url() -> Generator[str]:
    with running() as server:
        yield server.url


def environment(url: str) -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("HMS_")}
    # The package under test is the one beside these tests, installed or not.
    return mine | {"HMS_URL": url, "HMS_LOG_FORMAT": "text", "PYTHONPATH": str(ROOT)}


def run(script: str, url: str) -> str:
    done = subprocess.run(  # noqa: S603  # our own script
        [sys.executable, SCRIPTS / script],
        env=environment(url),
        capture_output=True,
        text=True,
        check=True,
        timeout=LONGEST_S,
    )
    assert done.stderr == ""
    return done.stdout


@contextmanager
def working(url: str, *command: str) -> Generator[subprocess.Popen[str]]:
    """The worker in a process of its own; a process that hangs ends, and its reader with it."""
    worker = subprocess.Popen(  # noqa: S603  # our own script
        [sys.executable, *(command or ("worker.py",))],
        env=environment(url),
        cwd=SCRIPTS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    limit = threading.Timer(LONGEST_S, worker.kill)
    limit.start()
    try:
        with worker:
            yield worker
            worker.terminate()
    finally:
        worker.kill()
        limit.cancel()


def lines_until(word: str, worker: subprocess.Popen[str]) -> list[str]:
    assert worker.stdout is not None
    lines: list[str] = []
    for line in worker.stdout:
        lines.append(line.rstrip("\n"))
        if word in line:
            return lines
    pytest.fail("\n".join([f"the worker ended without {word!r}:", *lines]))


def about(request: str, lines: list[str]) -> list[str]:
    """The lines of one request, with the time that it took left out."""
    wanted = [line for line in lines if request in line or line.startswith("[Worker]")]
    return [re.sub(r"\(\d+\.\d s\)", "(... s)", line) for line in wanted]


@pytest.mark.parametrize(
    ("script", "longest"), [("register_queue.py", 12), ("worker.py", 20), ("enqueue.py", 9)]
)
def test_no_script_is_longer_than_the_briefs(script: str, longest: int) -> None:
    lines = (SCRIPTS / script).read_text().splitlines()

    assert len([line for line in lines if line.strip()]) <= longest


def test_the_three_scripts_print_the_briefs_lines(url: str) -> None:
    assert run("register_queue.py", url) == "Queue ready!\n"
    with working(url) as worker:
        assert run("enqueue.py", url) == "Task enqueued!\n"

        lines = lines_until("marked", worker)

    assert about("REQ-123", lines) == [
        "[OMS] Task REQ-123 pulled by worker#1",
        "[Worker] Photo OK",
        "[OMS] Task REQ-123 marked COMPLETE (... s)",
    ]
    assert worker.returncode == 0


async def test_a_photo_that_is_none_is_marked_failed_with_the_reason(url: str) -> None:
    run("register_queue.py", url)
    async with AsyncOMSClient(url) as oms:
        await oms.enqueue("passport.photo", {"file": "s3://cat.png"}, correlation_id="REQ-124")

    with working(url) as worker:
        lines = lines_until("marked", worker)

    assert about("REQ-124", lines) == [
        "[OMS] Task REQ-124 pulled by worker#1",
        "[OMS] Task REQ-124 marked FAILED (... s): Not a JPEG",
    ]


def test_the_worker_also_runs_from_the_command_line(url: str) -> None:
    run("register_queue.py", url)
    run("enqueue.py", url)

    command = ("-m", "hms_async", "run", "worker:validate_photo", "-Q", "passport.photo")
    with working(url, *command, "--log-format", "text") as worker:
        lines = lines_until("marked", worker)

    assert about("REQ-123", lines)[-1] == "[OMS] Task REQ-123 marked COMPLETE (... s)"
