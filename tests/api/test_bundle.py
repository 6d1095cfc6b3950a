"""The incident bundle: what is known of a queue in trouble, without payloads, and bounded."""

import json
from typing import Any, cast

import httpx
import pytest

from hms_async import AsyncOMSClient, NewTask, RetryPolicy, Supervisor
from hms_async.api import bundle as bundle_module
from hms_async.api.documents import IncidentBundle
from tests.api.support import is_problem, token
from tests.servers import Raw

CANARY = "canary-4711"
SECRET = "hush-4711"  # noqa: S105  # of nobody
QUEUE = "late"
WEBHOOK: dict[str, Any] = {
    "webhook": f"https://user:{SECRET}@desk.example/{SECRET}",
    "webhook_secret": SECRET,
}


async def speak(oms: AsyncOMSClient, count: int = 1) -> None:
    """Let a supervisor look until so many tasks are late, and do what is to be done."""
    supervisor = Supervisor(oms.url)
    while count > 0:
        report = await supervisor.check_sla()
        count -= len(report.rungs)
        for event in report.rungs:
            await supervisor.escalate(event)


@pytest.fixture
async def oms(oms: AsyncOMSClient) -> AsyncOMSClient:
    """A client of a store with a queue in trouble."""
    promise: dict[str, Any] = {"sla": "1ms", "retry": RetryPolicy(max_attempts=1)}
    payload = {"name": CANARY, "n": 1}
    await oms.create_queue(QUEUE, **promise, ladder=["100% breach"])
    await oms.enqueue_many(QUEUE, [NewTask(payload, id=f"f{n}") for n in range(3)])
    await speak(oms, 3)
    for n in range(3):
        task = await oms.pop_task(QUEUE)
        assert task is not None
        await task.fail(f"no answer from 10.0.0.{n}: password={SECRET}")
    await oms.create_queue(QUEUE, **promise, ladder=["100% escalate,reroute:nowhere"])
    await oms.enqueue(QUEUE, payload, id="t1", correlation_id="REQ-1")
    await speak(oms)
    # Only now, as nothing is to be sent.
    await oms.create_queue(QUEUE, **promise, ladder=["100% breach"], **WEBHOOK)
    await oms.pause(QUEUE, reason="the ledger is down")
    return oms


async def fetched(http: httpx.AsyncClient, headers: dict[str, str] | None = None) -> dict[str, Any]:
    answer = await http.get(f"/oms/incidents/{QUEUE}/bundle", headers=headers)
    assert answer.status_code == 200, answer.text
    return cast("dict[str, Any]", answer.json())


async def test_it_tells_what_is_known_of_a_queue_in_trouble(
    http: httpx.AsyncClient, oms: AsyncOMSClient
) -> None:
    pop = {"queues": [QUEUE], "worker": "by-hand"}
    assert (await http.post("/oms/pop", json=pop)).json()["tasks"] == []

    told = await fetched(http)

    assert (told["schema"], told["made_by"]) == ("hms.incident_bundle/v1", "loopback")
    assert told["made_at"].endswith("Z")
    assert told["version"] == (await http.get("/status")).json()["version"]
    queue = told["queue"]
    assert (queue["name"], queue["paused"], queue["reason"]) == (QUEUE, True, "the ledger is down")
    assert queue["receivers"] == ["webhook desk.example"]
    standing = told["standing"]
    assert (standing["clock"], standing["waiting"], standing["failed"]) == ("breached", 1, 3)
    assert standing["forecast"]["confidence"] == "paused"
    assert "sla" in {one["kind"] for one in told["incidents"]}
    assert {"workers", "supervisor", "receivers"} <= {one["check"] for one in told["findings"]}
    assert {one["queue"] for one in told["findings"]} == {None, QUEUE}
    assert told["series"]["step_ms"] * len(told["series"]["points"]) >= 6 * 3_600_000
    assert told["report"]["windows"][1]["missed"] >= 3
    assert {one["task_id"] for one in told["report"]["worst"]} == {"f0", "f1", "f2"}
    assert [one["id"] for one in told["at_risk"]] == ["t1"]
    (kind,) = told["failed"]
    assert (kind["error_type"], kind["count"], kind["sample"]["id"]) == ("Failed", 3, "f2")
    assert kind["words"] == "no answer from #: password=[redacted]"
    assert kind["sample"]["attempts"][0]["worker"]
    assert [one["name"] for one in told["workers"]] == ["by-hand"]
    (message,) = told["undelivered"]
    assert "there is no such queue" in message["error"]
    assert [one["act"] for one in told["audit"]] == ["pause", *["configure"] * 3]
    assert told["server"]
    assert told["left_out"] == {}
    assert (await oms.stats(QUEUE)).waiting == 1  # it only looks


@pytest.mark.usefixtures("oms")
async def test_it_is_a_file_for_people_and_a_document_for_programs(
    http: httpx.AsyncClient,
) -> None:
    answer = await http.get(f"/oms/incidents/{QUEUE}/bundle")

    assert answer.headers["content-type"] == "application/json"
    name = answer.headers["content-disposition"].partition("filename=")[2].strip('"')
    made = "".join(filter(str.isalnum, answer.json()["made_at"].partition(".")[0]))
    assert name == f"incident-{QUEUE}-{made}.json"
    assert answer.text.startswith('{\n  "schema": "hms.incident_bundle/v1"')
    assert set(answer.json()) == set(IncidentBundle.__struct_fields__)


async def test_whoever_asks_gets_neither_payloads_nor_secrets(
    http: httpx.AsyncClient, oms: AsyncOMSClient
) -> None:
    bearers = [await token(oms, "admin"), await token(oms, "viewer", payload=True)]
    for bearer in bearers:
        told = json.dumps(await fetched(http, bearer))
        assert CANARY not in told
        assert SECRET not in told


async def test_a_viewer_gets_it_without_the_audit(
    http: httpx.AsyncClient, oms: AsyncOMSClient
) -> None:
    told = await fetched(http, await token(oms, "viewer"))

    assert told["audit"] is None
    assert set(told["left_out"]) == {"audit"}
    assert "administer" in told["left_out"]["audit"]
    assert told["server"]


async def test_who_may_see_some_queues_gets_nothing_of_others(
    http: httpx.AsyncClient, oms: AsyncOMSClient
) -> None:
    await oms.create_queue("mail")
    bearer = await token(oms, "admin", queues=["late*"])
    pop = {"queues": [QUEUE, "mail"], "worker": "both"}
    await http.post("/oms/pop", json=pop, headers=await token(oms, "worker"))

    told = await fetched(http, bearer)

    assert [(one["name"], one["queues"]) for one in told["workers"]] == [("both", [QUEUE])]
    assert told["server"] is None
    assert set(told["left_out"]) == {"server"}
    assert len(told["audit"]) == 4
    assert "mail" not in json.dumps(told)
    other = await http.get("/oms/incidents/mail/bundle", headers=bearer)
    assert is_problem(other, 403, "HMS-E073")["queue"] == "mail"


@pytest.mark.usefixtures("oms")
async def test_a_queue_that_is_not_there_has_none(http: httpx.AsyncClient) -> None:
    is_problem(await http.get("/oms/incidents/nowhere/bundle"), 404, "HMS-E004")
    is_problem(await http.get("/oms/incidents/no spaces/bundle"), 422, "HMS-E002")


@pytest.mark.usefixtures("oms")
async def test_what_cannot_be_read_hides_no_other_part(http: httpx.AsyncClient, raw: Raw) -> None:
    for key in ("at_risk", "failed"):
        raw("DEL", f"queue:{QUEUE}:{key}")
        raw("SET", f"queue:{QUEUE}:{key}", "foreign")

    told = await fetched(http)

    assert {"at_risk", "failed"} <= set(told["left_out"])
    assert all(told[name] is None for name in told["left_out"])
    assert told["incidents"]
    assert told["audit"]


async def test_i8_it_holds_no_more_than_so_much(
    http: httpx.AsyncClient, oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AT_RISK", "MISSES", "KINDS", "MESSAGES", "ACTS"):
        monkeypatch.setattr(bundle_module, f"MOST_{name}", 1)
    await oms.resume(QUEUE)
    await oms.enqueue_many(QUEUE, range(5))
    for said in ("torn", "lost"):
        task = await oms.pop_task(QUEUE)
        assert task is not None
        await task.fail(said)
    await speak(oms, 3)

    told = await fetched(http)

    assert len(await oms.sla.at_risk(QUEUE)) > 1
    for name in ("at_risk", "failed", "undelivered", "audit"):
        assert len(told[name]) == 1, name
    assert len(told["report"]["worst"]) == 1
    assert told["failed"][0]["count"] == 3


@pytest.mark.parametrize("store_url", ["valkey"], indirect=True)
async def test_i8_a_bundle_asks_the_server_no_more_for_a_longer_backlog(
    http: httpx.AsyncClient, oms: AsyncOMSClient, raw: Raw
) -> None:
    await oms.create_queue("q", sla="1h")

    async def commands() -> dict[str, int]:
        raw("CONFIG", "RESETSTAT")
        assert (await http.get("/oms/incidents/q/bundle")).status_code == 200
        found = raw("INFO", "commandstats")
        others = {"cmdstat_config|resetstat", "cmdstat_info", "cmdstat_ping"}
        return {name: told["calls"] for name, told in found.items() if name not in others}

    await commands()  # so that the server knows the scripts
    await oms.enqueue_many("q", range(200))
    few = await commands()
    await oms.enqueue_many("q", range(3_000))
    many = await commands()

    # Others look at the clock and the bells meanwhile.
    assert sum(many.values()) <= sum(few.values()) + 50
