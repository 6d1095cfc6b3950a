"""Who gets to see the pages, and what of them: sign-in, roles, payloads, queues of others."""

import re

import httpx
import pytest

from hms_async import AsyncOMSClient
from hms_async.api.app import API, create_app
from tests.api.support import token

CANARY = "canary-4711"


async def text_of(oms: AsyncOMSClient, *roles: str, queues: list[str] | None = None) -> str:
    """Make a token; returns its text."""
    header = await token(oms, *roles, queues=queues or ["*"])
    return header["Authorization"].removeprefix("Bearer ")


async def sign_in(http: httpx.AsyncClient, text: str, **fields: str) -> httpx.Response:
    return await http.post("/ui/sign-in", data={"token": text, **fields})


async def test_the_root_leads_to_the_pages_and_nobody_signs_in_while_there_is_no_token(
    http: httpx.AsyncClient, queue: str
) -> None:
    assert (await http.get("/")).headers["location"] == "/ui/"
    assert (await http.get("/ui")).headers["location"] == "/ui/"
    page = await http.get("/ui/")

    assert page.status_code == 200
    assert f'href="/ui/q/{queue}"' in page.text
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert page.headers["cache-control"] == "no-store"
    # With less a browser sends forms without their origin, and the door turns them away.
    assert page.headers["referrer-policy"] == "same-origin"


async def test_with_a_token_one_signs_in_and_out(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    text = await text_of(oms, "viewer")
    turned_away = await http.get(f"/ui/q/{queue}?x=1")
    assert (turned_away.status_code, turned_away.headers["location"]) == (
        303,
        f"/ui/sign-in?next=/q/{queue}%3Fx%3D1",
    )
    assert (await http.get("/ui/", headers={"x-part": "1"})).status_code == 401
    wrong = await sign_in(http, "hms_000000000000_" + "x" * 43)
    assert wrong.status_code == 401
    assert "unknown" in wrong.text or "revoked" in wrong.text

    entered = await sign_in(http, text, next=f"/q/{queue}")
    assert (entered.status_code, entered.headers["location"]) == (303, f"/ui/q/{queue}")
    cookie = entered.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/ui"))
    assert (await http.get(f"/ui/q/{queue}")).status_code == 200
    # The cookie opens the pages alone: a form of another page must not reach the API with it.
    assert (await http.get("/oms/stats")).status_code == 401

    await http.post("/ui/sign-out")
    assert (await http.get("/ui/")).status_code == 303


@pytest.mark.parametrize("away", ["//evil.example", "/\\evil.example", "https://evil.example", ""])
async def test_signing_in_leads_nowhere_else(
    http: httpx.AsyncClient, oms: AsyncOMSClient, away: str
) -> None:
    entered = await sign_in(http, await text_of(oms, "viewer"), next=away)

    assert entered.headers["location"] == "/ui/"


async def test_a_worker_s_token_is_not_for_pages(
    http: httpx.AsyncClient, oms: AsyncOMSClient
) -> None:
    refused = await sign_in(http, await text_of(oms, "worker"))

    assert refused.status_code == 401
    assert "role viewer" in refused.text


async def test_a_viewer_sees_neither_payloads_nor_buttons_nor_queues_of_others(
    http: httpx.AsyncClient, oms: AsyncOMSClient
) -> None:
    for name in ("passport.photo", "mail"):
        await oms.create_queue(name, sla="1h")
        await oms.enqueue(name, {"note": CANARY}, id=f"{name}-1", correlation_id="CASE-1")
    await sign_in(http, await text_of(oms, "viewer", queues=["passport.*"]))

    pages = {
        path: await http.get(f"/ui{path}")
        for path in (
            "/",
            "/q/passport.photo",
            "/q/passport.photo/tasks",
            "/q/passport.photo/tasks?export=csv",
            "/q/passport.photo/tasks?export=ndjson",
            "/t/passport.photo-1",
            "/c/CASE-1",
            "/workers",
            "/help",
        )
    }

    for path, page in pages.items():
        assert page.status_code == 200, path
        assert CANARY not in page.text, path
        assert "mail" not in page.text, path
        assert "/do/" not in page.text, path
    assert "takes the permission to see payloads" in pages["/t/passport.photo-1"].text
    assert (await http.get("/ui/q/mail")).status_code == 403
    assert (await http.get("/ui/t/mail-1")).status_code == 404
    assert (await http.get("/ui/events?topic=queue:mail")).status_code == 403
    assert (await http.get("/ui/search?q=mail-1")).status_code == 200  # "nothing is called that"


async def test_an_admin_sees_payloads_without_their_secrets(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await oms.enqueue(queue, {"note": CANARY, "api_key": "hush-hush"}, id="t1")
    await sign_in(http, await text_of(oms, "admin"))

    page = (await http.get("/ui/t/t1")).text

    assert CANARY in page
    assert "hush-hush" not in page


async def test_what_is_shown_is_text_whatever_it_says(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    evil = "<script>alert(1)</script>"
    await oms.enqueue(queue, {evil: evil}, id="t1", correlation_id=evil)
    await oms.pause(queue, reason=evil)

    for path in (
        "/",
        f"/q/{queue}",
        f"/q/{queue}/tasks",
        "/t/t1",
        "/c/%3Cscript%3Ealert(1)%3C/script%3E",
    ):
        page = await http.get(f"/ui{path}")
        assert page.status_code == 200, path
        assert evil not in page.text, path


async def test_a_spreadsheet_takes_no_cell_for_a_formula(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await oms.enqueue(queue, 1, correlation_id="=1+1")

    exported = await http.get(f"/ui/q/{queue}/tasks?export=csv")

    assert exported.headers["content-disposition"] == f'attachment; filename="{queue}-waiting.csv"'
    assert ",'=1+1," in exported.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/q/none", 404),
        ("/t/none", 404),
        ("/c/none", 404),
        ("/nothing/here", 404),
        ("/q/q/tasks?state=odd", 400),
        ("/q/q/tasks?cursor=odd", 422),
        ("/events?topic=odd", 422),
        ("/events", 400),
        ("/static/x/none.js", 404),
    ],
)
async def test_what_cannot_be_shown_is_said_plainly(
    http: httpx.AsyncClient, queue: str, path: str, status: int
) -> None:
    answer = await http.get(f"/ui{path}")

    assert answer.status_code == status
    assert "Traceback" not in answer.text
    assert queue == "q"


async def test_how_pages_look_is_kept_in_the_browser(http: httpx.AsyncClient, queue: str) -> None:
    kept = await http.post(
        "/ui/settings", data={"theme": "dark", "density": "odd", "back": "/help"}
    )

    assert kept.headers["location"] == "/ui/help"
    page = (await http.get(f"/ui/q/{queue}")).text
    assert 'data-theme="dark" data-density="comfortable"' in page


class TestBehindAProxy:
    """Under a prefix, whether or not the proxy takes it off."""

    @pytest.fixture
    def app(self, store_url: str) -> API:
        return create_app(store_url, dashboard=True, prefix="/hms")

    @pytest.mark.parametrize("front", ["", "/hms"])
    async def test_all_addresses_lead_through_it(
        self, http: httpx.AsyncClient, queue: str, front: str
    ) -> None:
        page = await http.get(f"{front}/ui/q/{queue}")

        assert page.status_code == 200
        links = re.findall(r'(?:href|src|action)="(/[^"]*)"', page.text)
        assert len(links) > 10
        assert [link for link in links if not link.startswith("/hms/")] == []
        style = next(link for link in links if link.endswith("style.css"))
        assert (await http.get(front + style.removeprefix("/hms"))).status_code == 200
        assert (await http.get(f"{front}/")).headers["location"] == "/hms/ui/"
        kept = await http.post(f"{front}/ui/settings", data={"back": "/help"})
        assert kept.headers["location"] == "/hms/ui/help"
