"""What a process says of its health, and its metrics, judged by what it has noted of itself."""

import json
import time
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from anyio import to_thread
from prometheus_client.parser import text_string_to_metric_families

from hms_async import AsyncOMSClient, Task
from hms_async.errors import StoreProtocol, StoreRefused, StoreUnavailable
from hms_async.runtime import bell, carrier
from hms_async.runtime import health as health_module
from hms_async.runtime.health import READY_WITHIN_S, Health, Outlook, hindrance_of
from hms_async.storage.traffic import Traffic
from hms_async.telemetry.address import Bind
from hms_async.telemetry.process_metrics import ProcessMetrics
from hms_async.telemetry.vitals import Vitals
from tests.runtime.support import answered, feeds_of, until, worker
from tests.servers import Raw


@pytest.fixture
def vitals() -> Vitals:
    vitals = Vitals()
    vitals.heard()
    return vitals


def test_what_has_begun_and_was_heard_of_lately_is_ready(vitals: Vitals) -> None:
    health = Health(vitals)
    assert (health.why_not_live(), health.why_not_ready()) == ("", "starting")
    health.started = True
    assert health.why_not_ready() == ""
    vitals.heard_at = None
    assert health.why_not_ready() == "the store has not answered yet"


def test_a_store_that_fell_silent_is_named(vitals: Vitals) -> None:
    health = Health(vitals)
    health.started = True
    vitals.heard_at = time.monotonic() - READY_WITHIN_S
    assert health.why_not_ready() == "no word: the store's last answer is 5 s old"
    assert health.why_not_live() == ""


def test_a_loop_that_stands_still_is_named_whatever_else_is_wrong(vitals: Vitals) -> None:
    health = Health(vitals, stall_limit_s=60, draining=lambda: True)
    vitals.turned_at = time.monotonic() - 61
    assert health.why_not_live() == "the event loop has stood still for 61 s"
    assert health.why_not_ready() == health.why_not_live()
    vitals.turned_at = time.monotonic()
    health.started = True
    assert (health.why_not_live(), health.why_not_ready()) == ("", "draining")
    assert health.status()["reason"] == "draining"


def test_the_metrics_are_what_was_noted_and_can_be_read() -> None:
    vitals, traffic = Vitals(), Traffic()
    vitals.lag.observe(0.0005)
    vitals.lag.observe(0.05)  # a bound itself belongs to its bucket
    vitals.lag.observe(60)
    vitals.pops["hit"] += 3
    traffic.failed(StoreUnavailable("gone"))
    traffic.failed(StoreRefused("no right"))
    traffic.answered("exchange", time.monotonic())
    text = ProcessMetrics(vitals, traffic, lambda: (10, 4)).text().decode()
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["hms_worker_slots",] == 10
    assert found["hms_worker_slots_busy",] == 4
    assert found["hms_worker_pops_total", "hit"] == 3
    assert found["hms_store_errors_total", "unavailable"] == 1
    assert found["hms_store_errors_total", "refused"] == 1
    assert found["hms_store_command_seconds_count", "exchange"] == 1
    lag = "hms_worker_loop_lag_seconds_bucket"
    assert (found[lag, "0.01"], found[lag, "0.05"], found[lag, "+Inf"]) == (1, 2, 3)


def test_who_runs_no_tasks_has_no_slots_to_tell_of() -> None:
    assert b"hms_worker_slots" not in ProcessMetrics(Vitals(), Traffic()).text()


@pytest.mark.parametrize("store_url", ["valkey"], indirect=True)
async def test_a_worker_of_which_every_queue_is_gone_is_not_ready(
    oms: AsyncOMSClient, raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "WAIT_S", 0.1)
    monkeypatch.setattr(carrier, "_FAULT_REST_S", 0.1)
    await oms.create_queue("q")
    async with worker(oms.url, work, health_port=0, supervise=False) as one:

        def ready() -> tuple[bool, str]:
            try:
                with urlopen(one.shown_at["ready"], timeout=5) as answer:  # noqa: S310
                    found = json.load(answer)
            except HTTPError as error:
                with error:
                    found = json.load(error)
            return found["ok"], found["reason"]

        await until(lambda: ready() == (True, ""))
        raw("DEL", "queue:q:config")
        await until(lambda: ready() == (False, "no queue can be served: q is gone"))
        await oms.create_queue("q")
        await until(lambda: ready() == (True, ""))


def test_a_queue_whose_script_fails_is_broken_and_hinders_if_it_is_the_only_one() -> None:
    one, other = feeds_of("a", "b")
    one.rest(1.0, broken=StoreProtocol("a key of a wrong type"))
    assert [feed.state for feed in (one, other)] == ["broken", "open"]
    assert hindrance_of([one]) == "no queue can be served: a is broken"
    assert hindrance_of([one, other]) == ""
    one.learn(answered())
    assert (one.state, hindrance_of([one])) == ("open", "")


async def work(_task: Task[object]) -> None: ...


async def test_what_the_loop_makes_stands_beside_the_own_metrics_unless_it_is_blocked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health_module, "_LONGEST_S", 0.05)

    async def of_queues() -> bytes:
        return b"hms_tasks 3\n"

    def scrape(url: str) -> bytes:
        with urlopen(url, timeout=5) as answer:  # noqa: S310
            return bytes(answer.read())

    outlook = Outlook(Traffic(), also=of_queues)
    with outlook.shown(health=None, metrics=Bind("127.0.0.1", 0)) as urls:
        text = await to_thread.run_sync(scrape, urls["metrics"])
        assert b"hms_build_info" in text
        assert text.endswith(b"hms_tasks 3\n")
        text = scrape(urls["metrics"])  # in the loop, which is blocked meanwhile
        assert b"hms_build_info" in text
        assert text.endswith(b"# the event loop did not answer in time\n")
