"""What the tests of the API share."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast

import anyio
import httpx
from fastapi import APIRouter
from fastapi.routing import APIRoute

from hms_async import AsyncOMSClient, Supervisor
from hms_async.api.visit import needed_by
from hms_async.domain.access import Permission
from hms_async.storage import outbox
from hms_async.storage.store import Store

PAYLOAD = "canary-0815"
"""What tasks here are about, for nobody to see who may not."""


def is_problem(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """Return the problem that an answer is."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = cast("dict[str, Any]", answer.json())
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["type"] == f"urn:hms:problem:{problem['code']}"
    if code is not None:
        assert problem["code"] == code
    return problem


async def token(oms: AsyncOMSClient, *roles: str, **options: object) -> dict[str, str]:
    """Make a token; returns the header that it goes into."""
    _, text = await oms.tokens.create(roles, **options)  # type: ignore[arg-type]
    return {"Authorization": f"Bearer {text}"}


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that no event tells of."""
    with anyio.fail_after(20):
        while not await holds():  # noqa: ASYNC110  # nothing tells
            await anyio.sleep(0.01)


async def give_up(
    oms: AsyncOMSClient, queue: str, *task_ids: str, error: str = "nobody answers"
) -> list[str]:
    """Let a message of each of some late tasks be given up; returns their ids, the last first."""
    await oms.create_queue(
        queue,
        sla="1ms",
        ladder=["100% breach,webhook"],
        webhook="http://127.0.0.1:9/hms",
        webhook_secret="s3cret",  # noqa: S106  # nobody is asked for it
    )
    supervisor = Supervisor(oms.url)
    async with Store(oms.url) as store:
        for task_id in task_ids:
            await oms.enqueue(queue, {"name": PAYLOAD}, id=task_id, correlation_id="REQ-1")
            while not (await supervisor.check_sla()).rungs:
                pass  # its millisecond is not over
            (action,) = await outbox.take(store, queue, limit=2, lease_ms=60_000)
            await outbox.end(store, action, "dead", error=error)
    return [one.said.id for one in await oms.sla.undelivered(queue)]


def routes(routers: Iterable[APIRouter]) -> list[tuple[str, str, Permission | None]]:
    """Return every route: its method, its path, and the permission that it asks for."""
    found: list[tuple[str, str, Permission | None]] = []
    for route in (route for router in routers for route in router.routes):
        assert isinstance(route, APIRoute)
        calls = [one.call for one in route.dependant.dependencies if one.call is not None]
        asked = [needed for needed in map(needed_by, calls) if needed is not None]
        needed = asked[0] if asked else None
        found += [(method, route.path, needed) for method in route.methods or ()]
    return sorted(found, key=str)
