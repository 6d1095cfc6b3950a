"""Server-sent events."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx

from hms_async import AsyncOMSClient
from hms_async.api.app import API
from tests.api.support import is_problem


class Stream:
    """Events of a stream, one by one."""

    def __init__(self, response: httpx.Response) -> None:
        self.lines = response.aiter_lines()

    async def next(self) -> dict[str, Any]:
        """Return the fields of the next event, pings and settings passed over."""
        fields: dict[str, Any] = {}
        async for line in self.lines:
            if line and not line.startswith((":", "retry")):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                return fields
        return fields


@asynccontextmanager
async def stream(
    http: httpx.AsyncClient, *, last: str | None = None, **params: Any
) -> AsyncGenerator[Stream]:
    headers = {} if last is None else {"Last-Event-ID": last}
    async with http.stream("GET", "/oms/events", params=params, headers=headers) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Stream(response)


async def test_events_come_and_a_broken_stream_is_taken_up(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    first = await oms.enqueue(queue, 1)
    await oms.cancel(first.id)
    async with stream(http, queue=queue, after="0-0", type="cancelled") as events:
        seen = await events.next()
    assert seen["event"] == "cancelled"
    assert first.id in seen["data"]

    second = await oms.enqueue(queue, 2)
    await oms.cancel(second.id)
    async with stream(http, queue=queue, last=seen["id"], type="cancelled") as events:
        assert second.id in (await events.next())["data"]


async def test_several_queues_in_one_stream(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await oms.create_queue("r")
    for name in (queue, "r", queue):
        await oms.cancel((await oms.enqueue(name, 1)).id)
    both: dict[str, Any] = {"queue": [queue, "r"], "type": "cancelled"}

    async with stream(http, after="0-0", **both) as events:
        seen = [await events.next() for _ in range(3)]
    last = seen[0]["id"]
    async with stream(http, last=last, **both) as events:
        rest = [await events.next() for _ in range(1)]

    assert sorted(one["data"].count('"queue":"r"') for one in seen) == [0, 0, 1]
    assert rest[0]["id"] != last


async def test_a_stream_ends_when_the_process_does(
    http: httpx.AsyncClient, app: API, queue: str
) -> None:
    async with stream(http, queue=queue) as events:
        app.house.stop()
        with anyio.fail_after(10):
            assert (await events.next())["event"] == "bye"


async def test_wrong_questions(http: httpx.AsyncClient, queue: str) -> None:
    is_problem(await http.get("/oms/events"), 400)
    is_problem(await http.get("/oms/events", params={"queue": "nowhere"}), 404)
    is_problem(await http.get("/oms/events", params={"queue": queue, "after": "x=1-0"}), 400)
    is_problem(await http.get("/oms/events", params={"queue": queue, "after": "yesterday"}), 422)
