import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from hms_async import AsyncOMSClient
from tests.api.support import is_problem, token


async def test_a_task_goes_in_and_is_seen(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    answer = await http.post(
        "/oms/enqueue",
        json={"queue": queue, "payload": {"file": "sam.jpg"}, "correlation_id": "REQ-123"},
    )
    assert answer.status_code == 201
    task_id = answer.json()["id"]

    seen = (await http.get(f"/oms/tasks/{task_id}")).json()
    assert (seen["state"], seen["payload"], seen["correlation_id"]) == (
        "waiting",
        {"file": "sam.jpg"},
        "REQ-123",
    )
    assert seen["due_at"].endswith("Z")
    assert (await oms.get_task(task_id)).payload == {"file": "sam.jpg"}


async def test_a_key_makes_two_calls_one_task(http: httpx.AsyncClient, queue: str) -> None:
    body = {"queue": queue, "payload": 1}
    first = await http.post("/oms/enqueue", json=body, headers={"Idempotency-Key": "k1"})
    again = await http.post("/oms/enqueue", json=body, headers={"Idempotency-Key": "k1"})

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == {"id": first.json()["id"], "created": False}


async def test_options_of_a_task_are_kept(http: httpx.AsyncClient, queue: str) -> None:
    eta = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    answer = await http.post(
        "/oms/enqueue",
        json={"queue": queue, "payload": None, "id": "t1", "eta": eta, "sla": 90},
    )
    assert answer.json() == {"id": "t1", "created": True}

    seen = (await http.get("/oms/tasks/t1")).json()
    assert seen["state"] == "scheduled"
    due = datetime.fromisoformat(seen["due_at"]) - datetime.fromisoformat(seen["arrived_at"])
    assert due == timedelta(seconds=90)


async def test_many_go_in_together_and_each_is_refused_by_itself(
    http: httpx.AsyncClient, oms: AsyncOMSClient
) -> None:
    await oms.create_queue("small", max_depth=2)
    answer = await http.post(
        "/oms/enqueue", json={"queue": "small", "tasks": [{"payload": n} for n in range(3)]}
    )

    assert answer.status_code == 207
    told = answer.json()
    assert (told["accepted"], told["refused"]) == (2, 1)
    assert [one.get("created") for one in told["results"]] == [True, True, None]
    assert told["results"][2]["error"]["code"] == "HMS-E016"


async def test_lines_are_answered_line_by_line(http: httpx.AsyncClient, queue: str) -> None:
    lines = [
        '{"payload": 1, "id": "a"}',
        "",
        '{"payload": 2, "queue": "nowhere"}',
        "not json",
        '{"payload": 3, "id": "a"}',
        '{"payload": 4, "id": "b", "delay": "soon"}',
        '{"payload": 5, "id": "c"}',
    ]
    answer = await http.post(
        "/oms/enqueue",
        params={"queue": queue},
        content="\n".join(lines),
        headers={"Content-Type": "application/x-ndjson"},
    )

    told = {one["line"]: one for one in map(json.loads, answer.text.splitlines())}
    assert told[1] == {"line": 1, "id": "a", "created": True}
    assert told[3]["error"]["code"] == "HMS-E004"
    assert told[4]["error"]["code"] == "HMS-E080"
    assert told[5] == {"line": 5, "id": "a", "created": False}
    assert told[6]["error"]["code"] == "HMS-E003"
    assert told[7] == {"line": 7, "id": "c", "created": True}
    assert 2 not in told


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        ("{", 400, "$"),
        ("[]", 400, "$"),
        ('{"queue": "q"}', 400, "$"),
        ('{"queue": "q", "payload": 1, "prioritty": "high"}', 400, "$"),
        ('{"queue": "q", "payload": 1, "priority": "low"}', 400, "$.priority"),
        (
            '{"queue": "q", "tasks": [{"payload": 1}, {"payload": 2, "id": 7}]}',
            400,
            "$.tasks[1].id",
        ),
        ('{"queue": "q", "payload": 1, "eta": "2026-11-24T10:00:00"}', 400, "$.eta"),
        ('{"queue": "no spaces", "payload": 1}', 422, None),
        ('{"queue": "q", "payload": 1, "delay": "soon"}', 422, None),
        ('{"queue": "nowhere", "payload": 1}', 404, None),
    ],
)
async def test_what_cannot_be_read_is_named_with_its_place(
    http: httpx.AsyncClient, queue: str, body: str, status: int, path: str | None
) -> None:
    answer = await http.post("/oms/enqueue", content=body)

    problem = is_problem(answer, status)
    if path is not None:
        assert problem["errors"][0]["path"] == path
    assert queue == "q"


async def test_a_payload_over_the_limit_is_refused(
    http: httpx.AsyncClient, oms: AsyncOMSClient
) -> None:
    await oms.create_queue("small", max_payload_bytes=100)
    answer = await http.post("/oms/enqueue", json={"queue": "small", "payload": "x" * 200})

    is_problem(answer, 413, "HMS-E011")


async def test_a_task_is_waited_for(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    enqueued = await oms.enqueue(queue, 1)
    waiting = (await http.get(f"/oms/tasks/{enqueued.id}/wait", params={"timeout": 0})).json()
    assert waiting["state"] == "waiting"

    task = await oms.pop_task(queue)
    assert task is not None
    await task.complete({"note": "ok"})
    done = (await http.get(f"/oms/tasks/{enqueued.id}/wait")).json()
    assert (done["state"], done["result"]) == ("done", {"note": "ok"})


async def test_acts_on_a_task(http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str) -> None:
    task_id = (await oms.enqueue(queue, 1)).id

    bumped = await http.post(f"/oms/tasks/{task_id}/bump", json={"reason": "urgent"})
    assert bumped.json() == {"id": task_id, "state": "waiting"}
    waived = await http.post(f"/oms/tasks/{task_id}/waive", json={"reason": "no clock"})
    assert waived.status_code == 200
    cancelled = await http.post(f"/oms/tasks/{task_id}/cancel")
    assert cancelled.json() == {"id": task_id, "state": "cancelled"}
    is_problem(await http.post(f"/oms/tasks/{task_id}/cancel"), 409, "HMS-E027")
    requeued = await http.post(f"/oms/tasks/{task_id}/requeue", json={"reset_clock": True})
    assert requeued.json() == {"id": task_id, "state": "waiting"}
    is_problem(await http.post("/oms/tasks/nobody/cancel"), 404, "HMS-E021")

    acts = [(one.act, one.via, one.reason) for one in (await oms.audit(queue)).entries]
    assert acts[:4] == [
        ("requeue", "rest", ""),
        ("cancel", "rest", ""),
        ("waive", "rest", "no clock"),
        ("bump", "rest", "urgent"),
    ]


async def test_a_task_is_run_again_with_and_without_changes(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    payload = {"file": "sam.jpg", "api_key": "hush"}
    await oms.enqueue(queue, payload, id="t1", correlation_id="REQ-1")

    same = await http.post("/oms/tasks/t1/again")
    assert same.status_code == 201
    seen = (await http.get(f"/oms/tasks/{same.json()['id']}")).json()
    assert (seen["again_of"], seen["correlation_id"]) == ("t1", "REQ-1")
    assert (await oms.get_task(seen["id"])).payload == payload

    changed = {"file": "sam-2.jpg", "api_key": "[redacted]"}
    body = {"payload": changed, "correlation_id": None, "id": "t2", "reason": "a new scan"}
    answers = [await http.post("/oms/tasks/t1/again", json=body) for _ in range(2)]
    assert [one.status_code for one in answers] == [201, 200]
    assert [one.json()["created"] for one in answers] == [True, False]
    made = await oms.get_task("t2")
    assert (made.payload, made.correlation_id) == (changed | {"api_key": "hush"}, None)
    assert (await http.get("/oms/tasks/t1")).json()["again_as"] == "t2"

    (last, first, *_) = (await oms.audit(queue)).entries
    assert (last.act, last.task_id, last.fields) == ("run_again", "t2", {"of": "t1"})
    assert (last.via, last.reason, first.task_id) == ("rest", "a new scan", seen["id"])


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({"payload": {"file": "[redacted]"}}, (422, "HMS-E010")),
        ({"payloads": 1}, (400, "HMS-E080")),
        ({"id": "theirs"}, (409, "HMS-E024")),
    ],
)
async def test_what_cannot_be_run_again_is_said_and_leaves_no_entry(
    http: httpx.AsyncClient,
    oms: AsyncOMSClient,
    queue: str,
    body: dict[str, object],
    refused: tuple[int, str],
) -> None:
    await oms.create_queue("other")
    await oms.enqueue("other", 1, id="theirs")
    await oms.enqueue(queue, {"file": 1}, id="t1")

    is_problem(await http.post("/oms/tasks/t1/again", json=body), *refused)
    is_problem(await http.post("/oms/tasks/nobody/again"), 404, "HMS-E021")

    assert [one.act for one in (await oms.audit(queue)).entries] == ["configure"]


async def test_to_run_a_task_again_takes_the_right_to_see_its_payload(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await oms.enqueue(queue, 1, id="t1")
    blind, seeing = await token(oms, "producer"), await token(oms, "producer", payload=True)
    elsewhere = await token(oms, "producer", payload=True, queues=["mail"])

    is_problem(await http.post("/oms/tasks/t1/again", headers=blind), 403, "HMS-E073")
    is_problem(await http.post("/oms/tasks/t1/again", headers=elsewhere), 404, "HMS-E021")
    assert (await http.post("/oms/tasks/t1/again", headers=seeing)).status_code == 201


async def test_asking_a_holder_to_cancel_is_accepted(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    task_id = (await oms.enqueue(queue, 1)).id
    assert await oms.pop_task(queue) is not None

    answer = await http.post(f"/oms/tasks/{task_id}/cancel")

    assert (answer.status_code, answer.json()["state"]) == (202, "in_progress")
