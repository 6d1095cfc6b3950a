"""What the tests of the API share."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import anyio
import httpx

from hms_async import AsyncOMSClient


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
