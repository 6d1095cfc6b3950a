"""Queues, promises, cases and the audit over HTTP."""

import httpx

from hms_async import AsyncOMSClient
from hms_async.storage.store import Store
from hms_async.testing import ManualClock
from tests.api.support import is_problem


async def test_a_queue_is_created_and_changed(http: httpx.AsyncClient, oms: AsyncOMSClient) -> None:
    body = {"name": "passport.photo", "sla": "2h", "retry": {"max_attempts": 3}}
    made = await http.post("/oms/queues", json=body)
    again = await http.post("/oms/queues", json=body | {"sla": 60, "lease": "10s"})

    assert (made.status_code, again.status_code) == (201, 200)
    assert (made.json()["sla_ms"], again.json()["sla_ms"]) == (7_200_000, 60_000)
    settings = (await oms.get_queue("passport.photo")).settings
    assert (settings.retry.max_attempts, settings.lease_ms) == (3, 10_000)
    is_problem(await http.post("/oms/queues", json={"name": "q", "lease": "1s"}), 422, "HMS-E003")
    is_problem(await http.post("/oms/queues", json={"name": "q", "colour": 1}), 400)


async def test_queues_are_seen(http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str) -> None:
    await oms.enqueue(queue, 1)

    looked = (await http.get(f"/oms/queues/{queue}")).json()
    assert (looked["queue"]["name"], looked["stats"]["waiting"]) == ("q", 1)
    assert [one["name"] for one in (await http.get("/oms/queues")).json()["queues"]] == ["q"]
    assert (await http.get("/oms/stats")).json()["queues"][0]["waiting"] == 1
    is_problem(await http.get("/oms/queues/nowhere"), 404, "HMS-E004")


async def test_a_queue_is_seen_over_time(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await oms.enqueue_many(queue, [1, 2])
    task = await oms.pop_task(queue)
    assert task is not None
    await task.complete()

    found = (await http.get(f"/oms/queues/{queue}/series", params={"since": "1h"})).json()

    assert (found["queue"], found["step_ms"], len(found["points"])) == ("q", 60_000, 61)
    assert sum(point["arrived"] for point in found["points"]) == 2
    assert sum(point["met"] for point in found["points"]) == 1
    assert sum(point["wait"]["count"] for point in found["points"] if point["wait"]) == 1
    for params in ({"since": "500d"}, {"since": "7d", "step": "1m"}, {"step": "7m"}):
        is_problem(await http.get(f"/oms/queues/{queue}/series", params=params), 422)
    is_problem(await http.get("/oms/queues/nowhere/series"), 404, "HMS-E004")


async def test_it_is_told_how_promises_were_kept(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str, store_url: str
) -> None:
    await oms.create_queue("fast", sla="1h", goal="95%")
    past = ManualClock((await oms.stats(queue)).now_ms - 7_200_000)
    async with Store(store_url, clock=past) as store, AsyncOMSClient(store=store) as then:
        await then.enqueue("fast", 1, correlation_id="REQ-7")
    task = await oms.pop_task("fast")
    assert task is not None
    await task.complete()

    found = (await http.get("/oms/sla/report")).json()["queues"]

    assert [(one["queue"], one["goal"]) for one in found] == [("fast", 0.95), ("q", 0.99)]
    fast, untouched = found
    assert [one["kept"] for one in fast["windows"]] == [0, 0, 0]
    assert [one["kept"] for one in untouched["windows"]] == [None, None, None]
    assert [one["too_fast"] for one in fast["burns"]] == [True, True]
    (miss,) = fast["worst"]
    assert (miss["correlation_id"], miss["state"]) == ("REQ-7", "done")
    parts = ("waited_ms", "ran_ms", "backed_off_ms", "lost_ms", "unknown_ms")
    assert sum(miss[part] for part in parts) == miss["late_ms"] + 3_600_000
    one = (await http.get("/oms/sla/report", params={"queue": "q", "since": "7d"})).json()
    assert one["queues"][0]["windows"][2]["length_ms"] == 604_800_000
    is_problem(await http.get("/oms/sla/report", params={"queue": "nowhere"}), 404, "HMS-E004")
    is_problem(await http.get("/oms/sla/report", params={"since": "5m"}), 422)


async def test_pause_and_resume(http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str) -> None:
    paused = await http.post(f"/oms/queues/{queue}/pause", json={"reason": "ledger down"})
    again = await http.post(f"/oms/queues/{queue}/pause")
    assert (paused.json()["changed"], again.json()["changed"]) == (True, False)
    assert (await oms.get_queue(queue)).paused
    seen = (await http.get(f"/oms/queues/{queue}")).json()["queue"]
    assert (seen["reason"], seen["paused_by"]) == ("ledger down", "loopback")
    assert seen["paused_at"].endswith("Z")

    resumed = await http.post(f"/oms/queues/{queue}/resume")
    assert resumed.json() == {"queue": "q", "changed": True}

    entries = (await http.get("/oms/audit", params={"queue": queue})).json()["entries"]
    assert [(one["act"], one["via"], one["reason"]) for one in entries[:2]] == [
        ("resume", "rest", ""),
        ("pause", "rest", "ledger down"),
    ]


async def test_tasks_are_listed_page_by_page(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await oms.enqueue_many(queue, [1, 2, 3])
    url = f"/oms/queues/{queue}/tasks"

    first = (await http.get(url, params={"state": "waiting", "limit": 2})).json()
    rest = (await http.get(url, params={"cursor": first["cursor"], "limit": 2})).json()

    assert [one["payload"] for one in first["tasks"] + rest["tasks"]] == [1, 2, 3]
    assert rest["cursor"] is None
    problem = is_problem(await http.get(url, params={"state": "sleeping"}), 400)
    assert problem["errors"][0]["path"] == "query.state"
    is_problem(await http.get(url, params={"cursor": "nonsense"}), 422, "HMS-E001")


async def test_promises_are_told(http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str) -> None:
    await oms.enqueue(queue, 1, sla="1ms")

    one = (await http.get(f"/oms/sla/{queue}")).json()
    assert (one["queue"], one["sla_ms"], one["open"]) == ("q", 7_200_000, 1)
    assert [each["queue"] for each in (await http.get("/oms/sla")).json()["queues"]] == ["q"]
    assert (await http.get("/oms/incidents")).json() == {"incidents": []}
    is_problem(await http.post(f"/oms/incidents/{queue}/sla/acknowledge"), 404, "HMS-E052")


async def test_a_case_is_told_across_queues(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await oms.create_queue("other")
    await oms.enqueue(queue, 1, correlation_id="REQ/1 2")
    await oms.enqueue("other", 2, correlation_id="REQ/1 2")

    case = (await http.get("/oms/cases/REQ%2F1%202")).json()

    assert sorted(one["queue"] for one in case["tasks"]) == ["other", "q"]
    summary = case["summary"]
    assert (summary["open"], summary["ended"], summary["counts"]) == (2, 0, {"waiting": 2})
    is_problem(await http.get("/oms/cases/nobody"), 404, "HMS-E053")


async def test_many_are_acted_on_in_the_background(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await oms.enqueue_many(queue, [1, 2, 3])
    body = {"act": "cancel", "queue": queue, "where": {"states": ["waiting"]}}

    dry = await http.post("/oms/operations", json=body | {"dry_run": True})
    assert (dry.status_code, dry.json()["matched"]) == (200, 3)
    begun = await http.post("/oms/operations", json=body | {"reason": "wrong batch"})
    assert begun.status_code == 202
    await oms.operations.wait(begun.json()["id"], "10s")

    ended = (await http.get(f"/oms/operations/{begun.json()['id']}")).json()
    assert (ended["state"], ended["done"], ended["reason"]) == ("done", 3, "wrong batch")
    assert (await http.get("/oms/operations")).json()["operations"][0]["id"] == ended["id"]
    is_problem(await http.post(f"/oms/operations/{ended['id']}/stop"), 409)
    is_problem(await http.get("/oms/operations/unknown"), 404)
    is_problem(await http.post("/oms/operations", json=body | {"act": "explode"}), 400)


async def test_purging_and_removing(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await oms.enqueue_many(queue, [1, 2])
    is_problem(await http.delete(f"/oms/queues/{queue}"), 409)

    purged = await http.post(f"/oms/queues/{queue}/purge", json={"reason": "test data"})
    assert purged.status_code == 202
    await oms.operations.wait(purged.json()["id"], "10s")
    assert (await oms.stats(queue)).cancelled == 2

    removed = await http.delete(f"/oms/queues/{queue}", params={"reason": "over"})
    await oms.operations.wait(removed.json()["id"], "10s")
    is_problem(await http.get(f"/oms/queues/{queue}"), 404, "HMS-E004")


async def test_a_queue_called_report_is_told_of_beside_the_report(
    http: httpx.AsyncClient, oms: AsyncOMSClient
) -> None:
    await oms.create_queue("report", sla="1h")

    assert "windows" in (await http.get("/oms/sla/report")).json()["queues"][0]
    one = (await http.get("/oms/queues/report/promise")).json()
    assert (one["queue"], one["sla_ms"]) == ("report", 3_600_000)
    is_problem(await http.get("/oms/queues/nowhere/promise"), 404, "HMS-E004")
