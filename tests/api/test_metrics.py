"""`/metrics`, as Prometheus meets it."""

import sys

import httpx
import pytest

from hms_async import AsyncOMSClient
from hms_async.errors import StoreUnavailable
from hms_async.storage.measure import Measurement
from hms_async.storage.store import Store
from hms_async.telemetry import metrics
from hms_async.telemetry.writing import CONTENT_TYPE
from tests.api.support import is_problem, token


async def test_metrics_are_text_for_prometheus(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await oms.enqueue(queue, 1)
    answer = await http.get("/metrics")

    assert (answer.status_code, answer.headers["content-type"]) == (200, CONTENT_TYPE)
    assert 'hms_tasks_arrived_total{queue="q"} 1.0' in answer.text


async def test_a_viewer_of_some_queues_does_not_see_all(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    everywhere = await token(oms, "viewer")
    somewhere = await token(oms, "viewer", queues=[f"{queue}*"])

    assert (await http.get("/metrics", headers=everywhere)).status_code == 200
    is_problem(await http.get("/metrics", headers=somewhere), 403, "HMS-E073")
    is_problem(await http.get("/metrics"), 401)


async def test_a_store_that_is_away_is_a_value(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: Store) -> Measurement:
        raise StoreUnavailable("connection refused")

    monkeypatch.setattr(metrics, "read", away)
    answer = await http.get("/metrics")

    assert answer.status_code == 200
    assert "hms_store_up 0.0" in answer.text.splitlines()
    assert "hms_tasks" not in answer.text


async def test_without_the_library_it_says_what_to_install(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    problem = is_problem(await http.get("/metrics"), 501)
    assert 'pip install "hms-async[metrics]"' in problem["detail"]
