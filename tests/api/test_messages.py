"""Messages that no receiver took, over HTTP: who sees what of them, and what is done to which."""

from typing import Any

import httpx
import pytest

from hms_async import AsyncOMSClient
from tests.api.support import PAYLOAD, give_up, is_problem, token

UNDELIVERED = "/oms/sla/late/undelivered"


async def listed(http: httpx.AsyncClient, **options: Any) -> list[dict[str, Any]]:
    answer = await http.get(UNDELIVERED, **options)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["messages"]
    return found


async def test_they_are_listed_the_last_first(http: httpx.AsyncClient, oms: AsyncOMSClient) -> None:
    ids = await give_up(oms, "late", "t1", "t2", "t3")

    messages = await listed(http)

    assert [one["id"] for one in messages] == ids
    assert [one["task_id"] for one in messages] == ["t3", "t2", "t1"]
    first = messages[0]
    assert first["made_at"].endswith("Z")
    assert {name: first[name] for name in first if name not in ("id", "made_at")} == {
        "queue": "late",
        "kind": "webhook",
        "type": "sla.breach",
        "severity": "error",
        "task_id": "t3",
        "correlation_id": "REQ-1",
        "incident": None,
        "tries": 1,
        "error": "nobody answers",
    }
    assert [one["id"] for one in await listed(http, params={"limit": 2})] == ids[:2]
    for limit in (0, 1_001, "x"):
        is_problem(await http.get(UNDELIVERED, params={"limit": limit}), 400, "HMS-E080")


async def test_one_is_tried_again_and_another_dropped(
    http: httpx.AsyncClient, oms: AsyncOMSClient
) -> None:
    third, second, first = await give_up(oms, "late", "t1", "t2", "t3")

    again = await http.post(f"{UNDELIVERED}/{second}/again", json={"reason": "it is mended"})
    dropped = await http.post(f"{UNDELIVERED}/{first}/drop")

    assert (again.status_code, again.json()) == (200, {"queue": "late", "ids": [second]})
    assert (dropped.status_code, dropped.json()) == (200, {"queue": "late", "ids": [first]})
    assert [one["id"] for one in await listed(http)] == [third]
    drop, sent, *_ = (await oms.audit("late")).entries
    assert (sent.act, sent.who, sent.via, sent.reason) == (
        "send_again",
        "loopback",
        "rest",
        "it is mended",
    )
    assert (drop.act, drop.fields) == ("drop", {"action": first})


@pytest.mark.parametrize("act", ["again", "drop"])
async def test_all_of_a_queue_are_dealt_with_and_none_of_another(
    http: httpx.AsyncClient, oms: AsyncOMSClient, act: str
) -> None:
    ids = await give_up(oms, "late", "t1", "t2")
    others = await give_up(oms, "other", "t3")

    done = await http.post(f"{UNDELIVERED}/{act}", json={"reason": "stale"})

    assert done.json() == {"queue": "late", "ids": ids}
    assert await listed(http) == []
    assert {one.reason for one in (await oms.audit("late")).entries[:2]} == {"stale"}
    assert [one.said.id for one in await oms.sla.undelivered("other")] == others
    assert (await http.post(f"{UNDELIVERED}/{act}")).json() == {"queue": "late", "ids": []}


@pytest.mark.parametrize("act", ["again", "drop"])
async def test_what_is_not_there_is_not_found(
    http: httpx.AsyncClient, oms: AsyncOMSClient, act: str
) -> None:
    (dead,) = await give_up(oms, "late", "t1")
    (other,) = await give_up(oms, "other", "t2")
    for unknown in (other, "t9", "%2e%2e", "%00", "%ff", "x" * 5_000):
        problem = is_problem(await http.post(f"{UNDELIVERED}/{unknown}/{act}"), 404, "HMS-E054")
        assert problem["queue"] == "late"
        assert len(problem["detail"]) < 500
    is_problem(await http.post(f"{UNDELIVERED}/{dead}%2F{act}/{act}"), 404)
    for path in ("", f"/{act}", f"/{dead}/{act}"):
        method = "POST" if path else "GET"
        nowhere = await http.request(method, f"/oms/sla/nowhere/undelivered{path}")
        is_problem(nowhere, 404, "HMS-E004")
        is_problem(await http.request(method, f"/oms/sla/%21/undelivered{path}"), 422, "HMS-E002")
    for body in (b"[]", b'{"reason": 7}', b'{"ids": []}'):
        is_problem(await http.post(f"{UNDELIVERED}/{act}", content=body), 400, "HMS-E080")
    assert [one["id"] for one in await listed(http)] == [dead]

    assert (await http.post(f"{UNDELIVERED}/{dead}/{act}")).status_code == 200
    is_problem(await http.post(f"{UNDELIVERED}/{dead}/{act}"), 404, "HMS-E054")


async def test_neither_payloads_nor_secrets_are_told(
    http: httpx.AsyncClient, oms: AsyncOMSClient
) -> None:
    await give_up(oms, "late", "t1", error="answered: password=hunter2, try https://u:pa55@host")
    for bearer in [await token(oms, role) for role in ("viewer", "operator", "admin")]:
        answer = await http.get(UNDELIVERED, headers=bearer)
        assert answer.status_code == 200
        for hidden in (PAYLOAD, "hunter2", "pa55"):
            assert hidden not in answer.text
        assert "[redacted]" in answer.json()["messages"][0]["error"]
