import re
import subprocess
from collections.abc import Generator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from hms_async import AsyncOMSClient
from hms_async.storage.embedded import running
from tests.process.scripts import EXAMPLES, lines_until, output_of, running_script
from tests.process.support import eventually

pytestmark = [pytest.mark.process, pytest.mark.timeout(90)]

SCRIPTS = EXAMPLES / "quickstart"


@pytest.fixture
def url() -> Generator[str]:
    with running() as server:
        yield server.url


def run(script: str, url: str) -> str:
    return output_of(url, SCRIPTS, script)


def working(url: str, *command: str | Path) -> AbstractContextManager[subprocess.Popen[str]]:
    """The worker in a process of its own."""
    return running_script(url, SCRIPTS, *(command or ("worker.py",)))


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


# The portal and the orchestrator, whose files are in a folder of the test's.

PORTAL = EXAMPLES / "portal" / "portal.py"
PHOTO_WORKER = EXAMPLES / "portal" / "worker.py"
ORCHESTRATOR = EXAMPLES / "orchestrator" / "orchestrator.py"


def test_the_portal_prints_what_the_worker_says_of_its_case(url: str, tmp_path: Path) -> None:
    run("register_queue.py", url)

    with running_script(url, tmp_path, PHOTO_WORKER):
        good = output_of(url, tmp_path, PORTAL, "REQ-123", "s3://uploads/sam.jpg")
        bad = output_of(url, tmp_path, PORTAL, "REQ-124", "s3://uploads/cat.png")
        again = output_of(url, tmp_path, PORTAL, "REQ-123", "s3://uploads/sam.jpg")

    assert good == "[Portal] REQ-123: received\n[Portal] REQ-123: Photo Validated\n"
    assert bad == "[Portal] REQ-124: received\n[Portal] REQ-124: Not a JPEG\n"
    assert again == "[Portal] REQ-123: is done, as was told before\n"
    assert list(tmp_path.iterdir()) == []


async def test_a_portal_that_was_killed_goes_on_after_the_last_event_it_saw(
    url: str, tmp_path: Path
) -> None:
    command = (PORTAL, "REQ-123", "s3://uploads/sam.jpg")
    place = tmp_path / "REQ-123.event"
    async with AsyncOMSClient(url) as oms:
        with running_script(url, tmp_path, *command) as portal:
            lines_until("received", portal)
            task = await oms.pop_task("passport.photo", timeout=20)
            assert task is not None
            await task.retry(delay=0)
            assert lines_until("REQ-123", portal) == ["[Portal] REQ-123: retrying"]
            eventually(lambda: place.read_text() not in ("", "0-0"), "it keeps its place")
            portal.kill()

    with running_script(url, tmp_path, PHOTO_WORKER) as worker:
        lines_until("marked COMPLETE", worker)
    assert output_of(url, tmp_path, *command) == (
        "[Portal] REQ-123: goes on\n[Portal] REQ-123: Photo Validated\n"
    )
    assert not place.exists()


async def test_an_orchestrator_that_was_killed_is_told_again_and_starts_nothing_twice(
    url: str, tmp_path: Path
) -> None:
    async def validated(case: str) -> None:
        async with AsyncOMSClient(url) as oms:
            photo = {"file": f"s3://{case}.jpg"}
            task = await oms.enqueue("passport.photo", photo, correlation_id=case)
            await oms.result(task.id, timeout=20)

    run("register_queue.py", url)
    with running_script(url, tmp_path, PHOTO_WORKER):
        await validated("REQ-123")
        with running_script(url, tmp_path, ORCHESTRATOR, "--step") as first:
            assert lines_until("REQ-123", first) == [
                "[Orchestrator] passport.renewal REQ-123: started with {'file': 's3://REQ-123.jpg'}"
            ]
            first.kill()  # it has started the workflow, and waits before it acknowledges that

        await validated("REQ-124")
        with running_script(url, tmp_path, ORCHESTRATOR) as second:
            lines = lines_until("REQ-124", second)

    assert lines == [
        "[Orchestrator] passport.renewal REQ-123: started before",
        "[Orchestrator] passport.renewal REQ-124: started with {'file': 's3://REQ-124.jpg'}",
    ]
    started = (tmp_path / "started.txt").read_text().splitlines()
    assert started == ["passport.renewal REQ-123", "passport.renewal REQ-124"]
