"""The API inside another application."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI

from hms_async import AsyncOMSClient
from hms_async.api.app import create_app
from tests.api.support import is_problem


async def test_it_is_mounted_and_runs_as_long_as_its_host(
    store_url: str, oms: AsyncOMSClient, queue: str
) -> None:
    api = create_app(store_url)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with api.running():
            yield

    host = FastAPI(lifespan=lifespan)
    host.mount("/hms", api)
    transport = httpx.ASGITransport(app=host)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        is_problem(await http.get("/hms/oms/stats"), 503, "HMS-E014")
        async with host.router.lifespan_context(host):
            made = await http.post("/hms/oms/enqueue", json={"queue": queue, "payload": 1})
            assert made.status_code == 201
            assert 'href="/hms/oms/openapi.json"' in (await http.get("/hms/oms/docs")).text
    assert (await oms.stats(queue)).waiting == 1
