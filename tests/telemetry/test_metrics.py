"""What is exported of queues: its form, its labels, and that asking often costs little."""

import re
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from prometheus_client.parser import text_string_to_metric_families

from hms_async import AsyncOMSClient, AsyncWorker, RetryPolicy
from hms_async.domain.counters import ENDS
from hms_async.errors import StoreUnavailable
from hms_async.storage import measure
from hms_async.storage.store import Store
from hms_async.telemetry import alerts, exported, families, grafana, metrics
from hms_async.telemetry.metrics import QueueMetrics
from hms_async.testing import memory_url, running

OPERATIONS = (Path(__file__).parents[2] / "docs/operations.md").read_text()

# What one process tells of itself, whoever serves it.
OF_PROCESSES = {
    "hms_build_info",
    "hms_store_errors_total",
    "hms_worker_loop_lag_seconds_bucket",
}
LABELS = {
    "action", "channel", "clock", "error_type", "le", "loop", "milestone", "outcome", "queue",
    "reason", "result", "state",
}  # fmt: skip
UNITS = ("_seconds", "_bytes", "_ratio", "_total")
COUNTS = {
    "hms_escalations_pending", "hms_escalations_undelivered", "hms_queue_forecast_missed_tasks",
    "hms_queue_paused", "hms_queue_slots", "hms_queue_slots_busy", "hms_queue_slots_wanted",
    "hms_queue_workers", "hms_queues_left_out", "hms_store_up", "hms_supervisor_alive",
    "hms_tasks", "hms_tasks_open",
}  # fmt: skip
NAME = re.compile(r"\bhms_[a-z_]+")


@pytest.fixture
async def store() -> AsyncGenerator[Store]:
    with memory_url() as url:
        async with Store(url) as opened:
            yield opened


@pytest.fixture
async def oms(store: Store) -> AsyncGenerator[AsyncOMSClient]:
    async with AsyncOMSClient(store=store) as client:
        yield client


def parsed(text: bytes) -> dict[str, Any]:
    return {family.name: family for family in text_string_to_metric_families(text.decode())}


def values(text: bytes, name: str) -> dict[tuple[str, ...], float]:
    """The values of one metric, by its labels but for the queue."""
    found: dict[tuple[str, ...], float] = {}
    for family in parsed(text).values():
        for sample in family.samples:
            if sample.name == name:
                labels = {k: v for k, v in sample.labels.items() if k != "queue"}
                found[tuple(labels.values())] = sample.value
    return found


async def test_names_and_labels_are_those_of_prometheus(store: Store, oms: AsyncOMSClient) -> None:
    once = RetryPolicy(max_attempts=1)
    ladder = ["80% warn,bump", "100% breach,escalate"]
    await oms.create_queue("q", sla="2h", ladder=ladder, retry=once)
    await oms.enqueue_many("q", list(range(5)))

    async def flaky(task: Any) -> None:
        if task.payload == 0:
            raise LookupError("no")

    async with running(AsyncWorker(queue="q", handler=flaky, url=store.url)):
        with anyio.fail_after(20):
            while (await oms.stats("q")).in_progress or (await oms.stats("q")).waiting:  # noqa: ASYNC110  # nothing tells
                await anyio.sleep(0.01)
        text = await QueueMetrics(store).text()

    found = parsed(text)
    assert len(found) == len(exported.OF_QUEUES) + 6
    for family in found.values():
        counter = family.type == "counter"
        name = family.name + "_total" * counter
        assert name.endswith(UNITS) or name in COUNTS
        assert name.endswith("_total") == counter
        assert family.documentation.endswith((".", "none.", "never."))
        for sample in family.samples:
            assert set(sample.labels) <= LABELS
    assert values(text, "hms_tasks_arrived_total") == {(): 5}
    assert values(text, "hms_attempts_finished_total")["ok",] == 4
    assert values(text, "hms_attempts_failed_total") == {("LookupError",): 1}
    assert values(text, "hms_task_run_seconds_count") == {(): 5}
    assert values(text, "hms_task_run_seconds_bucket")["+Inf",] == 5
    assert values(text, "hms_tasks_closed_total")["failed",] == 1
    assert values(text, "hms_tasks_sla_closed_total")["met",] == 5
    assert values(text, "hms_queue_workers") == {(): 1}
    assert set(values(text, "hms_tasks_closed_total")) == {(end,) for end in ENDS}


async def test_labels_that_others_choose_are_bounded(store: Store, oms: AsyncOMSClient) -> None:
    await oms.create_queue("q", sla="2h")
    counts = {f"sla.rung{number}": number for number in range(200)}
    for name, value in counts.items():
        await store.ask("HSET", store.keys.part("q", "counts"), name, value)

    fired = values(await QueueMetrics(store).text(), "hms_milestones_fired_total")

    assert len(fired) == families.MOST_WORDS
    assert fired["rung199",] == 199
    assert sum(fired.values()) == sum(counts.values())


async def test_text_of_foreign_hands_stays_a_label(store: Store, oms: AsyncOMSClient) -> None:
    await oms.create_queue("q")
    await store.ask("HSET", store.keys.part("q", "counts"), 'error.a"b\n\\', 1)

    assert values(await QueueMetrics(store).text(), "hms_attempts_failed_total") == {
        ('a"b\n\\',): 1
    }


class _Reads:
    """Counts reads of the store, and holds them up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = self.at_once = self.most = 0
        self.gate = anyio.Event()
        monkeypatch.setattr(metrics, "read", self._read)

    async def _read(self, store: Store) -> measure.Measurement:
        self.count += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await self.gate.wait()
        self.at_once -= 1
        return await measure.read(store)


async def test_however_many_ask_the_store_is_read_once_a_second(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, now = _Reads(monkeypatch), [100.0]
    exporter = QueueMetrics(store, clock=lambda: now[0])

    async def ask() -> None:
        assert b"hms_store_up 1.0" in await exporter.text()

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        reads.gate.set()
    now[0] += 0.9
    await ask()
    assert (reads.count, reads.most) == (1, 1)
    now[0] += 0.2
    await ask()
    assert reads.count == 2


async def test_one_that_hangs_up_leaves_the_next_to_ask(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = _Reads(monkeypatch)
    exporter = QueueMetrics(store)
    async with anyio.create_task_group() as group:
        group.start_soon(exporter.text)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    reads.gate.set()

    assert b"hms_store_up 1.0" in await exporter.text()


@pytest.mark.parametrize("silent", [False, True])
async def test_a_store_that_is_away_is_a_value_and_no_error(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    silent: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    async def away(_: Store) -> measure.Measurement:
        if silent:
            await anyio.sleep_forever()
        raise StoreUnavailable("connection refused")

    now = [100.0]
    monkeypatch.setattr(metrics, "_PATIENCE_S", 0.05)
    monkeypatch.setattr(metrics, "read", away)
    exporter = QueueMetrics(store, clock=lambda: now[0])
    text = await exporter.text()

    assert parsed(text).keys() == {"hms_store_up"}
    assert values(text, "hms_store_up") == {(): 0}
    monkeypatch.setattr(metrics, "read", measure.read)
    now[0] += 1
    assert values(await exporter.text(), "hms_store_up") == {(): 1}


async def test_queues_that_cannot_be_weighed_are_told_of_all_the_same(
    store: Store, oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> dict[str, int]:
        raise StoreUnavailable("not now")

    await oms.create_queue("q")
    monkeypatch.setattr(metrics, "weigh", fails)
    text = await QueueMetrics(store).text()

    assert values(text, "hms_store_up") == {(): 1}
    assert values(text, "hms_queue_paused") == {(): 0}


# Rules and dashboard.


def _exported() -> set[str]:
    found = {one.name: one.kind for one in exported.OF_QUEUES}
    for family in exported.families(measure.Measurement([], [], 0), {}):
        found[family.name] = family.kind
    buckets = {f"{name}_bucket" for name, kind in found.items() if kind == "histogram"}
    return {name for name, kind in found.items() if kind != "histogram"} | buckets


def _panels() -> Iterator[dict[str, Any]]:
    yield from grafana.dashboard(address="http://hms.example")["panels"]


def test_rules_and_dashboard_ask_for_what_is_exported() -> None:
    known = _exported()
    for alert in alerts.ALERTS:
        assert set(NAME.findall(alert.expr)) <= known | OF_PROCESSES, alert.name
    for panel in _panels():
        for target in panel.get("targets", []):
            assert set(NAME.findall(target["expr"])) <= known, panel["title"]


def test_each_alert_has_a_runbook() -> None:
    headings = re.findall(r"^### (Hms\w+)$", OPERATIONS, re.MULTILINE)
    assert headings == [alert.name for alert in alerts.ALERTS]


def test_each_metric_is_on_the_page() -> None:
    names = {name.removesuffix("_bucket") for name in _exported()}
    assert {name for name in names if f"`{name}`" not in OPERATIONS} == set()


def test_alerts_link_to_the_runbook_and_the_dashboard() -> None:
    text = alerts.rules(dashboard="https://hms.example/x/", runbook="https://docs.example/ops")
    assert 'runbook_url: "https://docs.example/ops#hmsnoworkers"' in text
    assert 'dashboard: "https://hms.example/x/ui/q/{{ $labels.queue }}"' in text
    assert text.count("severity: ") == text.count("summary: ") == len(alerts.ALERTS)


def test_the_dashboard_is_whole() -> None:
    panels = list(_panels())
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "$datasource"}
        assert panel["targets"]
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)
        for target in panel["targets"]:
            assert target["expr"].count("(") == target["expr"].count(")")
            assert 'queue=~"$queue"' in target["expr"] or panel["title"] == "Store"
        (link,) = panel["fieldConfig"]["defaults"]["links"]
        assert link["url"].startswith("http://hms.example/ui/q/${__field.labels.queue}?from=")
