"""Who may do what on the pages: every route against every role, and queues of others."""

import httpx
import pytest

from hms_async import AsyncOMSClient
from hms_async.api.dashboard.pages import ROUTERS
from hms_async.domain.access import Permission, Role
from tests.api.dashboard.support import enter, open_form
from tests.api.support import routes, token

FOR_ALL = {"/sign-in", "/sign-out", "/settings", "/static/{edition}/{name:path}"}
SIGNED_IN = [role for role in Role if Permission.VIEW in role.permissions]
ACTS = {"/do/", "/incidents/", "/stop"}


ROUTES = routes(ROUTERS)


def at(path: str) -> str:
    names = {"queue": "q", "task_id": "t1", "kind": "sla", "operation_id": "o1"}
    of = {"d": "pause", "t": "cancel", "m": "drop"}
    known = of.get(path.removeprefix("/q/{queue}/")[:1], "cancel")
    url = "/ui" + path.replace(":path", "").format(
        **names, act=known, correlation_id="c1", edition="x", name="y"
    )
    return f"{url}?topic=odd" if path == "/events" else url  # refused after the door


def test_every_route_asks_for_a_permission_and_every_act_for_one_to_act() -> None:
    assert {path for _, path, needed in ROUTES if needed is None} == FOR_ALL
    for method, path, needed in ROUTES:
        if path in FOR_ALL:
            continue
        acts = any(part in path for part in ACTS)
        assert acts == (needed in (Permission.OPERATE, Permission.ENQUEUE)), path
        assert acts or method == "GET", path
    assert len(ROUTES) > 25


@pytest.mark.parametrize("role", SIGNED_IN)
async def test_each_role_gets_where_it_may_and_nowhere_else(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str, role: Role
) -> None:
    await oms.enqueue(queue, 1, id="t1")
    await enter(http, oms, role.value, rate=10_000)
    for method, path, needed in ROUTES:
        if path in FOR_ALL:
            continue
        answer = await http.request(method, at(path))
        if needed in role.permissions:
            # What is sent is no form of ours.
            stale = answer.status_code == 403 and "another page" in answer.text
            assert stale == (method == "POST"), (path, answer.text)
            assert stale or answer.status_code != 403, (path, answer.text)
        else:
            assert answer.status_code == 403, (method, path)
            assert "HMS-E073" in answer.text
    task = await oms.get_task("t1")
    assert (task.state, (await oms.stats(queue)).paused) == ("waiting", False)


async def test_once_a_token_exists_everybody_signs_in(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await token(oms, "viewer")
    for method, path, _ in ROUTES:
        if path in FOR_ALL:
            continue
        answer = await http.request(method, at(path))
        assert answer.status_code == 303, (method, path)
        assert answer.headers["location"].startswith("/ui/sign-in"), (method, path)
    assert queue == "q"


async def test_an_operator_acts_on_their_own_queues_alone(
    http: httpx.AsyncClient, oms: AsyncOMSClient
) -> None:
    for name in ("passport.photo", "mail"):
        await oms.create_queue(name, sla="1h")
        await oms.enqueue(name, 1, id=f"{name}-1")
    begun = await oms.operations.start("purge", "mail", reason="of others")
    await enter(http, oms, "operator", queues=["passport.*"])

    for path in ("/q/mail/do/pause", "/q/mail/do/purge", "/q/mail/incidents/sla"):
        assert (await http.get(f"/ui{path}")).status_code == 403, path
    for path in ("/q/mail/tasks/do/cancel?state=waiting", "/q/mail/messages/do/drop"):
        assert (await http.get(f"/ui{path}")).status_code == 403, path
    for path in ("/t/mail-1/do/cancel", f"/operations/{begun.id}", f"/operations/{begun.id}/stop"):
        assert (await http.get(f"/ui{path}")).status_code == 404, path
    assert "mail" not in (await http.get("/ui/operations")).text

    # A task of another queue is not reached by a form for one's own either.
    asked = await open_form(http, "/q/passport.photo/tasks/do/cancel?state=waiting")
    fields = dict(asked.fields) | {"id": "mail-1", "reason": "x"}
    refused = await http.post(asked.action, data=fields)
    assert refused.status_code == 409
    other = await http.post("/ui/q/mail/tasks/do/cancel", data=dict(asked.fields))
    assert other.status_code == 403
