"""Whatever is sent, the answer is a problem with a code, and never one of the server's own."""

import json
from collections.abc import Generator
from typing import Any

import httpx
import pytest

from hms_async import AsyncOMSClient
from hms_async.testing import memory_url
from tests.api.support import is_problem
from tests.api.test_access import ROUTES

DEEP = b"[" * 100_000
BODIES: list[bytes] = [
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe",
    b"\x00",
    b'{"a":',
    DEEP,
    b'{"queue": "q", "payload": ' + DEEP + b"}",
    b'{"queue": "q", "payload": NaN}',
    b'{"queue": "q", "payload": "\\ud800"}',
    b'{"queue": "q", "payload": ' + b"9" * 5_000 + b"}",
    b'{"queue": ["q"], "payload": 1}',
    b'{"queue": "q\\u0000", "payload": 1}',
    b'{"queue": "q", "max": 1e300}',
    b'{"queue": "q", "wait": -1}',
    b'{"queue": "q", "wait": "NaN"}',
    b'{"id": "t1", "token": "' + b"x" * 100_000 + b'"}',
    b'{"id": "../../etc", "token": "a b\\n"}',
    b'{"tasks": []}',
    b'{"tasks": [{"id": "t1"}]}',
    b'{"tasks": [' + b'{"id": "t1", "token": "x"},' * 300 + b'{"id": "t1", "token": "x"}]}',
    b'{"reason": 7}',
    b'{"name": "q", "sla": "-1h"}',
    b'{"name": "q", "ladder": ["200% shout"]}',
    b'{"act": "cancel", "queue": "q", "where": {"states": ["done"]}}',
    b'{"act": "cancel", "queue": "q", "rate": -5}',
]


@pytest.fixture
def store_url() -> Generator[str]:
    """One kind of server is enough: this is about what is refused before it."""
    with memory_url() as url:
        yield url


@pytest.mark.parametrize("path", sorted({path for method, path, _ in ROUTES if method == "POST"}))
async def test_hostile_bodies_are_refused(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str, path: str
) -> None:
    await oms.enqueue(queue, 1, id="t1")
    names = {"queue": queue, "task_id": "t1", "operation_id": "o1", "message_id": "m1"}
    url = path.format(**names, kind="sla")
    for body in BODIES:
        answer = await http.post(url, content=body)
        assert answer.status_code < 500, (body[:80], answer.text)
        if answer.status_code >= 400:
            problem = is_problem(answer, answer.status_code)
            assert problem["code"].startswith("HMS-E")
        else:
            _: Any = json.loads(answer.text)


QUERIES = ["limit=0", "limit=1e9", "limit=x", "cursor=%00", "state=%F0%9F%98%80", "timeout=-1"]


@pytest.mark.parametrize("path", sorted({path for method, path, _ in ROUTES if method == "GET"}))
async def test_hostile_queries_are_refused(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str, path: str
) -> None:
    await oms.enqueue(queue, 1, id="t1")
    names = {"queue": queue, "task_id": "t1", "operation_id": "o1", "correlation_id": "%00"}
    url = path.replace(":path", "").format(**names)
    for hostile in QUERIES:
        query = hostile
        if path == "/oms/events":
            query += "&queue=nowhere"
        if path.endswith("/wait") and "timeout" not in query:
            query += "&timeout=0"
        answer = await http.get(f"{url}?{query}")

        assert answer.status_code < 500, (query, answer.text)
        if answer.status_code >= 400:
            is_problem(answer, answer.status_code)
