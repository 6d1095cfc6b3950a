import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog

from hms_async.domain.scrub import REDACTED
from hms_async.domain.token import make_text
from hms_async.errors import ConfigInvalid
from hms_async.telemetry import logs
from hms_async.telemetry.text import short, span

STARTED = {
    "queue": "passport.photo",
    "task_id": "01JD0000000000000000000001",
    "corr_id": "REQ-123",
    "attempt": 1,
    "worker_id": "w-1",
    "slot": 2,
}
FINISHED = {
    "queue": "passport.photo",
    "task_id": "01JD0000000000000000000001",
    "corr_id": "REQ-123",
    "attempt": 1,
    "worker_id": "w-1",
    "slot": 2,
    "outcome": "ok",
    "run_s": 1.2,
    "result": None,
    "error": None,
    "retry_in_s": None,
}
RETRIED = {"outcome": "retry", "retry_in_s": 2.1, "run_s": 0.3}


@pytest.fixture(autouse=True)
def _fresh_structlog() -> Iterator[None]:
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(
    event: str,
    fields: dict[str, Any],
    *,
    fmt: Literal["text", "json"] = "text",
    at: str = "info",
    level: str = "info",
) -> str:
    stream = io.StringIO()
    logs.configure(fmt=fmt, level=level, stream=stream)
    getattr(logs.get_logger("test.logs"), at)(event, **fields)
    return stream.getvalue()


def record(event: str, **fields: Any) -> dict[str, Any]:
    line = written(event, fields, fmt="json")
    assert line.endswith("\n")
    assert line.count("\n") == 1
    loaded: dict[str, Any] = json.loads(line)
    return loaded


@pytest.mark.parametrize(
    ("event", "fields", "line"),
    [
        ("task.started", STARTED, "[OMS] Task REQ-123 pulled by worker#2"),
        (
            "task.started",
            STARTED | {"corr_id": None},
            "[OMS] Task 01JD0000000000000000000001 pulled by worker#2",
        ),
        ("task.finished", FINISHED, "[OMS] Task REQ-123 marked COMPLETE (1.2 s)"),
        (
            "task.finished",
            FINISHED | {"result": {"note": "Photo OK", "bytes": 3}},
            "[Worker] Photo OK\n[OMS] Task REQ-123 marked COMPLETE (1.2 s)",
        ),
        (
            "task.finished",
            FINISHED | {"result": {"width": 35, "ok": True}, "run_s": 75.2},
            '[Worker] {"width":35,"ok":true}\n[OMS] Task REQ-123 marked COMPLETE (1 min 15 s)',
        ),
        (
            "task.finished",
            FINISHED | {"result": "Photo OK", "run_s": 0},
            "[Worker] Photo OK\n[OMS] Task REQ-123 marked COMPLETE (0.0 s)",
        ),
        (
            "task.finished",
            FINISHED | {"outcome": "failed", "run_s": 0.3, "error": "Not a JPEG"},
            "[OMS] Task REQ-123 marked FAILED (0.3 s): Not a JPEG",
        ),
        (
            "task.finished",
            FINISHED | RETRIED | {"error": "ConnectionError: refused"},
            "[OMS] Task REQ-123 will RETRY in 2.1 s (attempt 1, 0.3 s): ConnectionError: refused",
        ),
        (
            "task.finished",
            FINISHED | RETRIED,
            "[OMS] Task REQ-123 will RETRY in 2.1 s (attempt 1, 0.3 s)",
        ),
        (
            "task.finished",
            FINISHED | {"outcome": "released", "run_s": 0.3},
            "[OMS] Task REQ-123 handed back (0.3 s)",
        ),
        (
            "task.finished",
            FINISHED | {"outcome": "lost", "run_s": 0.3, "result": "late"},
            "[OMS] Task REQ-123 outcome refused, its lease was lost (0.3 s)",
        ),
        (
            "task.finished",
            FINISHED | {"outcome": "cancelled", "run_s": 0.3},
            "[OMS] Task REQ-123 marked CANCELLED (0.3 s)",
        ),
        (
            "task.lease_lost",
            {"task_id": "a1", "held_s": 31.0},
            "[OMS] Task a1 lost its lease after 31 s",
        ),
        (
            "sla.milestone",
            {"task_id": "a1", "corr_id": "REQ-123", "percent": 80.0, "left_s": 1439.2},
            "[ACT] Task REQ-123 at 80 % of its promise, 24 min left",
        ),
        (
            "sla.milestone",
            {"task_id": "a1", "percent": 100.0, "promise_s": 7200, "late_by_s": 3.02},
            "[ACT] Task a1 broke its promise of 2 h (late by 3 s)",
        ),
        (
            "sla.milestone",
            {
                "task_id": "a1",
                "percent": 100.0,
                "promise_s": 7200,
                "late_by_s": 3.02,
                "milestone": "page",
            },
            "[ACT] Task a1 is past its promise of 2 h: page",
        ),
        (
            "sla.milestone",
            {"task_id": "a1", "percent": 80.0, "left_s": -3.0},
            "[ACT] Task a1 at 80 % of its promise, 0 s left",
        ),
        (
            "sla.forecast",
            {"queue": "kyc", "missed_tasks": 30, "breach_in_s": 6.676, "slots_wanted": 6},
            "[ACT] Queue kyc: 30 tasks will be late, the first in 6.7 s; 6 slots wanted",
        ),
        (
            "sla.forecast",
            {"queue": "kyc", "missed_tasks": 1, "breach_in_s": -1.0, "slots_wanted": None},
            "[ACT] Queue kyc: 1 task will be late, the first is already",
        ),
        (
            "sla.forecast",
            {"queue": "kyc", "missed_tasks": 0, "breach_in_s": None, "slots_wanted": 0},
            "[ACT] Queue kyc: no task that waits will be late any more",
        ),
        (
            "action.failed",
            {"queue": "kyc", "action": "a1:warn:webhook", "again_in_s": 5.0, "error": "503"},
            "[ACT] a1:warn:webhook of kyc will be tried again in 5 s: 503",
        ),
        (
            "action.given_up",
            {"queue": "kyc", "action": "a1:warn:webhook", "tries": 12, "error": "503"},
            "[ACT] a1:warn:webhook of kyc given up after 12 tries: 503",
        ),
        (
            "supervisor.rescued",
            {"task_id": "a1", "corr_id": "REQ-123", "from_worker": "w-1"},
            "[ACT] Task REQ-123 rescued from worker w-1",
        ),
        (
            "supervisor.rescued",
            {"task_id": "a1", "from_worker": "w-1", "state": "failed", "crashes": 3},
            "[ACT] Task a1 marked FAILED: worker w-1 lost it",
        ),
        (
            "task.cancelling",
            {"task_id": "a1", "queue": "q", "corr_id": None},
            "[OMS] Task a1 is to be CANCELLED",
        ),
        (
            "loop.stalled",
            {"lag_s": 59.0, "handler": "photos.do", "task_ids": ["a1"]},
            "[OMS] Event loop stalled for 59 s by photos.do, task a1: all its leases are let go",
        ),
        (
            "worker.frozen",
            {"worker_id": "w-1", "frozen_s": 45.0},
            "[OMS] Worker w-1 stood still for 45 s",
        ),
        (
            "supervisor.rescued",
            {"count": 3, "from_worker": "w-1"},
            "[ACT] 3 tasks rescued from worker w-1",
        ),
        (
            "worker.started",
            {"worker_id": "w-1", "slots": 5, "queues": ["kyc", "mail"]},
            "[OMS] Worker w-1 started: 5 slots for kyc, mail",
        ),
        (
            "worker.draining",
            {"worker_id": "w-1", "reason": "SIGTERM", "running": 1},
            "[OMS] Worker w-1 draining (SIGTERM), 1 task in progress",
        ),
        (
            "worker.stopped",
            {"worker_id": "w-1", "duration_s": 3725.0, "handed_back": 2},
            "[OMS] Worker w-1 stopped after 1 h 2 min, 2 tasks handed back",
        ),
        (
            "store.down",
            {"error": "connection refused", "attempts": 1},
            "[OMS] Store down, trying again: connection refused",
        ),
        ("store.up", {"down_s": 4.2}, "[OMS] Store up again after 4.2 s"),
        (
            "loop.blocked",
            {"lag_s": 2.0, "task_ids": ["a1"], "stack": "frames"},
            "[OMS] Event loop blocked for 2 s while running a1",
        ),
        (
            "queue.adopted",
            {"queue": "kyc", "count": 2, "why": "raw push", "share": 0.5, "none": None},
            '[OMS] queue.adopted queue=kyc count=2 why="raw push" share=0.5 none=null',
        ),
        ("action.done", {"action": "a1:warn:webhook"}, "[ACT] action.done action=a1:warn:webhook"),
    ],
)
def test_text_says_it_in_these_words(event: str, fields: dict[str, Any], line: str) -> None:
    assert written(event, fields) == line + "\n"


def test_text_at_debug_appends_the_further_fields() -> None:
    assert written("task.started", STARTED, level="debug") == (
        "[OMS] Task REQ-123 pulled by worker#2 queue=passport.photo "
        "task_id=01JD0000000000000000000001 corr_id=REQ-123 attempt=1 worker_id=w-1 slot=2\n"
    )


def test_text_falls_back_to_fields_when_one_is_missing_or_odd() -> None:
    assert written("task.started", {"task_id": "a1"}) == "[OMS] task.started task_id=a1\n"
    assert written("task.finished", {"task_id": "a1", "outcome": "failed", "run_s": "x"}) == (
        "[OMS] task.finished task_id=a1 outcome=failed run_s=x\n"
    )


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("task.started", {"corr_id": "R\n[OMS] Task X marked COMPLETE"}),
        ("task.finished", {"outcome": "failed", "error": "x\r\n[OMS] forged \x1b[2J\u2028\x85"}),
        ("task.finished", {"result": {"note": "a\n[OMS] forged\x1b[31m"}}),
        ("task.finished", {"result": "a\n[OMS] forged\x9b31m"}),
        ("other\nevent", {"key\n[OMS]": "v\n[OMS]"}),
    ],
)
def test_text_cannot_be_forged(event: str, fields: dict[str, Any]) -> None:
    lines = written(event, (FINISHED | fields) if event.startswith("task") else fields).split("\n")
    assert lines.pop() == ""
    assert len(lines) == (2 if fields.get("result") else 1)
    assert all(line.isprintable() for line in lines)


def test_text_escapes_are_readable() -> None:
    line = written("task.started", STARTED | {"corr_id": "R\x1b[31m\nX"})
    assert line == "[OMS] Task R\\x1b[31m\\nX pulled by worker#2\n"


def test_text_shows_a_traceback_indented_and_only_for_errors_or_at_debug() -> None:
    error = ValueError("bad\n[OMS] Task X marked COMPLETE\x1b")
    fields = FINISHED | {"outcome": "failed", "error": "bad", "exc_info": error}
    lines = written("task.finished", fields, at="error").splitlines()
    assert lines == [
        "[OMS] Task REQ-123 marked FAILED (1.2 s): bad",
        "  ValueError: bad",
        "  [OMS] Task X marked COMPLETE\\x1b",
    ]
    assert written("task.finished", fields, at="warning").count("\n") == 1
    assert written("task.finished", fields, at="warning", level="debug").count("\n") == 3


def test_exception_logs_the_traceback_at_hand() -> None:
    stream = io.StringIO()
    logs.configure(fmt="json", level="info", stream=stream)
    try:
        sys.modules["gone"]
    except KeyError:
        logs.get_logger("test.logs").exception("store.odd")
    line = json.loads(stream.getvalue())
    assert line["level"] == "error"
    assert line["exc"].startswith("Traceback")
    assert line["exc"].endswith("KeyError: 'gone'")
    assert "exc_info" not in line


def test_json_has_the_common_fields_first_and_the_events_after() -> None:
    line = record("task.started", **STARTED)
    assert list(line) == ["ts", "level", "event", "logger", "hms", *STARTED]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["ts"])
    assert line | STARTED == line
    assert (line["level"], line["event"], line["logger"]) == ("info", "task.started", "test.logs")
    assert re.match(r"\d", line["hms"])


def test_json_keeps_its_own_fields_against_others_of_that_name() -> None:
    line = record("x.y", ts="forged", level="debug", hms="9")
    assert line["ts"] != "forged"
    assert line["level"] == "info"
    assert line["hms"] != "9"


def test_json_writes_any_value() -> None:
    class Rude:
        def __str__(self) -> str:
            raise RuntimeError

    cycle: list[Any] = []
    cycle.append(cycle)
    line = record("x.y", path=sys, rude=Rude(), big=2**80, nan=float("nan"), control="\x9b\x7f\n")
    assert line["path"] == "<module 'sys' (built-in)>"
    assert line["rude"] == "<Rude>"
    assert line["big"] == 2**80
    assert line["nan"] is None
    assert line["control"] == "\x9b\x7f\n"
    line = record("x.y", cycle=cycle, lone="\ud800", keys={(1, 2): 3}, attempt=1)
    assert line["cycle"] == "[[...]]"
    assert line["lone"] == "\\ud800"
    assert line["keys"] == "{'(1, 2)': 3}"
    assert line["attempt"] == 1


def test_json_lines_hold_printable_characters_only() -> None:
    line = written("x.y", {"a": "\x9b31m\u2028\U000e0001"}, fmt="json").rstrip("\n")
    assert line.isprintable()
    assert json.loads(line)["a"] == "\x9b31m\u2028\U000e0001"


def test_json_bounds_result_and_error() -> None:
    line = record("task.finished", **(FINISHED | {"result": "r" * 10_000, "error": "e" * 10_000}))
    assert line["result"] == "r" * 77 + "..."
    assert line["error"] == "e" * 2_000
    assert record("task.finished", **FINISHED)["result"] is None


@pytest.mark.parametrize("fmt", ["text", "json"])
def test_payloads_are_never_logged(fmt: Literal["text", "json"]) -> None:
    line = written("x.y", {"payload": {"card": "4111"}, "queue": "q"}, fmt=fmt, level="debug")
    assert "4111" not in line
    assert "queue" in line


@pytest.mark.parametrize("fmt", ["text", "json"])
def test_an_actor_that_is_a_token_is_named(fmt: Literal["text", "json"]) -> None:
    token_id, _ = make_text(bytes(range(44)))
    act = {"action": "pause", "actor": f"token:{token_id}", "via": "rest", "queue": "kyc"}
    assert f"token:{token_id}" in written("action", act, fmt=fmt)


@pytest.mark.parametrize(
    "actor",
    [
        "token:c4n4ry",
        "token:C4N4RYC4N4RYC",  # one letter more than an id
        "token:ABCDEFGHJKMN, token=c4n4ry",
        "token: ABCDEFGHJKMN",
        "token=ABCDEFGHJKMN",
        "password:ABCDEFGHJKMN",
        "Bearer ABCDEFGHJKMN",
        "Authorization: Bearer c4n4ry-12345",
        "hms_ABCDEFGHJKMN_c4n4ry",
    ],
)
def test_an_actors_secret_is_none_the_less_left_out(actor: str) -> None:
    line = written("action", {"action": "pause", "actor": actor, "via": "client"})
    assert REDACTED in line
    assert not re.search("c4n4ry|[ =:]ABCDEFGHJKMN", line, re.IGNORECASE)


def test_what_else_is_written_like_a_tokens_name_is_left_out() -> None:
    for name in ("reason", "error", "target", "note"):
        line = written("some.event", {name: "token:ABCDEFGHJKMN"})
        assert "ABCDEFGHJKMN" not in line


def test_context_is_merged() -> None:
    with structlog.contextvars.bound_contextvars(task_id="a1", corr_id="REQ-123"):
        assert record("photo.checked", width=35)["corr_id"] == "REQ-123"
        assert written("photo.checked", {"width": 35}).startswith("[OMS] photo.checked ")


def test_lines_below_the_level_are_not_written() -> None:
    assert written("task.started", STARTED, level="warning") == ""
    assert written("task.started", STARTED, at="debug") == ""


def test_auto_is_text_on_a_terminal_else_json() -> None:
    for stream, start in ((Terminal(), "[OMS] "), (io.StringIO(), '{"ts":')):
        logs.configure(fmt="auto", level="info", stream=stream)
        logs.get_logger("test.logs").info("x.y")
        assert stream.getvalue().startswith(start)


def test_the_default_stream_is_the_stdout_of_the_moment(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(fmt="text", level="info")
    logs.get_logger("test.logs").info("x.y")
    assert capsys.readouterr().out == "[OMS] x.y\n"


def test_a_second_configuration_reaches_loggers_in_use() -> None:
    log = logs.get_logger("test.again")
    first, second = io.StringIO(), io.StringIO()
    logs.configure(fmt="json", level="error", stream=first)
    log.info("x.y")
    logs.configure(fmt="text", level="info", stream=second)
    log.info("x.y")
    assert (first.getvalue(), second.getvalue()) == ("", "[OMS] x.y\n")


def test_an_applications_own_configuration_is_honoured() -> None:
    lines: list[tuple[str, str]] = []

    class Kept:
        def __init__(self, name: str) -> None:
            self.name = name

        def info(self, line: str) -> None:
            lines.append((self.name, line))

    log = logs.get_logger("test.own")
    structlog.configure(
        processors=[structlog.processors.KeyValueRenderer(key_order=["event"])],
        wrapper_class=structlog.BoundLogger,
        logger_factory=Kept,
    )
    log.info("x.y", queue="q")
    assert lines == [("test.own", "event='x.y' queue='q'")]
    assert logs.writes(log, logging.DEBUG)  # it cannot tell


def test_a_log_that_nobody_can_take_is_no_error() -> None:
    closed = io.StringIO()
    logs.configure(fmt="text", level="info", stream=closed)
    closed.close()
    logs.get_logger("test.logs").info("x.y")


def test_a_narrow_encoding_gets_escapes() -> None:
    raw = io.BytesIO()
    logs.configure(fmt="text", level="info", stream=io.TextIOWrapper(raw, encoding="ascii"))
    logs.get_logger("test.logs").info("task.started", **(STARTED | {"corr_id": "Zoë"}))
    assert raw.getvalue() == b"[OMS] Task Zo\\xeb pulled by worker#2\n"


def test_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    assert not logs.is_configured()
    monkeypatch.setattr(root, "handlers", [logging.NullHandler()])
    assert logs.is_configured()
    monkeypatch.setattr(root, "handlers", [])
    logs.configure(fmt="json", level="info", stream=io.StringIO())
    assert logs.is_configured()


def test_settings_from_the_environment() -> None:
    assert logs.from_env({}) == ("auto", "info")
    assert logs.from_env({"HMS_LOG_FORMAT": "JSON", "HMS_LOG_LEVEL": "Debug"}) == ("json", "debug")
    assert logs.from_env({"HMS_LOG_FORMAT": "", "HMS_LOG_LEVEL": ""}) == ("auto", "info")
    with pytest.raises(ConfigInvalid, match='HMS_LOG_FORMAT="xml" is not a format: give auto'):
        logs.from_env({"HMS_LOG_FORMAT": "xml"})
    with pytest.raises(ConfigInvalid, match='HMS_LOG_LEVEL="loud" is not a level: give debug'):
        logs.from_env({"HMS_LOG_LEVEL": "loud"})
    with pytest.raises(ConfigInvalid, match='log level="loud"'):
        logs.configure(fmt="json", level="loud")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.25, "0.2 s"),
        (3.02, "3 s"),
        (59.4, "59.4 s"),
        (59.7, "1 min"),
        (90, "1 min 30 s"),
        (1439.2, "24 min"),
        (3599, "1 h"),
        (5400, "1 h 30 min"),
        (7200, "2 h"),
        (86_400, "1 d"),
        (90_000, "1 d 1 h"),
        (-3, "-3 s"),
    ],
)
def test_times_for_people(seconds: float, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("Photo OK", "Photo OK"),
        ("", '""'),
        (0, "0"),
        ([1, 2], "[1,2]"),
        ("é" * 80, "é" * 80),
        ("x" * 81, "x" * 77 + "..."),
        ("\n" * 50, "\\n" * 38 + "\\" + "..."),
    ],
)
def test_short_forms(value: object, words: str) -> None:
    assert short(value) == words
    assert len(short(value)) <= 80
