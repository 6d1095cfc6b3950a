"""The API as callers meet it: real HTTP on a loopback port, on every kind of server."""

import asyncio
from collections.abc import AsyncGenerator
from functools import partial

import anyio
import httpx
import pytest

from hms_async import AsyncOMSClient
from hms_async.api.app import API, create_app
from hms_async.api.serve import serve
from hms_async.telemetry.address import Bind


@pytest.fixture
async def oms(store_url: str) -> AsyncGenerator[AsyncOMSClient]:
    """A client of the server that the API works on."""
    async with AsyncOMSClient(store_url) as opened:
        yield opened


@pytest.fixture
def app(store_url: str) -> API:
    """The API on `store_url`."""
    return create_app(store_url)


@pytest.fixture
async def base_url(app: API) -> AsyncGenerator[str]:
    """Where `app` is served."""
    listening = Bind("127.0.0.1", 0).listen()
    port = listening.getsockname()[1]
    ready, over = anyio.Event(), anyio.Event()

    async def live() -> None:
        # A fixture is left in another task than it was entered in, and a task group must not be.
        async with anyio.create_task_group() as group:
            await group.start(partial(serve, app, listening))
            ready.set()
            await over.wait()
            group.cancel_scope.cancel()

    life = asyncio.get_running_loop().create_task(live())
    await ready.wait()
    yield f"http://127.0.0.1:{port}"
    over.set()
    await life


@pytest.fixture
async def http(base_url: str) -> AsyncGenerator[httpx.AsyncClient]:
    """Somebody who calls it, without a token."""
    async with httpx.AsyncClient(base_url=base_url, timeout=20) as client:
        yield client


@pytest.fixture
async def queue(oms: AsyncOMSClient) -> str:
    """A queue with a promise."""
    await oms.create_queue("q", sla="2h", lease="3s")
    return "q"
