"""Alert rules for Prometheus, over the metrics that this package exports.

Several processes may be scraped, and tell the same of queues: so a rule takes the greatest of what
they say. Each alert has a heading of its name in `docs/operations.md`.
"""

import json
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

Severity = Literal["info", "warning", "critical"]


class Alert(NamedTuple):
    """One rule.

    Attributes:
        name: Of the alert, and of its heading in the runbook.
        expr: When it is pending, in PromQL.
        lasts: For how long that must be so until it fires.
        severity: Whether somebody is to be woken (`critical`), to look today, or to know.
        summary: One line for people; a template of Prometheus.
        of_queue: Whether it has a label `queue`, and so a page of the dashboard.
    """

    name: str
    expr: str
    lasts: str
    severity: Severity
    summary: str
    of_queue: bool = True


def _missed_share(span: str) -> str:
    missed, closed = (
        f'sum by (queue) (increase(hms_tasks_sla_closed_total{{clock=~"{words}"}}[{span}]))'
        for words in ("missed", "met|missed")
    )
    return f"{missed} / {closed}"


def _burns(factor: float, long: str, short: str) -> str:
    allowed = f"on (queue) {factor:g} * (1 - max by (queue) (hms_queue_sla_goal_ratio))"
    return (
        f"({_missed_share(long)} > {allowed})\nand on (queue) ({_missed_share(short)} > {allowed})"
    )


_WAITING: Final = 'max by (queue) (hms_tasks{state="waiting"}) > 0'
_NOT_PAUSED: Final = "unless on (queue) max by (queue) (hms_queue_paused) == 1"
_FAILED: Final = 'max by (queue) (increase(hms_tasks_closed_total{result="failed"}[30m]))'

ALERTS: Final = (
    Alert(
        "HmsPromiseBurnFast",
        _burns(14.4, "1h", "5m"),
        "2m",
        "critical",
        "{{ $labels.queue }} breaks its promise for {{ $value | humanizePercentage }} of its "
        "tasks: at this pace two days use up the misses of four weeks",
    ),
    Alert(
        "HmsPromiseBurnSlow",
        _burns(6, "6h", "30m"),
        "15m",
        "warning",
        "{{ $labels.queue }} has broken its promise for {{ $value | humanizePercentage }} of its "
        "tasks in six hours: at this pace five days use up the misses of four weeks",
    ),
    Alert(
        "HmsBreachForecast",
        f"max by (queue) (hms_queue_forecast_breach_seconds) < 900\n{_NOT_PAUSED}",
        "3m",
        "warning",
        "{{ $labels.queue }} will miss its promise in {{ $value | humanizeDuration }} "
        "unless it is served faster",
    ),
    Alert(
        "HmsQueueStalled",
        f"{_WAITING}\n"
        "unless on (queue) sum by (queue) (increase(hms_attempts_started_total[5m])) > 0\n"
        f"{_NOT_PAUSED}",
        "5m",
        "critical",
        "{{ $value }} tasks wait in {{ $labels.queue }}, and none has been started for minutes",
    ),
    Alert(
        "HmsNoWorkers",
        f"{_WAITING}\nand on (queue) max by (queue) (hms_queue_workers) == 0\n{_NOT_PAUSED}",
        "2m",
        "critical",
        "{{ $value }} tasks wait in {{ $labels.queue }}, and no worker serves it",
    ),
    Alert(
        "HmsSupervisorSilent",
        'time() - max by (queue) (hms_supervisor_last_sweep_timestamp_seconds{loop="sweep"}) > 30',
        "1m",
        "critical",
        "nobody has watched the clocks of {{ $labels.queue }} for {{ $value | humanizeDuration }}: "
        "nothing is rescued, retried or escalated",
    ),
    Alert(
        "HmsMilestoneLag",
        "max by (queue) (hms_supervisor_milestone_lag_seconds) > 10",
        "1m",
        "warning",
        "a milestone of {{ $labels.queue }} is {{ $value | humanizeDuration }} overdue, and nobody "
        "has told of it",
    ),
    Alert(
        "HmsFailedGrowing",
        f"{_FAILED} > 5\n"
        f"and on (queue) {_FAILED}\n"
        "/ sum by (queue) (max by (queue, result) (increase(hms_tasks_closed_total[30m]))) > 0.05",
        "5m",
        "warning",
        "{{ $value | humanize }} tasks of {{ $labels.queue }} have failed for good in half an hour",
    ),
    Alert(
        "HmsEscalationsUndelivered",
        "max by (queue) (hms_escalations_undelivered) > 0",
        "1m",
        "warning",
        "{{ $value }} messages of {{ $labels.queue }} have reached nobody",
    ),
    Alert(
        "HmsStoreDown",
        "max by (job) (hms_store_up) == 0",
        "1m",
        "critical",
        "the store does not answer: nothing is accepted, and nothing runs on",
        of_queue=False,
    ),
    Alert(
        "HmsStoreErrors",
        "sum by (job, kind) (rate(hms_store_errors_total[5m])) > 0.1",
        "5m",
        "warning",
        "calls to the store fail ({{ $labels.kind }}), {{ $value | humanize }} a second",
        of_queue=False,
    ),
    Alert(
        "HmsLoopBlocked",
        "histogram_quantile(0.99, sum by (job, instance, le) "
        "(rate(hms_worker_loop_lag_seconds_bucket[5m]))) > 1",
        "5m",
        "warning",
        "something blocks the event loop of {{ $labels.instance }} for "
        "{{ $value | humanizeDuration }} at a time",
        of_queue=False,
    ),
    Alert(
        "HmsMixedVersions",
        "count(count by (version) (hms_build_info)) > 1",
        "1h",
        "info",
        "{{ $value }} versions of hms_async have been running side by side for an hour",
        of_queue=False,
    ),
)


def rules(*, dashboard: str, runbook: str) -> str:
    """Return the rules as a file for Prometheus.

    Args:
        dashboard: Where the dashboard is: alerts of a queue link to its page.
        runbook: Where `docs/operations.md` can be read: alerts link to their heading there.
    """
    return "\n".join(_lines(dashboard.rstrip("/"), runbook)) + "\n"


def _lines(dashboard: str, runbook: str) -> Iterator[str]:
    yield "# Made by `hms metrics rules`; check it with `promtool check rules`."
    yield "groups:"
    yield "  - name: hms"
    yield "    rules:"
    for alert in ALERTS:
        page = f"{dashboard}/ui/q/{{{{ $labels.queue }}}}" if alert.of_queue else f"{dashboard}/ui/"
        yield f"      - alert: {alert.name}"
        yield "        expr: |-"
        yield from (f"          {line}" for line in alert.expr.splitlines())
        yield f"        for: {alert.lasts}"
        yield "        labels:"
        yield f"          severity: {alert.severity}"
        yield "        annotations:"
        yield f"          summary: {_quoted(alert.summary)}"
        yield f"          dashboard: {_quoted(page)}"
        yield f"          runbook_url: {_quoted(f'{runbook}#{alert.name.lower()}')}"


def _quoted(text: str) -> str:
    # A JSON text is a YAML text.
    return json.dumps(text)
