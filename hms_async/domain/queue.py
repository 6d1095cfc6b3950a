"""A queue's settings: what it promises, and what it takes."""

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Literal, cast

import msgspec

from hms_async.domain.count import check_count
from hms_async.domain.duration import Duration, to_ms
from hms_async.domain.objective import DEFAULT_GOAL, Goal, read_goal
from hms_async.domain.receivers import Receivers
from hms_async.domain.retry import RetryPolicy
from hms_async.domain.sla import DEFAULT_LADDER, LATE, Ladder, Late, Rung
from hms_async.errors import ConfigInvalid, NameInvalid

ALPHABET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
MEBIBYTE = 1_048_576
DAY_MS = 86_400_000
SHORTEST_LEASE_MS = 3_000

Priority = Literal["normal", "high"]
PRIORITIES: frozenset[str] = frozenset({"normal", "high"})


def check_name(value: object, *, what: str) -> str:
    """Return a queue name or task id that fits the alphabet.

    Args:
        value: What the user gave.
        what: What it is, for the message: "queue name", "task id".

    Raises:
        NameInvalid: If it does not fit.
    """
    if not isinstance(value, str) or not ALPHABET.fullmatch(value):
        raise NameInvalid(
            f"{what} {value!r} is not valid: 1 to 128 of A-Z a-z 0-9 . _ -, "
            "starting with a letter or digit"
        )
    return value


class QueueSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a queue promises and what it takes; stored with a version.

    Attributes:
        sla_ms: The promise: how long a task may take from its arrival; `None` for none.
        goal: The share of promises that are to be kept, for the report.
        ladder: When to say that the promise is in danger, and that it is broken; what to do then.
        late: What becomes of a task that is past due when an attempt would begin. `after_others`:
            a worker with several queues first takes those that can still be kept. `run_anyway`:
            it keeps its place. `expire`: it is not run any more.
        pause_stops_clock: Whether the promises stand still while the queue is paused.
        max_wait_ms: How long a task may wait in a lane for an attempt; then it fails.
        run_timeout_ms: How long one attempt may run; then it counts as failed.
        receivers: Who is told of escalations.
        retry: When a failed attempt is tried again.
        lease_ms: How long a worker may be silent before its tasks are rescued.
        max_crashes: Lost leases after which a task is failed instead of rescued.
        max_depth: Tasks that may wait, scheduled and retrying ones too, before the queue is full.
        max_payload_bytes: The largest payload, in bytes of JSON; results have the same limit.
        window_ms: How long an idempotency key is remembered, at the least.
        keep_done_ms: How long done, cancelled and expired tasks are kept.
        keep_done_max: How many of each are kept.
        keep_failed_ms: How long failed tasks are kept.
        keep_failed_max: How many of them are kept.
    """

    sla_ms: int | None = None
    goal: float = DEFAULT_GOAL
    ladder: Ladder = DEFAULT_LADDER
    late: Late = "after_others"
    pause_stops_clock: bool = False
    max_wait_ms: int | None = None
    run_timeout_ms: int | None = None
    receivers: Receivers = Receivers()
    retry: RetryPolicy = RetryPolicy()
    lease_ms: int = 30_000
    max_crashes: int = 3
    max_depth: int | None = None
    max_payload_bytes: int = MEBIBYTE
    window_ms: int = DAY_MS
    keep_done_ms: int = DAY_MS
    keep_done_max: int = 10_000
    keep_failed_ms: int = 30 * DAY_MS
    keep_failed_max: int = 100_000

    @classmethod
    def create(  # noqa: PLR0913  # each is a setting by its name
        cls,
        *,
        sla: Duration | None = None,
        goal: Goal = DEFAULT_GOAL,
        ladder: Iterable[str] | None = None,
        late: Late = "after_others",
        pause_stops_clock: bool = False,
        max_wait: Duration | None = None,
        run_timeout: Duration | None = None,
        webhook: str | None = None,
        webhook_secret: str | None = None,
        notify: Iterable[str] = (),
        retry: RetryPolicy | None = None,
        lease: Duration = "30s",
        max_crashes: int = 3,
        max_depth: int | None = None,
        max_payload_bytes: int = MEBIBYTE,
        idempotency_window: Duration = "24h",
        keep_done: Duration = "24h",
        keep_done_max: int = 10_000,
        keep_failed: Duration = "30d",
        keep_failed_max: int = 100_000,
    ) -> "QueueSettings":
        """Check what a user asks of a queue and return it as settings.

        Raises:
            ConfigInvalid: If a value makes no sense; the message names it.
        """
        sla_ms = _optional_ms(sla, "sla")
        receivers = Receivers.create(webhook=webhook, secret=webhook_secret, notify=notify)
        return cls(
            sla_ms=sla_ms,
            goal=read_goal(goal),
            ladder=_heard(_ladder(ladder, sla_ms), receivers),
            late=_late(late),
            pause_stops_clock=bool(pause_stops_clock),
            max_wait_ms=_optional_ms(max_wait, "max_wait"),
            run_timeout_ms=_optional_ms(run_timeout, "run_timeout"),
            receivers=receivers,
            retry=_retry(retry),
            lease_ms=to_ms(lease, name="lease", minimum_ms=SHORTEST_LEASE_MS),
            max_crashes=check_count(max_crashes, name="max_crashes"),
            max_depth=None if max_depth is None else check_count(max_depth, name="max_depth"),
            max_payload_bytes=check_count(max_payload_bytes, name="max_payload_bytes"),
            window_ms=to_ms(idempotency_window, name="idempotency_window", minimum_ms=1_000),
            keep_done_ms=to_ms(keep_done, name="keep_done", minimum_ms=1_000),
            keep_done_max=check_count(keep_done_max, name="keep_done_max"),
            keep_failed_ms=to_ms(keep_failed, name="keep_failed", minimum_ms=1_000),
            keep_failed_max=check_count(keep_failed_max, name="keep_failed_max"),
        )

    def arguments(self) -> dict[str, Any]:
        """Return what `create` makes these settings of, so that some of it can be changed."""
        return {
            "sla": _duration(self.sla_ms),
            "goal": self.goal,
            "ladder": [str(rung) for rung in self.ladder],
            "late": self.late,
            "pause_stops_clock": self.pause_stops_clock,
            "max_wait": _duration(self.max_wait_ms),
            "run_timeout": _duration(self.run_timeout_ms),
            "webhook": self.receivers.webhook or None,
            "webhook_secret": self.receivers.secret or None,
            "notify": self.receivers.notify,
            "retry": self.retry,
            "lease": _duration(self.lease_ms),
            "max_crashes": self.max_crashes,
            "max_depth": self.max_depth,
            "max_payload_bytes": self.max_payload_bytes,
            "idempotency_window": _duration(self.window_ms),
            "keep_done": _duration(self.keep_done_ms),
            "keep_done_max": self.keep_done_max,
            "keep_failed": _duration(self.keep_failed_ms),
            "keep_failed_max": self.keep_failed_max,
        }


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """A queue as it is stored.

    Attributes:
        name: Its name.
        settings: What it promises and takes.
        version: Grows with each change of the settings.
        paused: Whether workers leave its tasks alone; empty reason when not.
        reason: Why it was paused.
        paused_by: Who said so; empty when no operator did.
        paused_ms: When they did; `None` when it is not paused.
    """

    name: str
    settings: QueueSettings
    version: int
    paused: bool = False
    reason: str = ""
    paused_by: str = ""
    paused_ms: int | None = None


class QueueStats(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a queue, as of the server's clock.

    Attributes:
        name: The queue.
        waiting: Tasks that a worker could take now.
        in_progress: Tasks under a lease.
        scheduled: Tasks that wait for their ETA.
        retrying: Tasks that wait for their next attempt.
        done: Done tasks that are still kept; likewise the three below.
        failed: Failed tasks.
        cancelled: Cancelled tasks.
        expired: Expired tasks.
        paused: Whether the queue is paused.
        sla_ms: Its promise, if any.
        oldest_arrived_ms: Arrival of the task that leads the queue, if one waits.
        next_due_ms: When the next scheduled or retrying task is due, if there is one.
        next_rung_ms: When the clock next has something to do for an open task, if ever.
        totals: Counters that only grow: accepted, adopted, requeued, done, failed, ...
        now_ms: The server's clock at the time.
        at_risk: Open tasks past 80 % of their promise, and not past all of it.
        breached: Open tasks past due.
        clock_stopped_ms: Since when the queue's clock stands still, if it does.
        to_do: Actions of the outbox that wait to be carried out.
        undelivered: Those that were given up.
    """

    name: str
    waiting: int
    in_progress: int
    scheduled: int
    retrying: int
    done: int
    failed: int
    cancelled: int
    expired: int
    paused: bool
    sla_ms: int | None
    oldest_arrived_ms: int | None
    next_due_ms: int | None
    next_rung_ms: int | None
    totals: Mapping[str, int]
    now_ms: int
    at_risk: int = 0
    breached: int = 0
    clock_stopped_ms: int | None = None
    to_do: int = 0
    undelivered: int = 0

    @property
    def open(self) -> int:
        """Tasks that have not ended."""
        return self.waiting + self.in_progress + self.scheduled + self.retrying

    @property
    def ended(self) -> int:
        """Endings so far, those of requeued tasks included."""
        return self._total("done", "failed", "cancelled", "expired")

    @property
    def balanced(self) -> bool:
        """Whether the books add up: what came in is open or has ended (I1)."""
        return self._total("accepted", "adopted", "requeued") == self.open + self.ended

    def _total(self, *names: str) -> int:
        return sum(self.totals.get(name, 0) for name in names)


def _duration(ms: int | None) -> timedelta | None:
    return None if ms is None else timedelta(milliseconds=ms)


def _optional_ms(value: Duration | None, name: str) -> int | None:
    return None if value is None else to_ms(value, name=name, minimum_ms=1)


def _late(word: object) -> Late:
    if word not in LATE:
        raise ConfigInvalid(f"late={word!r} is none of {', '.join(sorted(LATE))}")
    return cast("Late", word)


def _ladder(rungs: Iterable[str] | None, sla_ms: int | None) -> Ladder:
    if rungs is None:
        return DEFAULT_LADDER
    if isinstance(rungs, str):
        raise ConfigInvalid(f'ladder={rungs!r} is one text: give a list, ["{rungs}"]')
    ladder = tuple(Rung.parse(rung) for rung in rungs)
    # Tasks may bring a promise where the queue has none: a day stands for theirs.
    due = [rung.at_ms(0, sla_ms or DAY_MS) for rung in ladder]
    if due != sorted(due):
        steps = ", ".join(str(rung) for rung in ladder)
        raise ConfigInvalid(
            f"ladder={steps!r} is out of order: put the rung that comes due first in front"
        )
    return ladder


def _heard(ladder: Ladder, receivers: Receivers) -> Ladder:
    """Refuse rungs that speak to nobody."""
    for word, to in (("webhook", receivers.webhook), ("notify", receivers.notify)):
        for rung in ladder:
            if word in rung.actions and not to:
                raise ConfigInvalid(f'the rung "{rung}" speaks to no one: give {word}=')
    return ladder


def _retry(policy: object) -> RetryPolicy:
    match policy:
        case None:
            return RetryPolicy()
        case RetryPolicy():
            return policy
        case _:
            raise ConfigInvalid(
                f"retry={policy!r} is not a retry policy: give RetryPolicy(max_attempts=5)"
            )
