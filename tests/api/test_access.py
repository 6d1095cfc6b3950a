"""Who may do what over HTTP: every route against every role, and queues of others."""

import json

import httpx
import pytest

from hms_async import AsyncOMSClient
from hms_async.api.app import API, create_app
from hms_async.api.routes import ROUTERS
from hms_async.domain.access import Role
from tests.api.support import is_problem, routes, token, until

CANARY = "canary-4711"


ROUTES = routes(ROUTERS)


def test_every_route_asks_for_a_permission() -> None:
    assert {path for _, path, needed in ROUTES if needed is None} == {"/live", "/ready"}
    document = create_app("memory://routes").openapi()["paths"]
    served = {
        (method.upper(), path) for path, operations in document.items() for method in operations
    }
    assert {(method, path.replace(":path", "")) for method, path, _ in ROUTES} == served
    assert len(served) > 35


def test_nothing_else_is_served() -> None:
    others = [
        route
        for route in create_app("memory://routes").routes
        if getattr(route, "original_router", None) not in ROUTERS
    ]
    assert {getattr(route, "path", "") for route in others} == {"/oms/openapi.json", "/oms/docs"}


async def call(
    http: httpx.AsyncClient, method: str, path: str, headers: dict[str, str]
) -> httpx.Response:
    names = {"queue": "q", "task_id": "t1", "kind": "sla", "operation_id": "o1", "message_id": "m1"}
    url = path.replace(":path", "").format(**names, correlation_id="c1")
    if path == "/oms/events":
        url += "?queue=nowhere"  # refused after the door, and no stream is begun
    content = "{}" if method == "POST" else None
    return await http.request(method, url, headers=headers, content=content)


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_gets_where_it_may_and_nowhere_else(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str, role: Role
) -> None:
    bearer = await token(oms, role.value, rate=10_000)
    for method, path, needed in ROUTES:
        answer = await call(http, method, path, bearer)
        allowed = needed is None or needed in role.permissions
        assert (answer.status_code not in (401, 403)) == allowed, (method, path, answer.text)
        if not allowed:
            is_problem(answer, 403, "HMS-E073")
    assert queue == "q"


async def test_once_a_token_exists_everybody_needs_one(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await token(oms, "viewer")
    for method, path, needed in ROUTES:
        if needed is not None:
            answer = await call(http, method, path, {})
            assert is_problem(answer, 401)["code"] in ("HMS-E071", "HMS-E072")
            assert answer.headers["www-authenticate"].startswith("Bearer")
    bad = {"Authorization": "Bearer hms_000000000000_" + "x" * 43}
    is_problem(await http.get("/oms/stats", headers=bad), 401, "HMS-E072")
    assert queue == "q"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Forwarded", "for=192.0.2.1"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Real-IP", "127.0.0.1"),
        ("Via", "1.1 proxy"),
    ],
)
async def test_a_call_through_a_proxy_is_not_from_this_machine(
    http: httpx.AsyncClient, header: str, value: str
) -> None:
    assert (await http.get("/oms/stats")).status_code == 200
    is_problem(await http.get("/oms/stats", headers={header: value}), 401, "HMS-E071")


class TestOtherQueues:
    """A token for `passport.*` that knows the ids of a task of another queue."""

    @pytest.fixture
    async def bearer(self, oms: AsyncOMSClient) -> dict[str, str]:
        for name in ("passport.photo", "mail"):
            await oms.create_queue(name, sla="1h")
            await oms.enqueue(name, CANARY, id=f"{name}-1", correlation_id="REQ-1")
            await oms.pause(name)
            await oms.resume(name)
        return await token(oms, *Role, queues=["passport.*"])

    async def test_lists_show_only_its_own(
        self, http: httpx.AsyncClient, bearer: dict[str, str]
    ) -> None:
        async def names(path: str, key: str, name: str) -> set[str]:
            found = (await http.get(path, headers=bearer)).json()[key]
            return {one[name] for one in found}

        assert await names("/oms/queues", "queues", "name") == {"passport.photo"}
        assert await names("/oms/stats", "queues", "name") == {"passport.photo"}
        assert await names("/oms/sla", "queues", "queue") == {"passport.photo"}
        assert await names("/oms/cases/REQ-1", "tasks", "queue") == {"passport.photo"}
        assert await names("/oms/audit", "entries", "queue") == {"passport.photo"}

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("POST", "/oms/enqueue", '{"queue": "mail", "payload": 1}'),
            ("POST", "/oms/enqueue", '{"queue": "mail", "tasks": [{"payload": 1}]}'),
            ("POST", "/oms/pop", '{"queues": ["passport.photo", "mail"]}'),
            ("POST", "/oms/queues", '{"name": "mail"}'),
            ("GET", "/oms/queues/mail", None),
            ("DELETE", "/oms/queues/mail", None),
            ("POST", "/oms/queues/mail/pause", None),
            ("POST", "/oms/queues/mail/resume", None),
            ("POST", "/oms/queues/mail/purge", None),
            ("GET", "/oms/queues/mail/tasks", None),
            ("GET", "/oms/sla/mail", None),
            ("GET", "/oms/sla/mail/at_risk", None),
            ("GET", "/oms/queues/mail/promise", None),
            ("GET", "/oms/sla/mail/undelivered", None),
            ("POST", "/oms/sla/mail/undelivered/again", None),
            ("POST", "/oms/sla/mail/undelivered/drop", None),
            ("POST", "/oms/sla/mail/undelivered/m1/again", None),
            ("POST", "/oms/sla/mail/undelivered/m1/drop", None),
            ("POST", "/oms/incidents/mail/sla/acknowledge", None),
            ("GET", "/oms/incidents/mail/bundle", None),
            ("GET", "/oms/events?queue=mail", None),
            ("GET", "/oms/audit?queue=mail", None),
            ("POST", "/oms/operations", '{"act": "cancel", "queue": "mail"}'),
        ],
    )
    async def test_what_names_another_queue_is_forbidden(
        self,
        http: httpx.AsyncClient,
        bearer: dict[str, str],
        method: str,
        path: str,
        body: str | None,
    ) -> None:
        answer = await http.request(method, path, headers=bearer, content=body)

        assert is_problem(answer, 403, "HMS-E073")["queue"] == "mail"

    async def test_workers_and_operations_of_others_are_not_told(
        self, http: httpx.AsyncClient, oms: AsyncOMSClient, bearer: dict[str, str]
    ) -> None:
        everywhere = await token(oms, "worker")
        both = {"queues": ["mail", "passport.photo"], "worker": "both", "max": 1}
        for body in (both, {"queue": "mail", "worker": "other"}):
            assert (await http.post("/oms/pop", json=body, headers=everywhere)).status_code == 200

        async def both_are_known() -> bool:
            return len(await oms.workers()) == 2

        await until(both_are_known)  # cards are written in the background
        mine = await oms.operations.start("purge", "passport.photo")
        other = await oms.operations.start("purge", "mail")

        workers = (await http.get("/oms/workers", headers=bearer)).json()["workers"]
        assert [(one["name"], one["queues"]) for one in workers] == [("both", ["passport.photo"])]
        latest = (await http.get("/oms/operations?limit=1", headers=bearer)).json()["operations"]
        assert [one["id"] for one in latest] == [mine.id]
        url = f"/oms/operations/{other.id}"
        is_problem(await http.get(url, headers=bearer), 404, "HMS-E062")
        is_problem(await http.post(f"{url}/stop", headers=bearer), 404, "HMS-E062")

    async def test_pages_of_the_audit_are_full_and_name_no_other_queue(
        self, http: httpx.AsyncClient, oms: AsyncOMSClient, bearer: dict[str, str]
    ) -> None:
        for _ in range(3):
            await oms.pause("mail", reason=CANARY)
            await oms.resume("mail")
        acts: list[str] = []
        cursor: str | None = None
        while True:
            query = {"limit": "1"} | ({"cursor": cursor} if cursor else {})
            page = await http.get("/oms/audit", params=query, headers=bearer)
            assert "mail" not in page.text
            assert CANARY not in page.text
            cursor = page.json()["cursor"]
            if not page.json()["entries"]:
                break
            acts += [one["act"] for one in page.json()["entries"]]
        assert (acts, cursor) == (["resume", "pause", "configure"], None)

    async def test_an_id_that_another_queue_has_is_taken_by_nobody_in_particular(
        self, http: httpx.AsyncClient, bearer: dict[str, str]
    ) -> None:
        one = {"queue": "passport.photo", "payload": 1, "id": "mail-1"}
        alone = await http.post("/oms/enqueue", json=one, headers=bearer)
        assert "queue" not in is_problem(alone, 409, "HMS-E024")
        task = {"payload": 1, "id": "mail-1"}
        many = await http.post(
            "/oms/enqueue", json={"queue": "passport.photo", "tasks": [task]}, headers=bearer
        )
        lines = await http.post(
            "/oms/enqueue?queue=passport.photo",
            content=json.dumps(task),
            headers=bearer | {"Content-Type": "application/x-ndjson"},
        )
        for answer in (alone, many, lines):
            assert "HMS-E024" in answer.text
            assert '"mail"' not in answer.text.replace("\\", "")

    async def test_who_may_use_both_queues_is_told_which_has_the_id(
        self, http: httpx.AsyncClient, oms: AsyncOMSClient, bearer: dict[str, str]
    ) -> None:
        assert bearer
        everywhere = await token(oms, "producer")
        one = {"queue": "passport.photo", "payload": 1, "id": "mail-1"}
        answer = await http.post("/oms/enqueue", json=one, headers=everywhere)
        assert is_problem(answer, 409, "HMS-E024")["queue"] == "mail"

    async def test_a_line_for_another_queue_is_refused_alone(
        self, http: httpx.AsyncClient, bearer: dict[str, str]
    ) -> None:
        lines = '{"queue": "mail", "payload": 1}\n{"queue": "passport.photo", "payload": 1}'
        answer = await http.post(
            "/oms/enqueue",
            content=lines,
            headers=bearer | {"Content-Type": "application/x-ndjson"},
        )
        first, second = answer.text.splitlines()
        assert '"status":403' in first
        assert '"created":true' in second

    async def test_tasks_of_another_queue_do_not_exist(
        self, http: httpx.AsyncClient, oms: AsyncOMSClient, bearer: dict[str, str]
    ) -> None:
        everywhere = await token(oms, "worker")
        popped = await http.post("/oms/pop", json={"queue": "mail"}, headers=everywhere)
        (leased,) = popped.json()["tasks"]
        held = {"id": leased["id"], "token": leased["token"]}
        for path in ("", "/wait?timeout=0"):
            is_problem(await http.get(f"/oms/tasks/mail-1{path}", headers=bearer), 404)
        for act in ("cancel", "requeue", "bump", "again"):
            is_problem(await http.post(f"/oms/tasks/mail-1/{act}", headers=bearer), 404)
        is_problem(
            await http.post("/oms/tasks/mail-1/waive", json={"reason": "x"}, headers=bearer), 404
        )
        for act in ("complete", "release", "retry", "fail"):
            body = held | ({"reason": "x"} if act == "fail" else {})
            is_problem(await http.post(f"/oms/{act}", json=body, headers=bearer), 404)
            many = await http.post(f"/oms/{act}", json={"tasks": [body]}, headers=bearer)
            assert many.json()["results"][0]["error"]["status"] == 404
        beat = await http.post("/oms/heartbeat", json=held, headers=bearer)
        assert beat.json()["answer"] == "lost"
        beats = await http.post("/oms/heartbeat", json={"tasks": [held]}, headers=bearer)
        assert beats.json()["results"][0]["answer"] == "lost"
        assert (await oms.get_task("mail-1")).state == "in_progress"


class TestPayloads:
    @pytest.fixture
    async def oms(self, oms: AsyncOMSClient) -> AsyncOMSClient:
        await oms.create_queue("q", sla="1h")
        payload = {"name": CANARY, "api_key": CANARY}
        await oms.enqueue("q", payload, id="t1", correlation_id="REQ-1")
        task = await oms.pop_task("q")
        assert task is not None
        handoff = {"workflow": "w", "key": "k", "payload": CANARY}
        await task.complete({"note": CANARY, "token": CANARY}, handoff=handoff)
        await oms.enqueue("q", payload, id="t2", correlation_id="REQ-1")
        return oms

    async def everything(self, http: httpx.AsyncClient, bearer: dict[str, str]) -> str:
        paths = ("tasks/t1", "tasks/t2", "tasks/t1/wait", "cases/REQ-1", "queues/q/tasks")
        found = [await http.get(f"/oms/{path}", headers=bearer) for path in paths]
        found.append(await http.get("/oms/queues/q/tasks?state=done", headers=bearer))
        assert {one.status_code for one in found} == {200}
        query = {"queue": "q", "after": "0-0"}
        async with http.stream("GET", "/oms/events", params=query, headers=bearer) as stream:
            lines = stream.aiter_lines()
            async for line in lines:
                if line.startswith("data:"):
                    return "".join(one.text for one in found) + line
        raise AssertionError

    async def test_a_viewer_sees_none(self, http: httpx.AsyncClient, oms: AsyncOMSClient) -> None:
        seen = await self.everything(http, await token(oms, "viewer"))

        assert CANARY not in seen
        assert '"hidden":["payload"' in seen

    async def test_with_payload_it_sees_all_but_secrets(
        self, http: httpx.AsyncClient, oms: AsyncOMSClient
    ) -> None:
        bearer = await token(oms, "viewer", payload=True)

        seen = (await http.get("/oms/tasks/t1", headers=bearer)).json()

        assert seen["payload"] == {"name": CANARY, "api_key": "[redacted]"}
        assert seen["result"] == {"note": CANARY, "token": "[redacted]"}
        assert seen["handoff"]["payload"] == CANARY

    async def test_a_producer_sees_the_result_alone(
        self, http: httpx.AsyncClient, oms: AsyncOMSClient
    ) -> None:
        bearer = await token(oms, "producer")

        seen = (await http.get("/oms/tasks/t1/wait", headers=bearer)).json()

        assert (seen["payload"], seen["result"]["note"]) == (None, CANARY)
        assert seen["handoff"]["payload"] is None


async def test_too_many_calls_are_told_when_to_come_back(
    http: httpx.AsyncClient, oms: AsyncOMSClient
) -> None:
    bearer = await token(oms, "viewer", rate=1)
    answers = [await http.get("/oms/stats", headers=bearer) for _ in range(4)]

    assert [one.status_code for one in answers[:2]] == [200, 200]
    is_problem(answers[-1], 429, "HMS-E074")
    assert int(answers[-1].headers["retry-after"]) >= 1


class TestAway:
    @pytest.fixture
    def app(self) -> API:
        return create_app("redis://127.0.0.1:1/0")

    async def test_without_a_store_it_says_so(self, http: httpx.AsyncClient) -> None:
        answer = await http.get("/oms/stats")

        is_problem(answer, 503, "HMS-E041")
        assert answer.headers["retry-after"]
        assert (await http.get("/live")).status_code == 200
        assert (await http.get("/ready")).status_code == 503
