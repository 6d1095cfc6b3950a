"""A real Prometheus, from Debian's package, scrapes a system at work."""

import re
import shutil
import socket
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from benchmarks.faults.workers import Workers as Processes
from hms_async import AsyncOMSClient
from hms_async.telemetry import alerts, grafana
from tests.process.rest import Server
from tests.process.support import eventually

pytestmark = [pytest.mark.process, pytest.mark.prometheus, pytest.mark.timeout(120)]

CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: hms
    authorization: {{credentials_file: token}}
    static_configs: [{{targets: ["{target}"]}}]
"""


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"prometheus: no {name} on PATH; apt-get install prometheus")
    return found


class Prometheus:
    """One that runs, and what it says."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str, **params: str) -> Any:
        """What it answers; nothing while it does not."""
        try:
            answer = httpx.get(f"http://{self.address}/api/v1/{path}", params=params, timeout=5)
        except httpx.TransportError:
            return None
        return answer.json()["data"] if answer.status_code == 200 else None

    def value(self, query: str) -> float | None:
        found: Any = self.get("query", query=query)
        return float(found["result"][0]["value"][1]) if found and found["result"] else None

    def firing(self) -> dict[str, Any]:
        found: Any = self.get("alerts")
        told: list[Any] = found["alerts"] if found else []
        return {one["labels"]["alertname"]: one for one in told if one["state"] == "firing"}


@pytest.fixture
def processes(url: str, tmp_path: Path) -> Generator[Processes]:
    processes = Processes(url, tmp_path)
    yield processes
    processes.close()


@pytest.fixture
def prometheus(processes: Processes, tmp_path: Path) -> Generator[tuple[Prometheus, Server]]:
    """One that scrapes `hms api`, with the rules as they are but for how long they wait."""
    binary = program("prometheus")
    api = Server(processes)
    rules = alerts.rules(dashboard="http://hms.example", runbook="http://docs.example/ops")
    (tmp_path / "rules.yml").write_text(re.sub(r" for: \w+", " for: 1s", rules))
    (tmp_path / "prometheus.yml").write_text(CONFIG.format(target=urlsplit(api.url).netloc))
    (tmp_path / "token").write_text("none yet")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [
        binary,
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (
        (tmp_path / "prometheus.log").open("w") as log,
        subprocess.Popen(command, stderr=log, stdout=log) as running,  # noqa: S603
    ):
        try:
            yield Prometheus(address), api
        finally:
            running.terminate()


async def test_an_alert_fires_before_a_promise_is_broken(
    oms: AsyncOMSClient,
    processes: Processes,
    prometheus: tuple[Prometheus, Server],
    tmp_path: Path,
) -> None:
    server, api = prometheus
    await oms.create_queue("photo", sla="60s")
    _, token = await oms.tokens.create(["viewer"])
    (tmp_path / "token").write_text(token)
    await oms.enqueue_many("photo", [{"s": 0.4}] * 400)
    processes.run(queue="photo", slots=1)

    eventually(lambda: "HmsBreachForecast" in server.firing(), "the alert fires")

    # Nobody is late, and somebody has been told.
    assert server.value('sum(hms_tasks_open{clock="breached"})') == 0
    alert = server.firing()["HmsBreachForecast"]
    assert alert["labels"]["queue"] == "photo"
    assert alert["labels"]["severity"] == "warning"
    assert alert["annotations"]["dashboard"] == "http://hms.example/ui/q/photo"
    assert alert["annotations"]["runbook_url"] == "http://docs.example/ops#hmsbreachforecast"
    assert "photo will miss its promise in" in alert["annotations"]["summary"]
    # Others have waited for so short a time here that a first scrape could set them off.
    eventually(lambda: set(server.firing()) == {"HmsBreachForecast"}, "no other alert is left")

    rules = [rule for group in server.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == {one.name for one in alerts.ALERTS}
    assert {(rule["health"], rule.get("lastError")) for rule in rules} == {("ok", None)}
    assert server.value("hms_supervisor_alive") == 1
    assert server.value('hms_queue_workers{queue="photo"}') == 1
    assert (server.value('hms_queue_slots_wanted{queue="photo"}') or 0) > 1
    _the_dashboard_asks_what_can_be_answered(server)

    api.process.kill()
    eventually(lambda: server.value("up") == 0, "the scrape fails")


def _the_dashboard_asks_what_can_be_answered(server: Prometheus) -> None:
    for panel in grafana.dashboard(address="http://hms.example")["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"].replace("$queue", ".*").replace("$__rate_interval", "1m")
            assert server.get("query", query=query) is not None, query


async def test_promtool_finds_nothing_wrong(
    oms: AsyncOMSClient, processes: Processes, tmp_path: Path
) -> None:
    promtool = program("promtool")
    await oms.create_queue("photo", sla="60s")
    printed = tmp_path / "rules.yml"
    rules = processes.hms("metrics", "rules")
    text = processes.hms("metrics", "print")
    assert (rules.join(20), text.join(20)) == (0, 0)
    printed.write_bytes(rules.log.read_bytes())

    checked = subprocess.run(  # noqa: ASYNC221, S603  # nothing else runs
        [promtool, "check", "rules", printed], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert f"{len(alerts.ALERTS)} rules found" in checked.stdout
    linted = subprocess.run(  # noqa: ASYNC221, S603
        [promtool, "check", "metrics"],
        input=text.log.read_bytes(),
        capture_output=True,
        check=False,
    )
    assert (linted.returncode, linted.stderr) == (0, b"")
