"""How the queues' promises stand, and what people do about them: `oms.sla`."""

from collections.abc import Callable, Collection, Sequence
from typing import Literal

import msgspec

from hms_async.domain.audit import Actor
from hms_async.domain.count import check_count
from hms_async.domain.duration import Duration, to_ms
from hms_async.domain.forecast import Forecast
from hms_async.domain.incident import KINDS, Incident
from hms_async.domain.queue import Queue, QueueStats, check_name
from hms_async.domain.redaction import Redactor
from hms_async.domain.series import HOUR_MS, choose_step
from hms_async.domain.task import TaskRecord
from hms_async.errors import (
    ConfigInvalid,
    IncidentNotFound,
    MessageNotFound,
    QueueNotFound,
    TaskNotFound,
    WrongState,
)
from hms_async.runtime.acting import tell
from hms_async.runtime.actions import Escalation, to_escalation
from hms_async.runtime.objectives import PromiseReport, report_of
from hms_async.storage import outbox, reading, watching
from hms_async.storage.outbox import Action
from hms_async.storage.standings import Standing, read_standings
from hms_async.storage.store import Store

ClockWord = Literal["breached", "at_risk", "paused", "on_track", "none"]

MOST_UNDELIVERED = 1_000
"""More are not kept of a queue."""

MOST_WORST = 100

_WORST_FIRST: tuple[ClockWord, ...] = ("breached", "at_risk", "paused", "on_track", "none")


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a queue's promise.

    Attributes:
        queue: The queue and its settings.
        stats: How many tasks are where.
        forecast: What will become of those that wait.
        incidents: The last of each kind, those that are over included.
    """

    queue: Queue
    stats: QueueStats
    forecast: Forecast
    incidents: list[Incident]

    @classmethod
    def of(cls, one: Standing) -> "Promise":
        """Return the promise of a queue that was looked at."""
        return cls(queue=one.queue, stats=one.stats, forecast=one.forecast, incidents=one.incidents)

    @property
    def clock(self) -> ClockWord:
        """How the queue stands: as its worst open task does; `none` without any promise."""
        if self.stats.breached:
            return "breached"
        if self.stats.clock_stopped_ms is not None:
            return "paused"
        if self.stats.at_risk or self.forecast.misses:
            return "at_risk"
        return "none" if self.queue.settings.sla_ms is None else "on_track"

    @property
    def kept(self) -> float | None:
        """The share of promises kept since the queue was created; `None` before the first end."""
        met, missed = (self.stats.totals.get(name, 0) for name in ("met", "missed"))
        return met / (met + missed) if met + missed else None


class Undelivered(msgspec.Struct, frozen=True):
    """A message that was given up.

    Attributes:
        said: What it would have said.
        kind: How: `webhook`, `notify`, `reroute` or `call`.
        tries: How often it was tried.
        error: What the last try met.
    """

    said: Escalation
    kind: str
    tries: int
    error: str

    def visible(self, redactor: Redactor) -> "Undelivered":
        """Return it without the secrets that its receiver may have answered with.

        It says nothing of what its task is about, so it is for whoever may see the queue.
        """
        return msgspec.structs.replace(self, error=redactor.redact_text(self.error))


class Promises:
    """The clocks of the queues, as an operator deals with them.

    Args:
        store: Where the queues are.
        by: Who acts, where a call does not say.
    """

    def __init__(self, store: Store, by: Actor) -> None:
        self._store = store
        self._by = by

    async def status(self, queue: str) -> Promise:
        """Return one look at a queue's promise.

        Raises:
            QueueNotFound: If nobody created it.
        """
        check_name(queue, what="queue name")
        return Promise(
            queue=await self._store.queue(queue),
            stats=await self._store.stats(queue),
            forecast=(await watching.read_backlog(self._store, queue)).predict(),
            incidents=await watching.read_incidents(self._store, queue),
        )

    async def ls(self, queues: Sequence[str] = ()) -> list[Promise]:
        """Return a look at each queue, or at all of them, the worst first."""
        names = [check_name(name, what="queue name") for name in queues]
        standings = await read_standings(self._store, names or await self._store.queue_names())
        found = [Promise.of(one) for one in standings]
        missing = set(names) - {one.queue.name for one in found}
        found += [await self.status(name) for name in missing]  # says what is wrong with it
        return sorted(found, key=lambda one: (_WORST_FIRST.index(one.clock), one.queue.name))

    async def report(
        self,
        queues: Sequence[str] = (),
        *,
        since: Duration = "28d",
        worst: int = 10,
        sees: Callable[[str], bool] = lambda _: True,
    ) -> list[PromiseReport]:
        """Return how promises were kept against the queues' goals, the least budget left first.

        Args:
            queues: Which; all that promise something, or have closed a promise, if not given.
            since: Over which span the error budget is reckoned; an hour to 400 days.
            worst: How many of the worst misses of each queue, 100 at most.
            sees: Whether a queue is to be seen; asked only if none is given.

        Raises:
            QueueNotFound: If nobody created one of them.
            ConfigInvalid: If the span or the number is not valid.
        """
        span_ms = to_ms(since, name="since", minimum_ms=HOUR_MS)
        choose_step(span_ms)  # raises for what is longer ago than counters are kept
        if check_count(worst, name="worst") > MOST_WORST:
            raise ConfigInvalid(f"worst={worst} is over {MOST_WORST}")
        found: list[PromiseReport] = []
        for name in queues or filter(sees, await self._store.queue_names()):
            try:
                queue = await self._store.queue(check_name(name, what="queue name"))
            except QueueNotFound:
                if queues:
                    raise
                continue  # it was removed
            report = await report_of(self._store, queue, span_ms, worst)
            if queues or queue.settings.sla_ms is not None or report.kept.closed:
                found.append(report)
        return sorted(found, key=_least_left)

    async def incidents(self, queue: str) -> list[Incident]:
        """Return the last incident of each kind of a queue, those that are over included."""
        return await watching.read_incidents(self._store, check_name(queue, what="queue name"))

    async def at_risk(self, queue: str, *, limit: int = 50) -> list[TaskRecord]:
        """Return open tasks past 80 % of their promise, the latest first.

        Raises:
            QueueNotFound: If nobody created the queue.
        """
        await self._store.queue(check_name(queue, what="queue name"))
        return await reading.read_at_risk(self._store, queue, check_count(limit, name="limit"))

    async def acknowledge(
        self, queue: str, kind: str = "sla", *, by: Actor | str | None = None, reason: str = ""
    ) -> bool:
        """Say that somebody is at an incident; if it gets worse, it is told again.

        Args:
            queue: The queue.
            kind: Which: `sla`, `forecast` or `delivery`.
            by: Who; a name, or an actor; the client's `by` if not given.
            reason: What they say.

        Returns:
            False when it was acknowledged already.

        Raises:
            IncidentNotFound: If no such incident is open.
            QueueNotFound: If nobody created the queue.
        """
        check_name(queue, what="queue name")
        if kind not in KINDS:
            raise ConfigInvalid(f"{kind!r} is no kind of incident: one of {', '.join(KINDS)}")
        actor = Actor(by, self._by.via) if isinstance(by, str) else by or self._by
        actor = actor.saying(reason)
        word = await watching.acknowledge(self._store, queue, kind, by=actor)
        if word == "none":
            raise IncidentNotFound(queue, kind)
        return tell("acknowledge", actor, changed=word == "ok", queue=queue, target=kind)

    async def waive(self, task_id: str, *, reason: str, by: Actor | None = None) -> bool:
        """Let an open task off its promise; it goes on without a clock.

        Args:
            task_id: The task.
            reason: Why; it is kept with the task, too.
            by: Who does so; the client's `by` if not given.

        Returns:
            False when it was let off already.

        Raises:
            TaskNotFound: If no such task is stored.
            WrongState: If it has ended, or has no promise.
        """
        queue = await self._store.queue_of(check_name(task_id, what="task id"))
        actor = by or self._by
        word = "gone"
        if queue is not None:
            word = await self._store.waive(queue, task_id, reason, by=actor)
        match word:
            case "ok" | "already":
                acting = actor.saying(reason)
                return tell("waive", acting, changed=word == "ok", queue=queue, task_id=task_id)
            case "gone":
                raise TaskNotFound(task_id)
            case "no_promise":
                raise WrongState(task_id, "open", f"task {task_id} has no promise to waive")
            case state:
                message = f"task {task_id} is {state}: what has ended has kept its promise or not"
                raise WrongState(task_id, state, message)

    async def pause(self, queue: str, *, reason: str, by: Actor | None = None) -> bool:
        """Pause a queue and stop its clock; `resume` lets both go on.

        Args:
            queue: The queue.
            reason: Why, for those who look.
            by: Who does so; the client's `by` if not given.

        Returns:
            False when both were so already.

        Raises:
            QueueNotFound: If nobody created the queue.
        """
        check_name(queue, what="queue name")
        actor = (by or self._by).saying(reason)
        paused = await self._store.pause(queue, paused=True, stop_clock=True, by=actor)
        return tell("pause", actor, changed=paused, queue=queue)

    async def undelivered(
        self, queue: str, *, ids: Collection[str] | None = None, limit: int = 100
    ) -> list[Undelivered]:
        """Return messages that were given up, the last first.

        Args:
            queue: The queue.
            ids: Only these, in this order, however many.
            limit: How many at most if no ids are given.

        Raises:
            MessageNotFound: If one of the ids is none of those.
            QueueNotFound: If nobody created the queue.
        """
        await self._store.queue(check_name(queue, what="queue name"))
        most = check_count(limit, name="limit") if ids is None else MOST_UNDELIVERED
        actions = await outbox.undelivered(self._store, queue, most)
        if ids is not None:
            known = {action.id: action for action in actions}
            if missing := [one for one in ids if one not in known]:
                raise MessageNotFound(queue, missing[0])
            actions = [known[one] for one in dict.fromkeys(ids)]
        return [
            Undelivered(
                _readable(action), action.kind, action.tries, action.fields.get("error", "")
            )
            for action in actions
        ]

    async def act_on_undelivered(
        self,
        queue: str,
        act: Literal["again", "drop"],
        ids: Collection[str] | None = None,
        *,
        reason: str = "",
        by: Actor | None = None,
    ) -> list[Undelivered]:
        """Try messages that were given up again, or let go of them.

        Args:
            queue: The queue.
            act: What is to be done.
            ids: To which; to all of the queue if not given.
            reason: Why, for the audit.
            by: Who does so; the client's `by` if not given.

        Returns:
            Those that it was done to: not those that somebody else has just dealt with.

        Raises:
            MessageNotFound: If one of the ids is none of those; then nothing was done.
            QueueNotFound: If nobody created the queue.
        """
        found = await self.undelivered(queue, ids=ids, limit=MOST_UNDELIVERED)
        do = self.send_again if act == "again" else self.drop
        return [one for one in found if await do(queue, one.said.id, reason=reason, by=by)]

    async def drop(
        self, queue: str, action_id: str, *, reason: str = "", by: Actor | None = None
    ) -> bool:
        """Let go of a message that was given up; False when it is none of those."""
        check_name(queue, what="queue name")
        actor = (by or self._by).saying(reason)
        dropped = await outbox.drop(self._store, queue, action_id, by=actor)
        return tell("drop", actor, changed=dropped, queue=queue, target=action_id)

    async def send_again(
        self, queue: str, action_id: str, *, reason: str = "", by: Actor | None = None
    ) -> bool:
        """Try a message again that was given up; False when it is none of those."""
        check_name(queue, what="queue name")
        actor = (by or self._by).saying(reason)
        sent = await outbox.send_again(self._store, queue, action_id, by=actor)
        return tell("send_again", actor, changed=sent, queue=queue, target=action_id)


def _least_left(one: PromiseReport) -> tuple[bool, float, str]:
    left = one.budget_left
    return left is None, left or 0, one.queue.name


def _readable(action: Action) -> Escalation:
    """Return what an action says; of one that a foreign hand has broken what is known of it."""
    try:
        return to_escalation(action)
    except msgspec.ValidationError:
        return Escalation(id=action.id, type="", queue=action.queue, severity="error", made_ms=0)
