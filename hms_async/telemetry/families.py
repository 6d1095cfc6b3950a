"""What is exported of queues: names, meanings and labels, and the values that a measurement has.

A label is a queue, or a word of a small set. Never a worker, a host, a task or a case: those are
for logs and traces.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import inf
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from hms_async.domain import counters
from hms_async.storage.measure import Measurement, QueueMeasures

if TYPE_CHECKING:
    from hms_async.domain.worker import WorkerCard

MOST_WORDS: Final = 51
"""Values of a label that others choose; the rest is in `_other`."""

Kind = Literal["counter", "gauge", "histogram"]


class Buckets(NamedTuple):
    """A histogram: how many values were not above each bound, and what all sum up to."""

    upto: list[tuple[str, int]]
    sum: float


class Family(NamedTuple):
    """A metric.

    Attributes:
        name: Its name, that of a counter with `_total`.
        kind: What it is.
        meaning: For whoever sees it.
        labels: The names of its labels.
        samples: Values of the labels, and the value.
    """

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...]
    samples: list[tuple[tuple[str, ...], float | Buckets]]


Values = Iterator[tuple[tuple[str, ...], float | Buckets]]


class _Named(NamedTuple):
    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...]
    values: Callable[[QueueMeasures], Values]


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1_000


def _gauge(name: str, meaning: str, value: Callable[[QueueMeasures], float | None]) -> _Named:
    def values(one: QueueMeasures) -> Values:
        if (found := value(one)) is not None:
            yield (), found

    return _Named(name, "gauge", meaning, ("queue",), values)


def _words(
    name: str,
    meaning: str,
    label: str,
    values: Callable[[QueueMeasures], Mapping[str, float]],
    *,
    kind: Kind = "counter",
) -> _Named:
    def listed(one: QueueMeasures) -> Values:
        for word, value in values(one).items():
            yield (word,), value

    return _Named(name, kind, meaning, ("queue", label), listed)


def _histogram(name: str, meaning: str, field: str) -> _Named:
    bounds = counters.HISTOGRAMS[field]
    names = [*(f"{bound:g}" for bound in bounds), "+Inf"]
    unit = ":sum_milli" if field == "used" else ":sum_ms"

    def values(one: QueueMeasures) -> Values:
        totals, seen = one.stats.totals, 0
        upto: list[tuple[str, int]] = []
        for number, bound in enumerate(names, 1):
            seen += totals.get(f"{field}:{number}", 0)
            upto.append((bound, seen))
        yield (), Buckets(upto, totals.get(field + unit, 0) / 1_000)

    return _Named(name, "histogram", meaning, ("queue",), values)


def _fields(of: Mapping[str, str]) -> Callable[[QueueMeasures], Mapping[str, float]]:
    def values(one: QueueMeasures) -> Mapping[str, float]:
        return {word: one.stats.totals.get(field, 0) for word, field in of.items()}

    return values


def _prefixed(
    prefix: str,
    *,
    but: Iterable[str] = (),
    always: Callable[[QueueMeasures], Iterable[str]] = lambda _: (),
) -> Callable[[QueueMeasures], Mapping[str, float]]:
    """Return what follows a prefix in the names of counters; the most frequent, and the rest."""

    def values(one: QueueMeasures) -> Mapping[str, float]:
        found: dict[str, float] = dict.fromkeys(always(one), 0)
        for name, value in one.stats.totals.items():
            word = name.removeprefix(prefix)
            if word != name and word not in but:
                found[word] = value
        if len(found) <= MOST_WORDS:
            return found
        ordered = sorted(found.items(), key=lambda item: (item[0] == counters.OTHER, -item[1]))
        kept = dict(ordered[: MOST_WORDS - 1])
        kept[counters.OTHER] = sum(value for _, value in ordered[MOST_WORDS - 1 :])
        return kept

    return values


def _states(one: QueueMeasures) -> Mapping[str, float]:
    stats = one.stats
    return {
        "waiting": stats.waiting,
        "scheduled": stats.scheduled,
        "retrying": stats.retrying,
        "in_progress": stats.in_progress,
        "failed": stats.failed,
    }


def _clocks(one: QueueMeasures) -> Mapping[str, float]:
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


def _breach_s(one: QueueMeasures) -> float | None:
    forecast = one.forecast
    if not forecast.known:
        return None
    first = forecast.first_miss_ms
    return inf if first is None else (first - forecast.at_ms) / 1_000


_OUTBOX = ("done", "dead", "dropped", "folded")  # counters of actions that are no verbs
_DELIVERED = {"done": "ok", "retry": "retry", "dead": "given_up"}


def _deliveries(one: QueueMeasures) -> Values:
    for name, value in one.stats.totals.items():
        first, _, rest = name.partition(".")
        channel, _, word = rest.partition(".")
        if first == "delivery" and word in _DELIVERED:
            yield (channel, _DELIVERED[word]), value


def _sweeps(one: QueueMeasures) -> Mapping[str, float]:
    return {"sweep": (one.swept_ms or 0) / 1_000, "tidy": (one.tidied_ms or 0) / 1_000}


def _sum(name: str, meaning: str, *fields: str) -> _Named:
    def values(one: QueueMeasures) -> Values:
        yield (), sum(one.stats.totals.get(field, 0) for field in fields)

    return _Named(name, "counter", meaning, ("queue",), values)


_OF_QUEUES: Final = (
    _sum("hms_tasks_arrived_total", "Tasks that were accepted.", "accepted", "adopted"),
    _sum("hms_tasks_requeued_total", "Ended tasks that were brought back.", "requeued"),
    _words(
        "hms_tasks_rejected_total",
        "Tasks that were not accepted, by why.",
        "reason",
        _fields(counters.REFUSALS),
    ),
    _words(
        "hms_tasks_closed_total",
        "Tasks that have ended, by how.",
        "result",
        _fields({word: word for word in counters.ENDS}),
    ),
    _words(
        "hms_tasks_sla_closed_total",
        "Promises that are over: met, missed, or waived.",
        "clock",
        _fields({word: word for word in counters.PROMISES}),
    ),
    _sum("hms_attempts_started_total", "Attempts: tasks taken under a lease.", "claimed"),
    _words(
        "hms_attempts_finished_total",
        "Attempts that have ended, by how.",
        "outcome",
        _fields(counters.ATTEMPTS),
    ),
    _words(
        "hms_attempts_failed_total",
        "Attempts that ended in an error, a time-out or a lost lease, by the type of the fault.",
        "error_type",
        _prefixed("error."),
    ),
    _sum(
        "hms_labels_folded_total",
        "Failed attempts whose type is in _other, as the queue has too many types.",
        "folded",
    ),
    _words(
        "hms_milestones_fired_total",
        "Rungs of the ladder of which a task has told.",
        "milestone",
        _prefixed(
            "sla.", always=lambda one: [rung.name for rung in one.settings.ladder[:MOST_WORDS]]
        ),
    ),
    _words(
        "hms_milestone_actions_total",
        "What rungs of the ladder have asked for.",
        "action",
        _prefixed("action.", but=_OUTBOX),
    ),
    _Named(
        "hms_escalations_deliveries_total",
        "counter",
        "Tries to tell somebody outside, by the channel and what came of it.",
        ("queue", "channel", "outcome"),
        _deliveries,
    ),
    _gauge(
        "hms_escalations_pending", "What waits to be told outside.", lambda one: one.stats.to_do
    ),
    _gauge(
        "hms_escalations_undelivered",
        "What nobody took, and waits for an operator.",
        lambda one: one.stats.undelivered,
    ),
    _words("hms_tasks", "Tasks by state; failed ones are kept.", "state", _states, kind="gauge"),
    _words("hms_tasks_open", "Open tasks by their promise.", "clock", _clocks, kind="gauge"),
    _gauge(
        "hms_queue_oldest_wait_seconds",
        "For how long the first in line has waited, deliberate delays not counted.",
        lambda one: (one.waited_ms or 0) / 1_000,
    ),
    _gauge(
        "hms_queue_longest_run_seconds",
        "For how long the longest attempt has run, of up to a hundred.",
        lambda one: (one.ran_ms or 0) / 1_000,
    ),
    _gauge(
        "hms_queue_next_due_seconds",
        "Until the most urgent open task is due; negative when it is late.",
        lambda one: None if one.due_ms is None else (one.due_ms - one.stats.now_ms) / 1_000,
    ),
    _gauge(
        "hms_queue_forecast_breach_seconds",
        "Until the first promise of a waiting task will be missed; +Inf for none.",
        _breach_s,
    ),
    _gauge(
        "hms_queue_forecast_missed_tasks",
        "Waiting tasks whose promise will be missed.",
        lambda one: one.forecast.misses,
    ),
    _gauge(
        "hms_queue_drain_seconds",
        "Until all that waits now has ended; +Inf when nothing is served.",
        lambda one: _seconds(one.forecast.drain_ms),
    ),
    _gauge(
        "hms_queue_slots_wanted",
        "Slots that would keep every promise that can still be kept: for the autoscaler.",
        lambda one: one.forecast.slots_wanted,
    ),
    _gauge("hms_queue_slots_busy", "Tasks under a lease.", lambda one: one.stats.in_progress),
    _gauge("hms_queue_paused", "Whether the queue is paused.", lambda one: float(one.stats.paused)),
    _gauge(
        "hms_queue_sla_target_seconds",
        "The promise, where there is one.",
        lambda one: _seconds(one.settings.sla_ms),
    ),
    _gauge(
        "hms_queue_sla_goal_ratio",
        "Which share of its promises the queue is to keep.",
        lambda one: getattr(one.settings, "goal", 0.99),
    ),
    _words(
        "hms_supervisor_last_sweep_timestamp_seconds",
        "When a supervisor last looked at the queue, by the server's clock; 0 for never.",
        "loop",
        _sweeps,
        kind="gauge",
    ),
    _gauge(
        "hms_supervisor_milestone_lag_seconds",
        "For how long the oldest milestone is overdue: it watches the supervisor.",
        lambda one: one.lag_ms / 1_000,
    ),
    _histogram("hms_task_wait_seconds", "How long attempts had waited for a slot.", "wait"),
    _histogram("hms_task_run_seconds", "How long attempts ran.", "run"),
    _histogram("hms_task_total_seconds", "From arrival to done.", "total"),
    _histogram("hms_task_sla_used_ratio", "Which share of their promise tasks used.", "used"),
)


def families(found: Measurement, weights: Mapping[str, int]) -> Iterator[Family]:
    """Yield every metric with its values.

    Args:
        found: What was measured.
        weights: Bytes of each queue, as far as known.
    """
    yield _up(1)
    for one in _OF_QUEUES:
        samples = [
            ((queue.name, *words), value)
            for queue in found.queues
            for words, value in one.values(queue)
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
