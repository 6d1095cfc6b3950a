"""The standard library's logging and ours, both ways."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
import structlog

from hms_async import AsyncOMSClient, Task
from hms_async.telemetry import logs
from tests.runtime.support import burst

app = logging.getLogger("app.photos")


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    logs.unconfigure()
    structlog.contextvars.clear_contextvars()
    yield
    logs.unconfigure()


def configured(fmt: Literal["text", "json"] = "json", level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    logs.configure(fmt=fmt, level=level, stream=stream)
    return stream


async def checks(_task: Task[Any]) -> None:
    app.info("checked %d photos", 3, extra={"width": 35})


def checks_in_a_thread(_task: Task[Any]) -> None:
    app.info("checked %d photos", 3, extra={"width": 35})


@pytest.mark.parametrize("handler", [checks, checks_in_a_thread])
async def test_a_handlers_records_say_which_attempt_they_are_about(
    oms: AsyncOMSClient, handler: Callable[[Task[Any]], Any]
) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await oms.create_queue("q")
    await oms.enqueue("q", 1, id="t1", correlation_id="REQ-1", traceparent=parent)
    stream = configured()
    await burst(oms.url, handler)
    app.info("outside")

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    own, outside = (line for line in lines if line["logger"] == "app.photos")
    assert (own["event"], own["level"], own["width"]) == ("checked 3 photos", "info", 35)
    assert (own["queue"], own["task_id"], own["corr_id"]) == ("q", "t1", "REQ-1")
    assert (own["attempt"], own["trace_id"]) == (1, parent[3:35])
    assert not outside.keys() & {"task_id", "queue", "trace_id"}


def test_records_are_lines_for_people_too() -> None:
    stream = configured("text")
    app.debug("not heard")
    app.info("checked")
    app.warning("torn\n[OMS] Task X marked COMPLETE")
    try:
        sys.modules["gone"]
    except KeyError:
        app.exception("odd")
    first, second, third, *trace = stream.getvalue().splitlines()
    assert first == "[app.photos] checked"
    assert second == "[app.photos] WARNING: torn\\n[OMS] Task X marked COMPLETE"
    assert third == "[app.photos] ERROR: odd"
    assert trace[0] == "  Traceback (most recent call last):"
    assert trace[-1] == "  KeyError: 'gone'"


def test_a_record_that_cannot_be_written_is_none_the_worse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Rude:
        def __str__(self) -> str:
            raise RuntimeError

    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own would raise
    stream = configured()
    app.info("%d photos", "many")
    app.info("a %s", Rude())
    app.info(Rude(), extra={"rude": Rude(), "event": "forged", "level": "forged"})
    app.info("password=%s", "hunter2")
    events = [json.loads(line)["event"] for line in stream.getvalue().splitlines()]
    assert events == ["%d photos", "a %s", "<Rude>", "password=[redacted]"]


def test_what_was_there_is_left_alone_and_comes_back() -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    configured(level="debug")
    configured(level="error")
    assert root.level == logging.ERROR
    assert len(root.handlers) == len(before) + 1
    logs.unconfigure()
    assert (list(root.handlers), root.level) == (before, level)


def test_unconfigured_our_events_are_records_of_the_application(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = logs.get_logger("hms_async.worker")
    with caplog.at_level("INFO", logger="hms_async"):
        log.info("task.finished", task_id="t1", outcome="ok", name="odd", payload={"a": 1})
        log.debug("not.heard")
        log.error("task.finished", error="token=abc", exc="Traceback\n  here")
    first, second = caplog.records
    assert first.name == "hms_async.worker"
    assert first.getMessage() == "task.finished task_id=t1 outcome=ok name=odd"
    assert vars(first) | {"event": "task.finished", "task_id": "t1", "hms_name": "odd"} == vars(
        first
    )
    assert second.getMessage().splitlines() == [
        'task.finished error="token=[redacted]"',
        "  Traceback",
        "    here",
    ]
    assert logs.writes(log, logging.WARNING)


SILENT = """
import logging, sys
import anyio
from hms_async import AsyncOMSClient, AsyncWorker
from hms_async.testing import memory_url

async def fails(task):
    secret = "canary"
    raise ValueError("torn")

async def main():
    with memory_url() as url:
        async with AsyncOMSClient(url) as oms:
            await oms.create_queue("q")
            await oms.enqueue("q", {"card": "canary"})
            await AsyncWorker(queue="q", handler=fails, url=url).run(burst=True)
anyio.run(main)
assert not logging.getLogger().handlers
"""


def test_a_process_that_has_set_up_nothing_hears_of_trouble_on_stderr_only() -> None:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", SILENT], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert "task.finished" in done.stderr  # the standard library's last resort
    assert "torn" in done.stderr
    assert "canary" not in done.stderr
