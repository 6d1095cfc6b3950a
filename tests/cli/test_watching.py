import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, cast

import anyio
import anyio.to_thread
import pytest

from hms_async import AsyncOMSClient
from hms_async.cli import watching as watching_of
from hms_async.domain.event import Event
from tests.cli.conftest import ROOT, Hms

pytestmark = [pytest.mark.usefixtures("url"), pytest.mark.timeout(60)]

Work = Callable[[AsyncOMSClient], Coroutine[Any, Any, Any]]


def act(url: str, work: Work) -> Any:
    async def session() -> Any:
        async with AsyncOMSClient(url) as oms:
            return await work(oms)

    return anyio.run(session)


def finish(url: str, *, result: Any = None, why: str = "", queue: str = "kyc") -> None:
    """Take the next task and end it."""

    async def work(oms: AsyncOMSClient) -> None:
        task = await oms.pop_task(queue, timeout=10)
        assert task is not None
        await (task.fail(why) if why else task.complete(result))

    act(url, work)


def push(hms: Hms, *args: str, queue: str = "kyc") -> str:
    hms("queue", "create", queue, "--max-attempts", "10000")
    return hms("job", "push", queue, "--data", "{}", *args).stdout.strip()


@contextmanager
def watching(*args: str) -> Generator[subprocess.Popen[str]]:
    """The command in a process of its own, since it does not end before the task does."""
    with subprocess.Popen(  # noqa: S603  # our own command
        [sys.executable, "-m", "hms_async", "job", "watch", *args],
        env=os.environ | {"PYTHONPATH": ROOT, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def following(url: str, process: subprocess.Popen[str]) -> None:
    """Return when the process tells what happens: a task is tried again until a line comes."""
    assert process.stdout is not None
    told = process.stdout

    async def work(oms: AsyncOMSClient) -> None:
        heard = anyio.Event()

        async def hear() -> None:
            assert await anyio.to_thread.run_sync(told.readline)
            heard.set()

        async with anyio.create_task_group() as group:
            group.start_soon(hear)
            while not heard.is_set():
                task = await oms.pop_task("kyc", timeout=10)
                assert task is not None
                await task.retry(delay=0)

    act(url, work)


def test_wait_prints_the_result_and_nothing_else(hms: Hms, url: str) -> None:
    task_id = push(hms)
    finish(url, result={"note": "Photo OK"})
    done = hms("job", "wait", task_id)
    assert (done.exit_code, done.stdout, done.stderr) == (0, '{"note":"Photo OK"}\n', "")
    document = json.loads(hms("job", "wait", task_id, "-o", "json").stdout)
    assert (document["schema"], document["task"]["state"]) == ("hms.job.wait/v1", "done")


def test_wait_for_a_task_that_fails_exits_with_1(hms: Hms, url: str) -> None:
    task_id = push(hms)
    finish(url, why="Not a JPEG")
    done = hms("job", "wait", task_id)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "Not a JPEG" in done.stderr
    as_json = hms("job", "wait", task_id, "-o", "json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["task"]["error"]["message"] == "Not a JPEG"


def test_wait_that_is_over_exits_with_6(hms: Hms) -> None:
    task_id = push(hms)
    done = hms("job", "wait", task_id, "--timeout", "0.1")
    assert (done.exit_code, done.stdout) == (6, "")
    assert f"task {task_id} is waiting after 0.1 s; it goes on" in done.stderr


def test_watch_of_an_ended_task_only_says_how_it_ended(hms: Hms, url: str) -> None:
    good, bad = push(hms), push(hms)
    finish(url)
    finish(url, why="Not a JPEG")
    done = hms("job", "watch", good)
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == f"task {good} is done\n"
    failed = hms("job", "watch", bad)
    assert failed.exit_code == 1
    assert failed.stderr.splitlines()[0] == f"task {bad} is failed"
    assert "Not a JPEG" in failed.stderr.splitlines()[1]


@pytest.mark.parametrize("args", [[], ["one", "--queue", "kyc"], ["--corr", "a", "--queue", "b"]])
def test_watch_follows_one_thing(hms: Hms, args: list[str]) -> None:
    done = hms("job", "watch", *args)
    assert done.exit_code == 2
    assert "give a task's ID, or --corr ID, or --queue NAME" in done.stderr


def test_watch_tells_of_a_task_until_it_ends(hms: Hms, url: str) -> None:
    task_id, other = push(hms), push(hms)
    with watching(task_id, "-o", "json") as process:
        following(url, process)
        hms("job", "cancel", other)
        finish(url, result={"note": "Photo OK"})
        events = [json.loads(line) for line in process.stdout or ()]
        assert process.wait(20) == 0

    assert {event["task_id"] for event in events} == {task_id}
    last = events[-1]
    assert (last["schema"], last["type"], last["message"]) == (
        "hms.job.event/v1",
        "done",
        "Photo OK",
    )


def test_watch_tells_of_a_case_until_nothing_of_it_is_open(hms: Hms, url: str) -> None:
    first = push(hms, "--corr", "REQ-1")
    second = push(hms, "--corr", "REQ-1", queue="print")
    with watching("--corr", "REQ-1", "-o", "json") as process:
        following(url, process)
        finish(url)
        finish(url, why="out of ink", queue="print")
        events = [json.loads(line) for line in process.stdout or ()]
        assert process.wait(20) == 1
        assert process.stderr is not None
        said = process.stderr.read().splitlines()

    ends = {(e["task_id"], e["type"]) for e in events if e["type"] in ("done", "failed")}
    assert ends == {(first, "done"), (second, "failed")}
    assert said == [
        "case REQ-1: 2 tasks, none is open",
        f"error: task {second} of print is failed",
    ]


class _Slow:
    """A client that tells of a queue only when it has been looked at so often."""

    def __init__(self) -> None:
        self.looks = 0
        self.looked = anyio.Event()

    async def look(self) -> dict[str, str]:
        self.looks += 1
        if self.looks == 1:
            return {"t1": "kyc", "t2": "print"}
        self.looked.set()
        return {}

    async def list_queues(self) -> list[str]:
        return []

    async def events(self, queue: str, *, after: str | None) -> AsyncIterator[Event]:
        assert after is None
        if queue == "print":
            await self.looked.wait()
        task_id = {"kyc": "t1", "print": "t2"}[queue]
        yield Event(id="1-0", type="done", queue=queue, task_id=task_id, fields={})


def test_an_end_that_is_heard_of_late_is_told_all_the_same() -> None:
    told: list[Event] = []

    async def work() -> None:
        slow = _Slow()
        follow = watching_of._follow  # pyright: ignore[reportPrivateUsage]
        await follow(cast("AsyncOMSClient", slow), slow.look, bool, told.append)

    anyio.run(work)
    assert [event.task_id for event in told] == ["t1", "t2"]


def test_watch_of_a_queue_writes_lines_for_people_until_it_is_stopped(hms: Hms, url: str) -> None:
    task_id = push(hms, "--corr", "REQ-1")
    with watching("--queue", "kyc") as process:
        following(url, process)
        finish(url, result={"note": "\x1b[31mred"})
        line = next(line for line in process.stdout or () if "  done  " in line)
        process.terminate()

    assert line.split("  ")[1:] == ["done", "kyc", task_id, "REQ-1", "\\x1b[31mred\n"]
