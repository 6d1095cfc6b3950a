"""The panels of the dashboard for Grafana: what they show, and how it is asked for.

Several processes may be scraped, and tell the same of queues: so panels take the greatest of what
they say.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

_QUEUE: Final = 'queue=~"$queue"'


class Panel(NamedTuple):
    """One panel.

    Attributes:
        title: Its title.
        meaning: What it shows.
        exprs: What is asked, in PromQL, each with its legend.
        unit: How Grafana writes the values.
        kind: `timeseries`, or `stat` for one large number.
        limits: From which value on it has which colour.
    """

    title: str
    meaning: str
    exprs: Sequence[tuple[str, str]]
    unit: str = "short"
    kind: str = "timeseries"
    limits: Sequence[tuple[float | None, str]] = ()


def _largest(metric: str, *matchers: str, by: str = "queue") -> str:
    return f"max by ({by}) ({metric}{{{','.join((_QUEUE, *matchers))}}})"


def _rate(metric: str, *matchers: str, by: str = "queue") -> str:
    return f"max by ({by}) (rate({metric}{{{','.join((_QUEUE, *matchers))}}}[$__rate_interval]))"


def _quantile(share: float, metric: str) -> str:
    return f"histogram_quantile({share}, {_rate(f'{metric}_bucket', by='queue, le')})"


def _increase(matcher: str, span: str) -> str:
    labels = f"{_QUEUE},{matcher}"
    return f"sum(max by (queue) (increase(hms_tasks_sla_closed_total{{{labels}}}[{span}])))"


_MISSED, _MET, _BREACHED, _AT_RISK = (
    f'clock="{word}"' for word in ("missed", "met", "breached", "at_risk")
)
_KEPT: Final = (
    f"{_increase(_MET, '28d')} / ({_increase(_MET, '28d')} + {_increase(_MISSED, '28d')})"
)
_PROMISE: Final = _largest("hms_queue_sla_target_seconds")
_GOAL: Final = f"avg({_largest('hms_queue_sla_goal_ratio')})"
_GOOD_BELOW_1: Final = ((None, "green"), (1, "red"))

ROWS: Final[Sequence[tuple[str, Sequence[Panel]]]] = (
    (
        "Promises",
        (
            Panel(
                "Kept, 28 d",
                "The share of promises kept in four weeks.",
                [(_KEPT, "kept")],
                "percentunit",
                "stat",
                ((None, "red"), (0.95, "orange"), (0.99, "green")),
            ),
            Panel(
                "Budget left, 28 d",
                "How much of the misses that the goals allow are left.",
                [(f"1 - (1 - {_KEPT}) / (1 - {_GOAL})", "left")],
                "percentunit",
                "stat",
                ((None, "red"), (0, "orange"), (0.25, "green")),
            ),
            Panel(
                "Late now",
                "Open tasks past due.",
                [(f"sum({_largest('hms_tasks_open', _BREACHED)})", "late")],
                "short",
                "stat",
                _GOOD_BELOW_1,
            ),
            Panel(
                "At risk",
                "Open tasks past 80 % of their promise.",
                [(f"sum({_largest('hms_tasks_open', _AT_RISK)})", "at risk")],
                "short",
                "stat",
                ((None, "green"), (1, "orange")),
            ),
            Panel(
                "Worst time left",
                "Until the most urgent task of all is due; negative when it is late.",
                [(f"min({_largest('hms_queue_next_due_seconds')})", "left")],
                "s",
                "stat",
                ((None, "red"), (0, "orange"), (300, "green")),
            ),
            Panel(
                "Next miss foreseen",
                "Until a promise will be missed, as the queues are served now.",
                [(f"min({_largest('hms_queue_forecast_breach_seconds')})", "in")],
                "s",
                "stat",
                ((None, "red"), (900, "orange"), (3600, "green")),
            ),
        ),
    ),
    (
        "In and out",
        (
            Panel(
                "In against out",
                "Tasks that arrive (above) and end (below) a second.",
                [
                    (_rate("hms_tasks_arrived_total"), "{{queue}} in"),
                    (
                        f"-sum by (queue) ({_rate('hms_tasks_closed_total', by='queue, result')})",
                        "{{queue}} out",
                    ),
                ],
                "ops",
            ),
            Panel(
                "Open tasks",
                "By state.",
                [
                    (
                        _largest("hms_tasks", 'state!="failed"', by="queue, state"),
                        "{{queue}} {{state}}",
                    )
                ],
            ),
            Panel(
                "Oldest wait",
                "For how long the first in line has waited.",
                [(_largest("hms_queue_oldest_wait_seconds"), "{{queue}}")],
                "s",
            ),
        ),
    ),
    (
        "Waiting against the promise",
        (
            Panel(
                "Wait p95 over the promise",
                "1 means that waiting alone takes as long as was promised: one scale for all.",
                [
                    (
                        f"{_quantile(0.95, 'hms_task_wait_seconds')} / on (queue) {_PROMISE}",
                        "{{queue}}",
                    )
                ],
                "percentunit",
            ),
            Panel(
                "Run p95",
                "How long attempts run.",
                [(_quantile(0.95, "hms_task_run_seconds"), "{{queue}}")],
                "s",
            ),
            Panel(
                "Share of the promise used",
                "p50 and p99 of tasks that have ended.",
                [
                    (
                        _quantile(share, "hms_task_sla_used_ratio"),
                        f"{{{{queue}}}} p{share * 100:g}",
                    )
                    for share in (0.5, 0.99)
                ],
                "percentunit",
            ),
        ),
    ),
    (
        "Capacity",
        (
            Panel(
                "Slots: busy, there, wanted",
                "Wanted are those that would keep each promise that can be kept.",
                [
                    (_largest("hms_queue_slots_busy"), "{{queue}} busy"),
                    (_largest("hms_queue_slots"), "{{queue}} there"),
                    (_largest("hms_queue_slots_wanted"), "{{queue}} wanted"),
                ],
            ),
            Panel(
                "Workers",
                "Those that serve each queue.",
                [(_largest("hms_queue_workers"), "{{queue}}")],
            ),
            Panel(
                "Longest run",
                "For how long the longest attempt has run.",
                [(_largest("hms_queue_longest_run_seconds"), "{{queue}}")],
                "s",
            ),
        ),
    ),
    (
        "Failures",
        (
            Panel(
                "Failed attempts by type",
                "By the type of the fault.",
                [
                    (
                        _rate("hms_attempts_failed_total", by="queue, error_type"),
                        "{{queue}} {{error_type}}",
                    )
                ],
                "ops",
            ),
            Panel(
                "Attempts by outcome",
                "How attempts end that do not end well.",
                [
                    (
                        _rate("hms_attempts_finished_total", 'outcome!="ok"', by="queue, outcome"),
                        "{{queue}} {{outcome}}",
                    )
                ],
                "ops",
            ),
            Panel(
                "Refused",
                "Tasks that were not accepted.",
                [(_rate("hms_tasks_rejected_total", by="queue, reason"), "{{queue}} {{reason}}")],
                "ops",
            ),
        ),
    ),
    (
        "Supervisor and store",
        (
            Panel(
                "Since the last sweep",
                "More than a few seconds, and nobody watches.",
                [
                    (
                        "time() - "
                        + _largest("hms_supervisor_last_sweep_timestamp_seconds", 'loop="sweep"'),
                        "{{queue}}",
                    )
                ],
                "s",
            ),
            Panel(
                "Milestone lag",
                "For how long the oldest milestone is overdue.",
                [(_largest("hms_supervisor_milestone_lag_seconds"), "{{queue}}")],
                "s",
            ),
            Panel(
                "Escalations",
                "What waits to be told, and what nobody took.",
                [
                    (_largest("hms_escalations_pending"), "{{queue}} pending"),
                    (_largest("hms_escalations_undelivered"), "{{queue}} undelivered"),
                ],
            ),
            Panel(
                "Memory",
                "What queues take in the server.",
                [(_largest("hms_queue_memory_bytes"), "{{queue}}")],
                "bytes",
            ),
            Panel(
                "Store",
                "Whether it answers, and how many supervisors live.",
                [
                    ("max(hms_store_up)", "store up"),
                    ("max(hms_supervisor_alive)", "supervisors"),
                ],
            ),
        ),
    ),
)
