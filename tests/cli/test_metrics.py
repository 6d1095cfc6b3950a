import json
import sys

import pytest

from hms_async.telemetry.alerts import ALERTS
from tests.cli.conftest import Hms


def test_print_gives_the_metrics_of_all_queues(hms: Hms, url: str) -> None:
    hms("queue", "create", "mail", "--sla", "2h")
    hms("job", "push", "mail", "--data", "1")
    done = hms("metrics", "print")

    assert done.exit_code == 0, url
    assert 'hms_tasks_arrived_total{queue="mail"} 1.0\n' in done.stdout
    assert 'hms_queue_sla_target_seconds{queue="mail"} 7200.0\n' in done.stdout
    assert done.stderr == ""


def test_print_says_when_nobody_is_there(hms: Hms) -> None:
    done = hms("metrics", "print", "-u", "redis://127.0.0.1:1/0")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "no server at redis://127.0.0.1:1/0" in done.stderr


def test_print_says_what_to_install(hms: Hms, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    done = hms("metrics", "print", "-u", url)
    assert done.exit_code == 2
    assert 'pip install "hms-async[metrics]"' in done.stderr


def test_rules_and_the_dashboard_need_no_server_and_link_where_they_are_told(hms: Hms) -> None:
    where = ("--dashboard", "https://hms.example/")
    rules = hms("metrics", "rules", *where, "--runbook", "https://docs.example/ops")
    assert rules.stdout.count("- alert: ") == len(ALERTS)
    assert "https://docs.example/ops#hmsstoredown" in rules.stdout

    dashboard = json.loads(hms("metrics", "grafana", *where).stdout)
    panels = [one for one in dashboard["panels"] if one["type"] != "row"]
    assert len(panels) > 20
    assert "https://hms.example/ui/q/" in json.dumps(panels)


def test_the_environment_says_where_links_lead(hms: Hms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMS_DASHBOARD", "https://set.example")
    assert "https://set.example/ui/q/" in hms("metrics", "rules").stdout
