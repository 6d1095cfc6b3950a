"""A secret that comes in by any way stands in no line, whoever writes the lines."""

import io
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import structlog

from hms_async import AsyncOMSClient, RetryPolicy, Task
from hms_async.api.app import create_app
from hms_async.storage.store import Store
from hms_async.telemetry import logs
from hms_async.testing import memory_url
from tests.runtime.support import burst

CANARY = "canary-7f3a"
PAYLOAD = {"file": CANARY, "deep": [{"name": CANARY}]}
app = logging.getLogger("app")

Written = Callable[[], str]


def to_json() -> Written:
    stream = io.StringIO()
    logs.configure(fmt="json", level="debug", stream=stream)
    return stream.getvalue


def to_text() -> Written:
    stream = io.StringIO()
    logs.configure(fmt="text", level="debug", stream=stream)
    return stream.getvalue


def to_logging() -> Written:
    """An application that has set up `logging`, with all that a record carries."""
    stream = io.StringIO()

    class Everything(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return f"{super().format(record)} {vars(record)}"

    handler = logging.StreamHandler(stream)
    handler.setFormatter(Everything())
    logger = logging.getLogger("hms_async")
    logger.setLevel(logging.DEBUG)  # not by its attribute: loggers remember what is enabled
    logger.handlers, logger.propagate = [handler], False
    return stream.getvalue


def to_structlog() -> Written:
    """An application that has set up structlog, whose printer shows variables of frames."""
    stream = io.StringIO()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(stream))
    return stream.getvalue


@pytest.fixture
def store_url() -> Iterator[str]:
    """Whose store it is makes no difference to what is written."""
    with memory_url() as url:
        yield url


@pytest.fixture(params=[to_json, to_text, to_logging, to_structlog])
def written(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    logs.unconfigure()
    # The caller's own lines, with the addresses that it asks for.
    monkeypatch.setattr(logging.getLogger("httpx"), "disabled", True)
    yield request.param()
    logs.unconfigure()
    ours = logging.getLogger("hms_async")
    ours.setLevel(logging.NOTSET)
    ours.handlers, ours.propagate = [], True


@dataclass
class Photo:
    file: int


async def raises(task: Task[Any]) -> None:
    secret = task.payload  # a local of the frame
    raise ConnectionError(f"password={CANARY} for {len(secret)}")


async def raises_with_arguments(_task: Task[Any]) -> None:
    try:
        os.environ[f"api_key={CANARY}"]
    except KeyError as error:
        raise RuntimeError("https://sam:" + CANARY + "@portal", "Bearer " + CANARY) from error


async def fails(task: Task[Any]) -> None:
    await task.fail(f"token: {CANARY}")


async def returns(_task: Task[Any]) -> dict[str, str]:
    return {"token": CANARY, "password": CANARY}


async def notes(_task: Task[Any]) -> dict[str, str]:
    return {"note": f"secret={CANARY}"}


async def wants_another_type(_task: Task[Photo]) -> None: ...


def in_a_thread(task: Task[Any]) -> None:
    raise OSError(5, f"cookie: {CANARY}", task.id)


@pytest.mark.parametrize(
    "handler",
    [raises, raises_with_arguments, fails, returns, notes, wants_another_type, in_a_thread],
)
async def test_what_a_task_brings_and_a_handler_leaves(
    oms: AsyncOMSClient, written: Written, handler: Callable[[Task[Any]], Any]
) -> None:
    await oms.create_queue("q", sla="1ms", retry=RetryPolicy(max_attempts=2, base="1ms"))
    await oms.enqueue(
        "q", PAYLOAD, id="t1", correlation_id=f"token={CANARY}", baggage=f"a={CANARY}"
    )
    await burst(oms.url, handler)
    await oms.pause("q", reason=f"password={CANARY}")

    assert "task.finished" in written() or "marked" in written() or "RETRY" in written()
    assert CANARY not in written()


async def test_what_a_request_brings(store: Store, written: Written) -> None:
    application = create_app(store=store)
    transport = httpx.ASGITransport(application, client=("127.0.0.1", 1))
    secret = {"authorization": f"Bearer {CANARY}", "cookie": CANARY, "baggage": f"a={CANARY}"}
    async with (
        application.running(),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
    ):
        await http.post("/oms/queues", json={"name": "q", "webhook_secret": CANARY * 3})
        for headers in ({}, secret):
            body = {"queue": "q", "payload": PAYLOAD}
            await http.post("/oms/enqueue", json=body, headers=headers)
            await http.get(f"/oms/{CANARY}?token={CANARY}", headers=headers)
            await http.post("/oms/pop", content=f'{{"x": "{CANARY}"}}'.encode(), headers=headers)

    assert "http.request" in written()
    assert CANARY not in written()


async def test_a_bug_of_the_server_is_told_without_its_variables(
    store: Store, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(_: Store) -> None:
        secret = CANARY
        raise ZeroDivisionError(f"password={secret}")

    application = create_app(store=store)
    transport = httpx.ASGITransport(
        application, client=("127.0.0.1", 1), raise_app_exceptions=False
    )
    async with (
        application.running(),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
    ):
        monkeypatch.setattr(Store, "queue_names", breaks)
        assert (await http.get("/oms/queues")).status_code == 500

    assert "api.bug" in written()
    assert CANARY not in written()


@pytest.mark.parametrize("set_up", [to_json, to_text])
def test_what_an_application_says_in_our_lines(set_up: Callable[[], Written]) -> None:
    written = set_up()
    try:
        own = structlog.get_logger("app")
        own.info("signed in", password=CANARY, user={"api_key": CANARY, "name": "Sam"})
        own.warning(f"password={CANARY}", payload=CANARY)
        app.info("password=%s and %r", CANARY, {"token": CANARY}, extra={"secret": CANARY})
        try:
            int(f"Authorization: Basic {CANARY}")
        except ValueError:
            app.exception("failed")
            own.exception("failed")
    finally:
        logs.unconfigure()
    assert CANARY not in written()
    if set_up is to_json:
        first = json.loads(written().splitlines()[0])
        assert first["user"] == {"api_key": "[redacted]", "name": "Sam"}
