"""What goes on while its token is revoked ends within two seconds, which are shorter here."""

from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import httpx
import pytest

from hms_async import AsyncOMSClient
from hms_async.api import visit
from hms_async.domain.access import Role
from hms_async.runtime import gate
from tests.api.support import is_problem, token, until

Revoking = tuple[dict[str, str], Callable[[], Awaitable[None]]]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "FRESH_S", 0.02)
    monkeypatch.setattr(visit, "CHECKED_EACH_S", 0.02)


@pytest.fixture
async def revoking(oms: AsyncOMSClient, queue: str) -> Revoking:
    await token(oms, "admin")
    made, text = await oms.tokens.create(list(Role), rate=10_000)
    assert queue == "q"

    async def revoke() -> None:
        await oms.tokens.revoke(made.id)

    return {"Authorization": f"Bearer {text}"}, revoke


async def test_a_stream_of_events_ends(http: httpx.AsyncClient, revoking: Revoking) -> None:
    bearer, revoke = revoking
    with anyio.fail_after(20):
        async with http.stream("GET", "/oms/events?queue=q", headers=bearer) as stream:
            lines = stream.aiter_lines()
            assert (await anext(lines)).startswith("retry")
            await revoke()
            assert "event: bye" in [line async for line in lines]
    is_problem(await http.get("/oms/events?queue=q", headers=bearer), 401, "HMS-E072")


@pytest.mark.parametrize("what", ["pop", "wait"])
async def test_who_waits_is_refused(
    http: httpx.AsyncClient, oms: AsyncOMSClient, revoking: Revoking, what: str
) -> None:
    bearer, revoke = revoking
    await oms.create_queue("empty")
    await oms.enqueue("q", 1, id="t1")
    answers: list[httpx.Response] = []

    async def wait() -> None:
        if what == "pop":
            body = {"queue": "empty", "wait": "30s"}
            answers.append(await http.post("/oms/pop", json=body, headers=bearer))
        else:
            answers.append(await http.get("/oms/tasks/t1/wait?timeout=30s", headers=bearer))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await revoke()
    is_problem(answers[0], 401, "HMS-E072")


async def test_a_stream_of_tasks_takes_no_more(
    http: httpx.AsyncClient, oms: AsyncOMSClient, revoking: Revoking
) -> None:
    bearer, revoke = revoking

    async def one_waits() -> bool:
        return (await oms.stats("q")).waiting == 1

    async def refused() -> bool:
        return (await http.get("/oms/stats", headers=bearer)).status_code == 401

    async def lines() -> AsyncIterator[bytes]:
        yield b'{"payload": 1, "id": "before"}\n'
        await until(one_waits)
        await revoke()
        await until(refused)
        yield b'{"payload": 1, "id": "after"}\n'

    with anyio.fail_after(20):
        answer = await http.post(
            "/oms/enqueue?queue=q",
            content=lines(),
            headers=bearer | {"Content-Type": "application/x-ndjson"},
        )
    first, second = answer.text.splitlines()
    assert '"created":true' in first
    assert "HMS-E072" in second
    assert (await oms.stats("q")).waiting == 1
