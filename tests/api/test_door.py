"""What is refused before a route is asked, and what every answer says."""

import httpx
import pytest

from hms_async import AsyncOMSClient
from hms_async.api.app import API, create_app
from hms_async.api.door import is_loopback
from tests.api.support import is_problem


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8470", "[::1", ""])
async def test_a_foreign_host_is_not_served(http: httpx.AsyncClient, host: str) -> None:
    answer = await http.get("/oms/stats", headers={"Host": host})

    is_problem(answer, 421, "HMS-E083")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "hms-act.local", "[::1]:8470"])
async def test_names_of_this_machine_are_served(http: httpx.AsyncClient, host: str) -> None:
    assert (await http.get("/oms/stats", headers={"Host": host})).status_code == 200


async def test_a_page_of_another_origin_changes_nothing(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    url = f"/oms/queues/{queue}/pause"
    for origin in ("https://evil.example", "null"):
        is_problem(await http.post(url, headers={"Origin": origin}), 403, "HMS-E084")
    assert not (await oms.get_queue(queue)).paused

    own = {"Origin": "http://localhost:8470", "Host": "localhost:8470"}
    assert (await http.post(url, headers=own)).status_code == 200


class TestSmallBodies:
    @pytest.fixture
    def app(self, store_url: str) -> API:
        return create_app(store_url, largest_body=1_000)

    async def test_a_large_body_is_refused(self, http: httpx.AsyncClient, queue: str) -> None:
        body = b'{"queue": "q", "payload": "' + b"x" * 2_000 + b'"}'

        async def in_pieces() -> object:
            for _ in range(20):
                yield b"x" * 100

        is_problem(await http.post("/oms/enqueue", content=body), 413, "HMS-E081")
        pieces = await http.post("/oms/enqueue", content=in_pieces())  # type: ignore[arg-type]
        is_problem(pieces, 413, "HMS-E081")
        assert queue == "q"


async def test_every_answer_is_dressed(http: httpx.AsyncClient) -> None:
    for path in ("/live", "/oms/stats", "/nowhere", "/oms/docs"):
        headers = (await http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers


async def test_unknown_paths_and_methods(http: httpx.AsyncClient) -> None:
    is_problem(await http.get("/oms/nothing"), 404, "HMS-E000")
    answer = await http.get("/oms/pop")
    is_problem(answer, 405, "HMS-E000")
    assert answer.headers["allow"] == "POST"


async def test_health(http: httpx.AsyncClient, app: API) -> None:
    assert (await http.get("/live")).json() == {"ok": True, "reason": ""}
    assert (await http.get("/ready")).status_code == 200
    status = (await http.get("/status")).json()
    assert (status["ready"], status["caller"]) == (True, "loopback")

    app.house.stop()
    draining = await http.get("/ready")
    assert (draining.status_code, draining.json()["reason"]) == (503, "draining")
    assert (await http.get("/live")).status_code == 200


async def test_the_reference_needs_nothing_from_outside(http: httpx.AsyncClient) -> None:
    document = (await http.get("/oms/openapi.json")).json()
    page = (await http.get("/oms/docs")).text

    assert document["openapi"].startswith("3.1")
    assert "HTTPValidationError" not in str(document)
    for path in document["paths"]:
        assert path in page
    assert "src=" not in page
    assert "https://" not in page


class TestBehindAProxy:
    @pytest.fixture
    def app(self, store_url: str) -> API:
        return create_app(store_url, prefix="/hms")

    async def test_it_is_served_with_and_without_the_prefix(self, http: httpx.AsyncClient) -> None:
        assert (await http.get("/hms/oms/stats")).status_code == 200
        assert (await http.get("/oms/stats")).status_code == 200
        assert 'href="/hms/oms/openapi.json"' in (await http.get("/oms/docs")).text


@pytest.mark.parametrize(
    ("address", "ours"),
    [
        ("127.0.0.1", True),
        ("127.9.8.7", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("::1234", False),
        ("::ffff:192.0.2.1", False),
        ("192.0.2.1", False),
        ("127.example.org", False),
        ("", False),
    ],
)
def test_only_this_machines_own_addresses_are_trusted(address: str, ours: bool) -> None:  # noqa: FBT001
    assert is_loopback(address) is ours


async def test_requests_are_timed_by_their_route_and_never_by_their_path(
    http: httpx.AsyncClient, app: API, queue: str
) -> None:
    await http.get(f"/oms/queues/{queue}")
    await http.get("/oms/queues/nowhere")
    for path in ("/a", "/b", "/c"):
        await http.request("FETCH", path)
    counts = {kind: sum(one.counts) for kind, one in app.house.vitals.requests.items()}
    assert counts == {
        ("/oms/queues/{queue}", "GET", "2xx"): 1,
        ("/oms/queues/{queue}", "GET", "4xx"): 1,
        ("other", "other", "4xx"): 3,
    }
