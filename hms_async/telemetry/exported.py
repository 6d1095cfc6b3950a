"""What is exported of queues: names, meanings, labels, and where their values come from.

A label is a queue, or a word of a small set. Never a worker, a host, a task or a case: those are
for logs and traces.
"""

from collections.abc import Iterator, Mapping
from math import inf
from typing import TYPE_CHECKING, Final

from hms_async.domain import counters
from hms_async.storage.measure import Measurement
from hms_async.storage.standings import Standing
from hms_async.telemetry.families import (
    MOST_WORDS,
    Family,
    Named,
    Values,
    fields,
    gauge,
    histogram,
    prefixed,
    seconds,
    total,
    words,
)

if TYPE_CHECKING:
    from hms_async.domain.worker import WorkerCard


def _states(one: Standing) -> Mapping[str, float]:
    stats = one.stats
    return {
        "waiting": stats.waiting,
        "scheduled": stats.scheduled,
        "retrying": stats.retrying,
        "in_progress": stats.in_progress,
        "failed": stats.failed,
    }


def _clocks(one: Standing) -> Mapping[str, float]:
    """How the promises of open tasks stand; without a promise of the queue only what is known."""
    stats = one.stats
    calm = 0 if stats.sla_ms is None else max(stats.open - stats.at_risk - stats.breached, 0)
    stopped = stats.clock_stopped_ms is not None
    return {
        "on_track": 0 if stopped else calm,
        "at_risk": stats.at_risk,
        "breached": stats.breached,
        "paused": calm if stopped else 0,
    }


def _breach_s(one: Standing) -> float | None:
    forecast = one.forecast
    if not forecast.known:
        return None
    first = forecast.first_miss_ms
    return inf if first is None else (first - forecast.at_ms) / 1_000


_OUTBOX = ("done", "dead", "dropped", "folded")  # counters of actions that are no verbs
_DELIVERED = {"done": "ok", "retry": "retry", "dead": "given_up"}


def _deliveries(one: Standing) -> Values:
    for name, value in one.stats.totals.items():
        first, _, rest = name.partition(".")
        channel, _, word = rest.partition(".")
        if first == "delivery" and word in _DELIVERED:
            yield (channel, _DELIVERED[word]), value


def _sweeps(one: Standing) -> Mapping[str, float]:
    return {"sweep": (one.swept_ms or 0) / 1_000, "tidy": (one.tidied_ms or 0) / 1_000}


OF_QUEUES: Final = (
    total("hms_tasks_arrived_total", "Tasks that were accepted.", "accepted", "adopted"),
    total("hms_tasks_requeued_total", "Ended tasks that were brought back.", "requeued"),
    words(
        "hms_tasks_rejected_total",
        "Tasks that were not accepted, by why.",
        "reason",
        fields(counters.REFUSALS),
    ),
    words(
        "hms_tasks_closed_total",
        "Tasks that have ended, by how.",
        "result",
        fields({word: word for word in counters.ENDS}),
    ),
    words(
        "hms_tasks_sla_closed_total",
        "Promises that are over: met, missed, or waived.",
        "clock",
        fields({word: word for word in counters.PROMISES}),
    ),
    total("hms_attempts_started_total", "Attempts: tasks taken under a lease.", "claimed"),
    words(
        "hms_attempts_finished_total",
        "Attempts that have ended, by how.",
        "outcome",
        fields(counters.ATTEMPTS),
    ),
    words(
        "hms_attempts_failed_total",
        "Attempts that ended in an error, a time-out or a lost lease, by the type of the fault.",
        "error_type",
        prefixed("error."),
    ),
    total(
        "hms_labels_folded_total",
        "Failed attempts whose type is in _other, as the queue has too many types.",
        "folded",
    ),
    words(
        "hms_milestones_fired_total",
        "Rungs of the ladder of which a task has told.",
        "milestone",
        prefixed(
            "sla.",
            always=lambda one: [rung.name for rung in one.queue.settings.ladder[:MOST_WORDS]],
        ),
    ),
    words(
        "hms_milestone_actions_total",
        "What rungs of the ladder have asked for.",
        "action",
        prefixed("action.", but=_OUTBOX),
    ),
    Named(
        "hms_escalations_deliveries_total",
        "counter",
        "Tries to tell somebody outside, by the channel and what came of it.",
        ("queue", "channel", "outcome"),
        _deliveries,
    ),
    gauge("hms_escalations_pending", "What waits to be told outside.", lambda one: one.stats.to_do),
    gauge(
        "hms_escalations_undelivered",
        "What nobody took, and waits for an operator.",
        lambda one: one.stats.undelivered,
    ),
    words("hms_tasks", "Tasks by state; failed ones are kept.", "state", _states, kind="gauge"),
    words("hms_tasks_open", "Open tasks by their promise.", "clock", _clocks, kind="gauge"),
    gauge(
        "hms_queue_oldest_wait_seconds",
        "For how long the first in line has waited, deliberate delays not counted.",
        lambda one: (one.waited_ms or 0) / 1_000,
    ),
    gauge(
        "hms_queue_longest_run_seconds",
        "For how long the longest attempt has run, of up to a hundred.",
        lambda one: (one.ran_ms or 0) / 1_000,
    ),
    gauge(
        "hms_queue_next_due_seconds",
        "Until the most urgent open task is due; negative when it is late.",
        lambda one: None if one.due_ms is None else (one.due_ms - one.stats.now_ms) / 1_000,
    ),
    gauge(
        "hms_queue_forecast_breach_seconds",
        "Until the first promise of a waiting task will be missed; +Inf for none.",
        _breach_s,
    ),
    gauge(
        "hms_queue_forecast_missed_tasks",
        "Waiting tasks whose promise will be missed.",
        lambda one: one.forecast.misses,
    ),
    gauge(
        "hms_queue_drain_seconds",
        "Until all that waits now has ended; +Inf when nothing is served.",
        lambda one: seconds(one.forecast.drain_ms),
    ),
    gauge(
        "hms_queue_slots_wanted",
        "Slots that would keep every promise that can still be kept: for the autoscaler.",
        lambda one: one.forecast.slots_wanted,
    ),
    gauge("hms_queue_slots_busy", "Tasks under a lease.", lambda one: one.stats.in_progress),
    gauge("hms_queue_paused", "Whether the queue is paused.", lambda one: float(one.stats.paused)),
    gauge(
        "hms_queue_sla_target_seconds",
        "The promise, where there is one.",
        lambda one: seconds(one.queue.settings.sla_ms),
    ),
    gauge(
        "hms_queue_sla_goal_ratio",
        "Which share of its promises the queue is to keep.",
        lambda one: one.queue.settings.goal,
    ),
    words(
        "hms_supervisor_last_sweep_timestamp_seconds",
        "When a supervisor last looked at the queue, by the server's clock; 0 for never.",
        "loop",
        _sweeps,
        kind="gauge",
    ),
    gauge(
        "hms_supervisor_milestone_lag_seconds",
        "For how long the oldest milestone is overdue: it watches the supervisor.",
        lambda one: one.lag_ms / 1_000,
    ),
    histogram("hms_task_wait_seconds", "How long attempts had waited for a slot.", "wait"),
    histogram("hms_task_run_seconds", "How long attempts ran.", "run"),
    histogram("hms_task_total_seconds", "From arrival to done.", "total"),
    histogram("hms_task_sla_used_ratio", "Which share of their promise tasks used.", "used"),
)


def families(found: Measurement, weights: Mapping[str, int]) -> Iterator[Family]:
    """Yield every metric with its values.

    Args:
        found: What was measured.
        weights: Bytes of each queue, as far as known.
    """
    yield _up(1)
    for one in OF_QUEUES:
        samples = [
            ((queue.name, *labels), value)
            for queue in found.queues
            for labels, value in one.values(queue)
        ]
        yield Family(one.name, one.kind, one.meaning, one.labels, samples)
    yield from _capacity(found)
    yield Family(
        "hms_queue_memory_bytes",
        "gauge",
        "About what the queue takes in the server, sampled once a minute.",
        ("queue",),
        [((queue.name,), weights[queue.name]) for queue in found.queues if queue.name in weights],
    )
    yield Family(
        "hms_supervisor_alive",
        "gauge",
        "Supervisors that have tidied up a queue within 75 seconds.",
        (),
        [((), len(found.supervisors))],
    )
    yield Family(
        "hms_queues_left_out",
        "gauge",
        "Queues that could not be read, or are too many to be measured.",
        (),
        [((), found.left_out)],
    )


def away() -> Iterator[Family]:
    """Yield what can be said while the store does not answer."""
    yield _up(0)


def _up(value: float) -> Family:
    return Family("hms_store_up", "gauge", "Whether the store answers.", (), [((), value)])


def _capacity(found: Measurement) -> Iterator[Family]:
    """Who works for each queue; a worker of several queues counts with all of its slots in each."""
    serving: dict[str, list[WorkerCard]] = {queue.name: [] for queue in found.queues}
    for worker in found.workers:
        for name in worker.queues:
            if name in serving:
                serving[name].append(worker)
    yield Family(
        "hms_queue_workers",
        "gauge",
        "Workers that serve the queue.",
        ("queue",),
        [((name,), len(workers)) for name, workers in serving.items()],
    )
    yield Family(
        "hms_queue_slots",
        "gauge",
        "Slots of the workers that serve the queue, those shared with others included.",
        ("queue",),
        [((name,), sum(one.slots or 0 for one in workers)) for name, workers in serving.items()],
    )
