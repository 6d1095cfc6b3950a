"""Workers over HTTP: pop, settle, heartbeat."""

from typing import Any

import anyio
import httpx
import pytest

from hms_async import AsyncOMSClient, NewTask
from tests.api.support import is_problem

INCARNATION = "0123456789abcdef"


async def test_a_task_is_popped_and_completed(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    enqueued = await oms.enqueue(queue, {"n": 1}, correlation_id="REQ-1")

    popped = (await http.post("/oms/pop", json={"queue": queue, "worker": "go-1"})).json()
    task = popped["tasks"][0]
    assert (task["id"], task["payload"], task["attempt"]) == (enqueued.id, {"n": 1}, 1)
    assert (task["correlation_id"], task["lease_ms"]) == ("REQ-1", 3_000)
    assert task["due_at"].endswith("Z")
    assert (await oms.get_task(enqueued.id)).worker == "go-1"

    body = {"id": task["id"], "token": task["token"], "result": {"note": "ok"}}
    first = await http.post("/oms/complete", json=body)
    again = await http.post("/oms/complete", json=body)
    assert first.json() == {"id": enqueued.id, "state": "done"}
    assert again.json() == {"id": enqueued.id, "state": "done", "already": True}
    assert await oms.result(enqueued.id, timeout=1) == {"note": "ok"}


async def test_nothing_in_time_is_an_empty_list(http: httpx.AsyncClient, queue: str) -> None:
    answer = await http.post("/oms/pop", json={"queue": queue, "wait": 0.05})

    assert (answer.status_code, answer.json()) == (200, {"tasks": [], "drain": False})


async def test_a_long_poll_is_woken(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    got: list[str] = []

    async def poll() -> None:
        answer = await http.post("/oms/pop", json={"queues": ["q", "r"], "wait": "15s"})
        got.extend(task["id"] for task in answer.json()["tasks"])

    await oms.create_queue("r")
    async with anyio.create_task_group() as group:
        group.start_soon(poll)
        await oms.enqueue("r", 1, id="t1")

    assert got == ["t1"]
    assert queue == "q"


async def test_a_call_is_repeated_without_harm(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await oms.enqueue_many(queue, [1, 2, 3])
    call = {"queue": queue, "max": 2, "incarnation": INCARNATION, "lane": 0, "seq": 1}

    first = (await http.post("/oms/pop", json=call)).json()
    again = (await http.post("/oms/pop", json=call)).json()
    following = (await http.post("/oms/pop", json=call | {"seq": 2})).json()

    assert [one["token"] for one in again["tasks"]] == [one["token"] for one in first["tasks"]]
    assert len(following["tasks"]) == 1
    is_problem(await http.post("/oms/pop", json=call), 409, "HMS-E018")


async def test_outcomes(http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str) -> None:
    await oms.enqueue_many(queue, list(range(4)))
    tasks = (await http.post("/oms/pop", json={"queue": queue, "max": 4})).json()["tasks"]
    held = [{"id": one["id"], "token": one["token"]} for one in tasks]

    failed = await http.post("/oms/fail", json=held[0] | {"reason": "not a JPEG"})
    later = await http.post("/oms/fail", json=held[1] | {"reason": "busy", "retryable": True})
    retried = await http.post("/oms/retry", json=held[2] | {"delay": "1h"})
    released = await http.post("/oms/release", json=held[3])

    states = [one.json()["state"] for one in (failed, later, retried, released)]
    assert states == ["failed", "retrying", "retrying", "waiting"]
    assert (await oms.get_task(held[0]["id"])).reason == "not a JPEG"
    assert (await oms.get_task(held[3]["id"])).attempt == 0


async def test_a_batch_tells_of_each(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await oms.enqueue_many(queue, [1, 2])
    tasks = (await http.post("/oms/pop", json={"queue": queue, "max": 2})).json()["tasks"]
    batch = [{"id": one["id"], "token": one["token"]} for one in tasks]
    batch.append({"id": batch[0]["id"], "token": "another-0-1.1"})
    batch.append({"id": "unknown", "token": "another-0-1.1"})

    answer = await http.post("/oms/complete", json={"tasks": batch})

    assert answer.status_code == 207
    results = answer.json()["results"]
    assert [one.get("state") for one in results[:2]] == ["done", "done"]
    assert [one["error"]["status"] for one in results[2:]] == [409, 404]


@pytest.mark.parametrize("path", ["complete", "release"])
async def test_a_stale_token_is_refused(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str, path: str
) -> None:
    task_id = (await oms.enqueue(queue, 1)).id
    await http.post("/oms/pop", json={"queue": queue})

    answer = await http.post(f"/oms/{path}", json={"id": task_id, "token": "x-0-1.1"})

    assert is_problem(answer, 409, "HMS-E026")["task_id"] == task_id
    gone = await http.post(f"/oms/{path}", json={"id": "unknown", "token": "x-0-1.1"})
    is_problem(gone, 404, "HMS-E021")


async def test_a_heartbeat_tells_whether_to_go_on(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await oms.enqueue_many(queue, [1, 2])
    tasks = (await http.post("/oms/pop", json={"queue": queue, "max": 2})).json()["tasks"]
    held = [{"id": one["id"], "token": one["token"]} for one in tasks]
    await oms.cancel(held[1]["id"])

    one = await http.post("/oms/heartbeat", json=held[0] | {"worker": "go-1"})
    assert one.json() == {"id": held[0]["id"], "answer": "continue"}
    lost = {"id": held[0]["id"], "token": "x-0-1.1"}
    many = await http.post("/oms/heartbeat", json={"tasks": [*held, lost]})
    assert [each["answer"] for each in many.json()["results"]] == ["continue", "cancel", "lost"]


async def test_a_caller_that_goes_away_loses_no_task(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    with pytest.raises(httpx.ReadTimeout):
        await http.post("/oms/pop", json={"queue": queue, "wait": 20}, timeout=0.3)
    enqueued = await oms.enqueue(queue, 1)

    popped = await http.post("/oms/pop", json={"queue": queue, "wait": 10})

    assert [(one["id"], one["attempt"]) for one in popped.json()["tasks"]] == [(enqueued.id, 1)]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"queue": "q", "queues": ["q"]}, 400),
        ({"queue": "q", "max": 0}, 400),
        ({"queue": "q", "max": 251}, 400),
        ({"queue": "q", "wait": "31s"}, 422),
        ({"queue": "q", "lease": "1s"}, 422),
        ({"queue": "q", "seq": 1}, 400),
        ({"queue": "q", "incarnation": "short", "lane": 0, "seq": 1}, 422),
        ({"queue": "q", "worker": "no spaces"}, 422),
        ({"queue": "nowhere"}, 404),
    ],
)
async def test_a_wrong_pop_is_refused(
    http: httpx.AsyncClient, queue: str, body: dict[str, object], status: int
) -> None:
    is_problem(await http.post("/oms/pop", json=body), status)
    assert queue == "q"


async def test_a_result_that_is_too_large_fails_its_task(
    http: httpx.AsyncClient, oms: AsyncOMSClient
) -> None:
    await oms.create_queue("small", max_payload_bytes=100)
    task_id = (await oms.enqueue("small", 1)).id
    task = (await http.post("/oms/pop", json={"queue": "small"})).json()["tasks"][0]

    await http.post(
        "/oms/complete", json={"id": task_id, "token": task["token"], "result": "x" * 200}
    )

    record = await oms.get_task(task_id)
    assert (record.state, record.reason.partition(":")[0]) == ("failed", "ResultInvalid")


PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-00"


async def test_the_callers_trace_goes_with_the_task_to_its_worker(
    http: httpx.AsyncClient, queue: str
) -> None:
    sent = {"traceparent": PARENT, "tracestate": "a=b", "baggage": "case=1"}
    one = {"queue": queue, "payload": 1, "id": "t1"}
    many = {"queue": queue, "tasks": [{"payload": 2}, {"payload": 3, "traceparent": OTHER}]}
    assert (await http.post("/oms/enqueue", json=one, headers=sent)).status_code == 201
    assert (await http.post("/oms/enqueue", json=many, headers=sent)).status_code == 200
    lines = await http.post(
        f"/oms/enqueue?queue={queue}",
        content=b'{"payload": 4}\n',
        headers=sent | {"content-type": "application/x-ndjson"},
    )
    assert lines.status_code == 200

    popped = (await http.post("/oms/pop", json={"queue": queue, "max": 9})).json()["tasks"]
    got = {task["payload"]: {name: task[name] for name in sent} for task in popped}
    assert got == {
        1: sent,
        2: sent,
        3: {"traceparent": OTHER, "tracestate": None, "baggage": None},
        4: sent,
    }
    assert (await http.get("/oms/tasks/t1")).json()["traceparent"] == PARENT


async def test_a_header_that_is_none_is_ignored_and_a_field_is_refused(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    body = {"queue": queue, "payload": 1, "id": "t1"}
    wrong = {"traceparent": "00-nonsense", "tracestate": "a=b"}
    assert (await http.post("/oms/enqueue", json=body, headers=wrong)).status_code == 201
    assert (await oms.get_task("t1")).traceparent is None

    refused = await http.post("/oms/enqueue", json=body | {"id": "t2", "traceparent": "nonsense"})
    assert "traceparent='nonsense'" in is_problem(refused, 422, "HMS-E001")["detail"]


@pytest.mark.parametrize("how", ["complete", "fail", "retry"])
async def test_a_workers_span_is_kept_with_the_attempt_that_failed(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str, how: str
) -> None:
    # A result that is none fails, too.
    why: dict[str, dict[str, Any]] = {
        "complete": {"handoff": {"workflow": "", "key": "k"}},
        "fail": {"reason": "no ink"},
    }
    sent = {"traceparent": PARENT}
    await oms.enqueue_many(queue, [NewTask(n, id=f"t{n}") for n in range(5)])
    popped = (await http.post("/oms/pop", json={"queue": queue, "max": 5})).json()["tasks"]
    held = [{"id": one["id"], "token": one["token"], **why.get(how, {})} for one in popped]

    async def settle(body: dict[str, Any], headers: dict[str, str]) -> None:
        await http.post(f"/oms/{how}", json=body, headers=headers)

    await settle(held[0], sent)
    await settle(held[1] | {"traceparent": OTHER}, sent)
    await settle(held[2], {"traceparent": "00-nonsense"})
    await settle({"tasks": [held[3] | {"traceparent": OTHER}, held[4]]}, sent)

    kept = [(await oms.get_task(f"t{n}")).attempts[-1].traceparent for n in range(5)]
    assert kept == [PARENT, OTHER, None, OTHER, PARENT]


async def test_a_span_that_is_none_is_refused_and_nothing_is_settled(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await oms.enqueue(queue, 1, id="t1")
    (task,) = (await http.post("/oms/pop", json={"queue": queue})).json()["tasks"]
    held = {"id": "t1", "token": task["token"]}

    for path, body in (("fail", {"reason": "x"}), ("complete", {}), ("retry", {})):
        wrong = held | body | {"traceparent": "nonsense"}
        is_problem(await http.post(f"/oms/{path}", json=wrong), 422, "HMS-E001")
    is_problem(await http.post("/oms/release", json=held | {"traceparent": PARENT}), 400)
    assert (await oms.get_task("t1")).state == "in_progress"
