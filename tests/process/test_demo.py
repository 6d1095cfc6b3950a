import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hms_async import AsyncOMSClient, TaskState
from hms_async.storage.embedded import running
from tests.servers import Raw

pytestmark = [pytest.mark.process, pytest.mark.timeout(150)]

ROOT = Path(__file__).parents[2]
LONGEST_S = 100
NOWHERE = "redis://127.0.0.1:1/0"

Demo = subprocess.Popen[str]


@contextmanager
def playing(folder: Path, *options: str, **environ: str) -> Generator[Demo]:
    """The demo with its temporary files in a folder; the settings of a user must not reach it."""
    demo = subprocess.Popen(  # noqa: S603  # our own command
        [sys.executable, "-m", "hms_async", "demo", *options],
        env=os.environ
        | {"TMPDIR": str(folder), "HMS_URL": NOWHERE, "HMS_NAMESPACE": "x"}
        | environ,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    limit = threading.Timer(LONGEST_S, demo.terminate)
    limit.start()
    try:
        with demo:
            yield demo
    finally:
        limit.cancel()


def play(folder: Path, *options: str, **environ: str) -> tuple[int, str]:
    with playing(folder, *options, **environ) as demo:
        output, _ = demo.communicate()
    return demo.returncode, output


def number(label: str, output: str) -> int:
    (found,) = re.findall(rf"^  {label} +(\d+)\b", output, re.MULTILINE)
    return int(found)


def pids(output: str) -> list[int]:
    return [int(pid) for pid in re.findall(r"\(pid (\d+)\)", output)]


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def url_in(output: str) -> str:
    (url,) = set(re.findall(r"redis://[^\s,]+", output))
    return str(url)


def listens(url: str) -> bool:
    try:
        socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=1).close()
    except OSError:
        return False
    return True


def assert_no_trace(output: str, folder: Path) -> None:
    assert [pid for pid in pids(output) if exists(pid)] == []
    assert not listens(url_in(output))
    assert list(folder.iterdir()) == []


def test_kills_a_worker_and_loses_nothing(tmp_path: Path) -> None:
    code, output = play(tmp_path, "--tasks", "60")

    assert code == 0, output
    assert number("accepted", output) == 60
    assert number("done", output) + number("failed", output) == 60
    assert re.search(r"failed +10 +5 not a JPEG \(PNG data\), 5 truncated", output)
    assert number("retried", output) >= 2 * 5 - number("rescued", output)
    assert number("lost", output) == 0
    assert "SLA kept   60 of 60" in output
    assert "\x1b" not in output
    assert_no_trace(output, tmp_path)


def test_what_the_killed_worker_held_is_rescued_sams_photo_among_it(tmp_path: Path) -> None:
    code, output = play(tmp_path, "--tasks", "30")

    assert code == 0, output
    (held,) = re.findall(r"the store says that it holds (\d) tasks?:.* REQ-012", output)
    assert number("rescued", output) >= int(held) > 0
    # What the store says of the killed worker may come before or after that one's last lines.
    story = re.findall(r"(\[[A-Z]+\] Task REQ-012 .*)", output)
    wanted = [
        r"\[OMS\] Task REQ-012 pulled by worker#\d",
        r"\[ACT\] Task REQ-012 rescued from worker clerk-\d",
        r"\[OMS\] Task REQ-012 pulled by worker#\d",
        r"\[OMS\] Task REQ-012 marked COMPLETE \(\d\.\d s\)",
    ]
    for pattern, line in zip(wanted, story[-4:], strict=True):
        assert re.fullmatch(pattern, line)


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, "10 p.m."),
        (signal.SIGINT, "accepted"),
        (signal.SIGTERM, "kill -9"),
        (signal.SIGHUP, "comes in"),
    ],
)
def test_stopped_at_any_time_it_leaves_no_trace(
    number: signal.Signals, moment: str, tmp_path: Path
) -> None:
    with playing(tmp_path) as demo:
        assert demo.stdout is not None
        said: list[str] = []
        for line in demo.stdout:
            said.append(line)
            if moment in line:
                break
        demo.send_signal(number)
        said.append(demo.stdout.read())

    assert demo.returncode == 128 + number
    output = "".join(said)
    assert "Stopped." in output
    assert "Traceback" not in output
    if "redis://" in output:
        assert_no_trace(output, tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_keep_leaves_server_and_files_and_says_how_to_stop_it(tmp_path: Path) -> None:
    code, output = play(tmp_path, "--tasks", "12", "--keep")

    (hint,) = re.findall(r"stop +kill (\d+); rm -r (.*)$", output, re.MULTILINE)
    try:
        assert code == 0, output
        async with AsyncOMSClient(url_in(output)) as oms:
            stats = await oms.stats("passport.photo")
        assert (stats.done + stats.failed, stats.open, stats.balanced) == (12, 0, True)
        assert len(os.listdir(f"{hint[1]}/photos")) == 12  # noqa: PTH208  # as below
        assert [pid for pid in pids(output) if exists(pid)] == []
    finally:
        os.kill(int(hint[0]), signal.SIGTERM)
        shutil.rmtree(hint[1])


async def test_on_another_server_it_touches_only_its_own_keys(tmp_path: Path) -> None:
    with running() as server:
        async with AsyncOMSClient(server.url) as oms:
            before = await oms.create_queue("passport.photo", sla="2h")
            ours = await oms.enqueue("passport.photo", {"file": "s3://uploads/sam.jpg"})

            code, output = play(tmp_path, "--tasks", "12", "-u", server.url)

            assert code == 0, output
            assert await oms.get_queue("passport.photo") == before
            assert (await oms.get_task(ours.id)).state is TaskState.WAITING
        raw = Raw(server.url)
        assert raw("KEYS", "hms-demo-*") == []
        raw.close()
    assert os.listdir(tmp_path) == []  # noqa: PTH208  # in an async test a Path's own is refused


def test_a_worker_that_cannot_start_ends_it_with_its_last_words(tmp_path: Path) -> None:
    broken, folder = tmp_path / "broken", tmp_path / "folder"
    broken.mkdir()
    folder.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import sys\nif 'run' in sys.orig_argv: sys.exit('no work tonight')\n"
    )

    code, output = play(folder, "--tasks", "5", PYTHONPATH=str(broken))

    assert code == 1
    assert "nobody had asked it to" in output
    assert "no work tonight" in output
    (left,) = folder.iterdir()
    assert f"The files stay in {left}" in output
    assert not listens(url_in(output))


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("-u", "memory://"), 2, "leave out -u"),
        (("-u", NOWHERE), 3, "Connection refused"),
        (("--tasks", "0"), 2, "--tasks"),
    ],
)
def test_what_cannot_work_is_said_in_a_line(
    options: tuple[str, ...], code: int, words: str, tmp_path: Path
) -> None:
    ended, output = play(tmp_path, *options)

    assert ended == code
    assert words in output
    assert "Traceback" not in output
    assert list(tmp_path.iterdir()) == []
