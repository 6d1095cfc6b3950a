"""`hms tail`: what happens, a line each, for people and for programs."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from hms_async import storage
from hms_async.cli import show
from hms_async.cli import tail as tail_command
from hms_async.client import AsyncOMSClient
from hms_async.domain.event import FAMILIES, TYPES, Event, check_type
from hms_async.errors import ConfigInvalid
from tests.cli.conftest import ROOT, Hms
from tests.cli.terminal import at_terminal


@contextmanager
def tail(*args: str) -> Generator["subprocess.Popen[str]"]:
    """The command in a process of its own, since it does not end by itself."""
    with subprocess.Popen(  # noqa: S603  # our own command
        [sys.executable, "-m", "hms_async", "tail", *args],
        env=os.environ | {"PYTHONPATH": ROOT},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def told(process: "subprocess.Popen[str]", number: int) -> list[dict[str, Any]]:
    """The next events."""
    assert process.stdout is not None
    return [json.loads(process.stdout.readline()) for _ in range(number)]


def nobody_reads(_: Event) -> None:
    """Tell of nothing."""


def push(hms: Hms, queue: str, *args: str) -> str:
    hms("queue", "create", queue)
    return hms("job", "push", queue, "--data", "{}", *args).stdout.strip()


def test_all_queues_are_told_of_and_one_that_is_created_meanwhile(hms: Hms, url: str) -> None:
    assert url
    first = push(hms, "kyc", "--corr", "REQ-1")
    hms("job", "cancel", first)
    with tail("--after", "0-0", "-o", "json") as process:
        (event,) = told(process, 1)
        assert (event["schema"], event["type"]) == ("hms.event/v1", "cancelled")
        assert (event["task_id"], event["correlation_id"]) == (first, "REQ-1")
        second = push(hms, "mail")
        hms("job", "cancel", second)
        (event,) = told(process, 1)
        assert (event["queue"], event["task_id"]) == ("mail", second)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_it_goes_on_after_the_last_event_and_tells_no_more_than_is_asked(
    hms: Hms, url: str
) -> None:
    assert url
    one, other = push(hms, "kyc", "--corr", "REQ-1"), push(hms, "kyc", "--corr", "REQ-2")
    hms("job", "cancel", one)
    hms("job", "cancel", other)
    hms("job", "requeue", one)
    with tail("--after", "0-0", "-o", "json", "-Q", "kyc") as process:
        events = told(process, 3)
    assert [event["type"] for event in events] == ["cancelled", "cancelled", "requeued"]
    with tail("--after", events[1]["id"], "-o", "json", "-Q", "kyc") as process:
        assert [event["type"] for event in told(process, 1)] == ["requeued"]
    with tail(
        "--after", "0-0", "-o", "json", "--state", "cancelled,sla.", "--corr", "REQ-2"
    ) as process:
        assert [event["task_id"] for event in told(process, 1)] == [other]


async def test_queues_that_are_left_out_are_named_also_those_that_come_later(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_command, "MOST_QUEUES", 2)
    monkeypatch.setattr(tail_command, "_LOOK_AGAIN_S", 0.01)
    send, warnings = anyio.create_memory_object_stream[str](9)
    monkeypatch.setattr(show, "warn", send.send_nowait)
    with send, warnings, anyio.fail_after(20):
        async with AsyncOMSClient(url) as oms, anyio.create_task_group() as group:
            for name in "abcdefghij":
                await oms.create_queue(name)
            group.start_soon(tail_command.Tail(oms, (), (), "0-0").run, nobody_reads)
            said = await warnings.receive()
            assert "2 queues are followed at the most" in said
            assert "nothing is told of c, d, e, f, g and 3 more" in said
            await oms.create_queue("later")
            said = await warnings.receive()
            assert "nothing is told of later:" in said
            group.cancel_scope.cancel()
        with pytest.raises(anyio.WouldBlock):
            warnings.receive_nowait()


def test_a_reader_that_goes_ends_it_without_another_event(hms: Hms, url: str) -> None:
    assert url
    hms("job", "cancel", push(hms, "kyc"))
    with tail("--after", "0-0") as process:
        assert process.stdout is not None
        assert "cancelled  kyc" in process.stdout.readline()
        process.stdout.close()
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_at_a_terminal_a_line_says_when_by_the_clock(hms: Hms, url: str) -> None:
    assert url
    hms("job", "cancel", push(hms, "kyc"))
    with at_terminal("tail", "--after", "0-0") as terminal:
        assert re.match(r"\d\d:\d\d:\d\d  cancelled  kyc  ", terminal.until("\n"))
        terminal.press("\x03")
        assert terminal.end() == 0
    assert "Traceback" not in terminal.text


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["-Q", "kcy"], 4, 'no queue "kcy"'),
        (["--state", "gone"], 2, '"gone" is no type of event: one of bumped, cancelled'),
        (["--after", "yesterday"], 2, "after='yesterday' is not the id of an event"),
    ],
)
def test_what_makes_no_sense_is_refused(
    hms: Hms, url: str, args: list[str], code: int, said: str
) -> None:
    assert url
    push(hms, "kyc")
    done = hms("tail", *args)
    assert (done.exit_code, said in done.stderr) == (code, True)


def test_the_types_are_those_that_the_scripts_tell() -> None:
    lua = Path(storage.__file__).parent / "lua"
    text = "".join(path.read_text() for path in lua.rglob("*.lua"))
    told = set(re.findall(r"tell\('([a-z.]+)'", text))
    told |= set(re.findall(r"announce\('type', '([a-z.]+)'", text))
    families = {kind for kind in told if kind.startswith(FAMILIES)}
    assert told - families <= TYPES
    for family in FAMILIES:
        assert check_type(family) == family
    with pytest.raises(ConfigInvalid):
        check_type("sla")
