import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from hms_async import config
from hms_async.cli import dev as dev_module
from hms_async.storage import embedded
from tests.cli.conftest import ROOT, Hms
from tests.servers import Raw

pytestmark = [pytest.mark.process, pytest.mark.timeout(90)]

LONGEST_S = 60


class Running:
    """A command line in a process of its own; what it writes is read line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []

    def until(self, word: str) -> list[str]:
        """The lines up to and with the next one that has the word in it."""
        assert self.process.stdout is not None
        start = len(self.lines)
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if word in line:
                return self.lines[start:]
        pytest.fail("\n".join([f"ended without {word!r}:", *self.lines]))

    def send(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            self.process.send_signal(number)

    def end(self) -> tuple[int, list[str]]:
        """The exit code, and the lines that had not been read."""
        assert self.process.stdout is not None
        rest = self.process.stdout.read().splitlines()
        assert "Traceback" not in "\n".join([*self.lines, *rest])
        return self.process.wait(), rest


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": ROOT, "HMS_LOG_FORMAT": "text", **more}


@contextmanager
def started(*args: str, **env: str) -> Generator[Running]:
    process = subprocess.Popen(  # noqa: S603  # our own command line
        [sys.executable, "-m", "hms_async", *args],
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    limit = threading.Timer(LONGEST_S, process.kill)
    limit.start()
    try:
        with process:
            yield Running(process)
            process.terminate()
    finally:
        process.kill()
        limit.cancel()


def push(hms: Hms, queue: str, data: str, *more: str) -> str:
    result = hms("job", "push", queue, "--data", data, *more)
    assert result.exit_code == 0, result.stderr
    return result.stdout.strip()


def task(hms: Hms, task_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(hms("job", "show", task_id, "-o", "json").stdout)["task"]
    return found


@pytest.fixture
def photos(hms: Hms, url: str) -> str:
    assert url
    hms("queue", "create", "passport.photo", "--sla", "2h")
    return "passport.photo"


def test_run_prints_the_lines_of_the_brief(hms: Hms, photos: str) -> None:
    with started("run", "service:validate", "-Q", photos, "-c", "5") as worker:
        banner = worker.until("ready.  Ctrl-C once to finish work, twice to hand it back.")
        assert banner[0].startswith("hms_async ")
        push(hms, photos, '{"file": "s3://uploads/sam.jpg"}', "--corr", "REQ-123")
        lines = worker.until("marked")
        assert re.fullmatch(r"\[OMS\] Task REQ-123 pulled by worker#[1-5]", lines[0])
        assert lines[1] == "[Worker] Photo OK"
        assert re.fullmatch(r"\[OMS\] Task REQ-123 marked COMPLETE \(\d\.\d s\)", lines[2])
        task_id = push(hms, photos, '{"file": "s3://uploads/sam.png"}')
        lines = worker.until("marked")
        assert re.fullmatch(
            rf"\[OMS\] Task {task_id} marked FAILED \(\d\.\d s\): Not a JPEG", lines[-1]
        )
        worker.send(signal.SIGTERM)
        assert worker.end()[0] == 0


def test_what_runs_may_finish_and_the_exit_is_clean(hms: Hms, photos: str) -> None:
    task_id = push(hms, photos, '{"s": 0.3}')
    with started("run", "service:sleepy", "-Q", photos) as worker:
        worker.until("pulled by")
        worker.send(signal.SIGTERM)
        code, rest = worker.end()
    assert code == 0
    assert any("marked COMPLETE" in line for line in rest)
    assert task(hms, task_id)["state"] == "done"


@pytest.mark.parametrize(
    ("signals", "timeout", "code"),
    [
        ([signal.SIGTERM], "0.2s", 143),
        ([signal.SIGINT], "0.2s", 130),
        ([signal.SIGTERM, signal.SIGTERM], "25s", 143),
        ([signal.SIGINT, signal.SIGINT], "25s", 130),
    ],
)
@pytest.mark.parametrize("handler", ["sleepy", "in_a_thread"])
def test_what_is_handed_back_shows_in_the_exit_code(  # noqa: PLR0917  # fixtures and parameters
    hms: Hms, photos: str, handler: str, signals: list[signal.Signals], timeout: str, code: int
) -> None:
    task_id = push(hms, photos, '{"s": 600}')
    with started(
        "run", f"service:{handler}", "-Q", photos, "--shutdown-timeout", timeout
    ) as worker:
        worker.until("pulled by")
        worker.send(signals[0])
        worker.until("draining")
        worker.send(*signals[1:])
        assert worker.end()[0] == code
    found = task(hms, task_id)
    assert (found["state"], found["attempt"]) == ("waiting", 0)


def test_burst_works_off_all_queues_and_ends(hms: Hms, url: str) -> None:
    assert url
    for name in ("kyc", "mail"):
        hms("queue", "create", name)
        for _ in range(20):
            push(hms, name, "1")
    with started("run", "service", "-b") as worker:
        assert worker.end()[0] == 0
    found = json.loads(hms("stats", "-o", "json").stdout)["queues"]
    assert {one["name"]: one["done"] for one in found} == {"kyc": 20, "mail": 20}


def test_a_burst_that_has_to_leave_a_queue_says_which_and_fails(hms: Hms, url: str) -> None:
    for name in ("kyc", "mail"):
        hms("queue", "create", name)
        push(hms, name, "1")
    broken = Raw(url)
    broken("DEL", "queue:kyc:events")
    broken("SET", "queue:kyc:events", "not ours")  # a look at the queue does not meet it
    broken.close()
    with started("run", "service", "-b") as worker:
        code, said = worker.end()
    assert code == 3
    assert said[-1].startswith('error HMS-E044: queue "kyc" was left: the server answered: WRONG')
    found = json.loads(hms("stats", "mail", "-o", "json").stdout)["queues"]
    assert [one["done"] for one in found] == [1]


def test_the_log_is_data_and_the_banner_is_talk(hms: Hms, photos: str) -> None:
    push(hms, photos, '{"file": "sam.jpg"}', "--corr", "REQ-123")
    done = subprocess.run(  # noqa: S603  # our own command line
        [sys.executable, "-m", "hms_async", "run", "service:validate", "-Q", photos, "-b"],
        env=environment(HMS_LOG_FORMAT="auto"),
        capture_output=True,
        text=True,
        check=True,
        timeout=LONGEST_S,
    )
    events = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert events == ["worker.started", "task.finished", "worker.stopped"]
    assert "ready." in done.stderr


def test_act_watches_and_ends_cleanly(hms: Hms, url: str) -> None:
    assert url
    hms("queue", "create", "kyc", "--sla", "1s", "--ladder", "100% breach", "--ladder", "200% page")
    push(hms, "kyc", "1", "--corr", "REQ-9")
    assert hms("act", "-Q", "kcy").exit_code == 4
    with started("act") as act:
        lines = act.until("ready.  Ctrl-C to stop.")
        assert "act        watches every queue: kyc" in lines
        assert any(
            line.startswith("tells      the log and the events only for kyc") for line in lines
        )
        act.until("[ACT] Task REQ-9 broke its promise of 1 s")
        act.send(signal.SIGINT)
        assert act.end()[0] == 0


@pytest.fixture
def free_url(monkeypatch: pytest.MonkeyPatch) -> str:
    """A port at which nobody listens yet, in `HMS_URL`."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        found = f"redis://127.0.0.1:{probe.getsockname()[1]}/0"
    monkeypatch.setenv("HMS_URL", found)
    return found


def serves(url: str) -> bool:
    port = int(url.rpartition(":")[2].partition("/")[0])
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_dev_starts_a_server_and_stops_it_again(
    hms: Hms, free_url: str, number: signal.Signals
) -> None:
    with started("dev") as dev:
        lines = dev.until("ready.")
        assert lines[0].startswith(f"Store:   {free_url}   (embedded valkey ")
        assert lines[0].endswith("data in .hms)")
        assert f"Try:     hms queue create kyc --sla 2h -u {free_url}" in lines
        hms("queue", "create", "kyc", "--sla", "1s")
        push(hms, "kyc", "1", "--corr", "REQ-1")
        dev.until("[ACT] Task REQ-1 broke its promise of 1 s")
        dev.send(number)
        assert dev.end()[0] == 0
    assert not serves(free_url)
    with started("dev") as again:
        assert "Act:     watches every queue: kyc" in again.until("ready.")


def test_dev_runs_a_target_beside_it(hms: Hms, free_url: str) -> None:
    command = ("dev", "service:in_a_thread", "-Q", "kyc")
    with started(*command) as dev:
        code, rest = dev.end()
    assert code == 4
    assert rest[-1] == (
        'error HMS-E004: no queue "kyc". Create it: hms queue create kyc --sla 2h  '
        "(beside `hms dev` without a target)"
    )
    assert not serves(free_url)
    with started("dev") as dev:
        dev.until("ready.")
        hms("queue", "create", "kyc")
        hms("queue", "create", "mail", "--sla", "1s")
    with started(*command) as dev:
        assert "act        supervises every queue" in dev.until("ready.")
        push(hms, "kyc", "{}", "--corr", "REQ-1")
        dev.until("Task REQ-1 marked COMPLETE")
        push(hms, "mail", "{}", "--corr", "REQ-2")
        dev.until("[ACT] Task REQ-2 broke its promise")
        push(hms, "kyc", '{"s": 600}')
        dev.until("pulled by")
        dev.send(signal.SIGINT)
        dev.until("draining")
        dev.send(signal.SIGINT)
        assert dev.end()[0] == 130
    assert not serves(free_url)


def test_dev_leaves_a_server_alone_that_it_did_not_start(free_url: str, embedded_url: str) -> None:
    with started("dev", "-u", embedded_url) as dev:
        assert dev.until("ready.")[0].startswith(f"Store:   {embedded_url}   (valkey ")
        dev.send(signal.SIGINT)
        assert dev.end()[0] == 0
    assert serves(embedded_url)
    with ExitStack() as stack:
        first = stack.enter_context(started("dev"))
        first.until("ready.")
        second = stack.enter_context(started("dev"))
        assert "embedded" in second.until("ready.")[0]
        second.send(signal.SIGINT)
        assert second.end()[0] == 0
        assert serves(free_url)
    assert not serves(free_url)


def test_dev_with_a_wrong_target_starts_nothing(hms: Hms, free_url: str) -> None:
    result = hms("dev", "servise:validate", "-Q", "kyc")
    assert result.exit_code == 2
    assert 'Did you mean "service"?' in result.stderr
    assert hms("dev", "service:validate").exit_code == 2
    assert not serves(free_url)
    assert not Path(".hms").exists()


def test_dev_does_not_touch_a_strangers_server(
    hms: Hms, embedded_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = Raw(embedded_url)
    raw("FLUSHALL")
    raw("SET", "cache:1", "x")
    raw.close()
    monkeypatch.setattr(config, "DEFAULT_URL", embedded_url)
    result = hms("dev")
    assert result.exit_code == 5
    assert "holds 1 keys of something else: set HMS_URL to it if you mean it" in result.stderr
    assert result.stderr.count("\n") == 1


def test_dev_does_not_take_another_program_for_a_server(
    hms: Hms, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        monkeypatch.setattr(
            config, "DEFAULT_URL", f"redis://127.0.0.1:{stranger.getsockname()[1]}/0"
        )
        threading.Thread(target=answer_rudely, args=(stranger,), daemon=True).start()
        result = hms("dev")
        assert result.exit_code == 5
        assert result.stderr.startswith("error HMS-E041: redis://127.0.0.1:")
        named = hms("dev", "-u", config.DEFAULT_URL)
        assert named.exit_code == 3


def answer_rudely(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_dev_without_a_server_to_start_says_what_to_install(
    hms: Hms, free_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert free_url
    monkeypatch.setattr(embedded, "import_module", missing)
    monkeypatch.setenv("PATH", "")
    result = hms("dev")
    assert result.exit_code == 2
    assert "pip install 'hms-async[embedded]'" in result.stderr


def missing(name: str) -> None:
    raise ImportError(name)


def test_leaving_at_once_takes_the_server_along(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    monkeypatch.setattr(os, "_exit", left.append)
    with embedded.running() as server:
        chosen = embedded.Chosen(server.url, "embedded", server)
        dev_module.leaving(chosen)(130)
        assert not server.alive()
        assert left == [130]
