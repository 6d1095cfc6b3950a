"""The client: queues, tasks in, and everything one may ask about them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from anyio import to_thread
from msgspec import UNSET, UnsetType

from hms_async.config import namespace as chosen_namespace
from hms_async.config import store_url
from hms_async.domain.audit import Actor, AuditPage
from hms_async.domain.case import Case
from hms_async.domain.count import check_count
from hms_async.domain.duration import Duration, to_ms
from hms_async.domain.event import Event, picking
from hms_async.domain.objective import DEFAULT_GOAL, Goal
from hms_async.domain.queue import (
    MEBIBYTE,
    Priority,
    Queue,
    QueueSettings,
    QueueStats,
    check_name,
)
from hms_async.domain.retry import RetryPolicy
from hms_async.domain.sla import Late
from hms_async.domain.task import Enqueued, NewTask, TaskPage, TaskRecord, TaskState
from hms_async.domain.worker import WorkerCard
from hms_async.errors import (
    CaseNotFound,
    ClientClosed,
    ConfigInvalid,
    EnqueueManyError,
    HMSError,
    QueueNotFound,
    TaskInProgress,
    TaskNotFound,
    WrongState,
)
from hms_async.runtime import results
from hms_async.runtime.acting import tell, this_process
from hms_async.runtime.follow import consumer_name, next_events
from hms_async.runtime.order import Again, Orders, to_order, to_orders
from hms_async.runtime.session import Session
from hms_async.runtime.submit import Result
from hms_async.runtime.task import Task
from hms_async.storage.audit import read_audit
from hms_async.storage.cases import MOST_TASKS, read_case
from hms_async.storage.connect import check_url, is_memory, redact
from hms_async.storage.events import EventReader
from hms_async.storage.group import GroupReader
from hms_async.storage.store import Store
from hms_async.telemetry import otel

if TYPE_CHECKING:
    from hms_async.domain.diagnosis.finding import Finding
    from hms_async.domain.operation import Operation
    from hms_async.domain.series import Series
    from hms_async.runtime.board import Board
    from hms_async.runtime.bulk import Operations
    from hms_async.runtime.promises import Promises
    from hms_async.runtime.tokens import Tokens
    from hms_async.telemetry.tracing import Spans

_LARGEST_PAGE = 500


class AsyncOMSClient:
    """A service's way to its queues. Use it as an async context manager, in one event loop.

    Calls of `enqueue` that are made in one turn of the loop leave together, so in a task group
    they take no round trip each. `enqueue_many` is more than twice as fast as that: it needs no
    asyncio task for each.

    Args:
        url: Where the server is; `HMS_URL` if not given, else `redis://127.0.0.1:6379/0`.
            `memory://name` is a store in this process, for tests and trials.
        namespace: Goes in front of every key; `HMS_NAMESPACE` if not given.
        durable: How many replicas of the server are to have a task before `enqueue` returns. It
            waits for three seconds at most, and each batch waits for the one before it.
        store: A store to use instead of a URL; it stays open afterwards.
        by: Who acts, where a call does not say; this process, under its host's name and its
            number, if not given.

    Raises:
        ConfigInvalid: If the URL or the namespace is not valid, or `memory://` is to be durable.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        namespace: str = "",
        durable: int = 0,
        store: Store | None = None,
        by: Actor | None = None,
    ) -> None:
        self.url = check_url(store_url(url)) if store is None else store.url
        self._durable = check_count(durable, name="durable") if durable else 0
        if durable and is_memory(self.url):
            raise ConfigInvalid(f"durable={durable} needs replicas, and memory:// has none")
        self._namespace = chosen_namespace(namespace)
        self._given = store
        self._by = by or this_process()
        self._session: Session | None = None

    def __repr__(self) -> str:
        return f"<AsyncOMSClient of {redact(self.url)}>"

    async def __aenter__(self) -> Self:
        if self._session is not None:
            raise ClientClosed("this client is open already: one `async with` at a time")
        store = self._given or Store(self.url, namespace=self._namespace)
        self._session = Session(store, closes_store=self._given is None, durable=self._durable)
        await self._session.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _opened(self) -> Session:
        if self._session is None:
            raise ClientClosed(
                "the client is not open: use it inside `async with AsyncOMSClient() as oms:`"
            )
        self._session.check_loop()
        return self._session

    @property
    def _store(self) -> Store:
        return self._opened().store

    def _acting(self, by: Actor | None, reason: str) -> Actor:
        return (by or self._by).saying(reason)

    # Queues.

    async def create_queue(  # noqa: PLR0913  # each is a setting by its name
        self,
        name: str,
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
        reason: str = "",
        by: Actor | None = None,
    ) -> Queue:
        """Create a queue, or give an existing one these settings.

        Args:
            name: Its name: letters, digits, `.`, `_`, `-`.
            sla: The promise: how long a task may take from its arrival to its end.
            goal: The share of promises that are to be kept, 0.99 or "99%": what `sla.report`
                measures them against.
            ladder: When to speak up, and what to do then:
                `["80% warn,bump", "100% breach,escalate", "100%+15m page"]` if not given.
            late: What becomes of a task that is past due when an attempt would begin:
                `after_others` (a worker with several queues first takes what can still be kept),
                `run_anyway`, or `expire`.
            pause_stops_clock: Whether the promises stand still while the queue is paused.
            max_wait: How long a task may wait in a lane for an attempt; then it fails.
            run_timeout: How long one attempt may run; then it counts as failed.
            webhook: An http(s) address that hears of incidents and of rungs that say `webhook`.
            webhook_secret: What its messages are signed with.
            notify: Addresses of pagers, chats and mailboxes, as apprise writes them.
            retry: When a failed attempt is tried again.
            lease: How long a worker may be silent before its tasks are rescued; 3 s or more.
            max_crashes: Lost leases after which a task fails instead of being rescued.
            max_depth: Tasks that may wait before `enqueue` raises `QueueFull`.
            max_payload_bytes: The largest payload, and the largest result, as JSON.
            idempotency_window: How long an idempotency key is remembered, at the least.
            keep_done: How long done, cancelled and expired tasks are kept.
            keep_done_max: How many of each.
            keep_failed: How long failed tasks are kept.
            keep_failed_max: How many.
            reason: Why, for the audit.
            by: Who does so; the client's `by` if not given.

        Raises:
            ConfigInvalid: If a value makes no sense; the message names it.
        """
        check_name(name, what="queue name")
        settings = QueueSettings.create(
            sla=sla,
            goal=goal,
            ladder=ladder,
            late=late,
            pause_stops_clock=pause_stops_clock,
            max_wait=max_wait,
            run_timeout=run_timeout,
            webhook=webhook,
            webhook_secret=webhook_secret,
            notify=notify,
            retry=retry,
            lease=lease,
            max_crashes=max_crashes,
            max_depth=max_depth,
            max_payload_bytes=max_payload_bytes,
            idempotency_window=idempotency_window,
            keep_done=keep_done,
            keep_done_max=keep_done_max,
            keep_failed=keep_failed,
            keep_failed_max=keep_failed_max,
        )
        if any(f"reroute:{name}" in rung.actions for rung in settings.ladder):
            raise ConfigInvalid(
                f'the ladder of "{name}" moves tasks to "{name}" itself: reroute:<another queue>'
            )
        if settings.receivers.notify:
            # Not at the first incident, when somebody waits for it.
            await to_thread.run_sync(_check_notices, settings.receivers.notify)
        actor = self._acting(by, reason)
        word, version = await self._store.configure(name, settings, by=actor)
        tell("configure", actor, changed=word != "same", queue=name, version=version)
        return await self._store.queue(name)

    async def get_queue(self, name: str) -> Queue:
        """Return a queue's settings.

        Raises:
            QueueNotFound: If nobody created it.
        """
        return await self._store.queue(check_name(name, what="queue name"))

    async def list_queues(self) -> list[str]:
        """Return the names of all queues, sorted."""
        return await self._store.queue_names()

    async def stats(self, queue: str) -> QueueStats:
        """Return one look at a queue: how many tasks in which state, and its clock.

        Raises:
            QueueNotFound: If nobody created it.
        """
        return await self._store.stats(check_name(queue, what="queue name"))

    async def series(
        self, queue: str, *, since: Duration = "24h", step: Duration | None = None
    ) -> "Series":
        """Return a queue over time: arrivals, ends, failures, and how long things took.

        Args:
            queue: The queue's name.
            since: How far back, 400 days at most.
            step: How long each point stands for: 1m, 5m, 10m, 1h, 6h or 1d; the finest that gives
                at most 500 points if not given. Minutes are kept for two days, ten minutes for
                two weeks.

        Raises:
            ConfigInvalid: If that is too long ago, or too fine.
            QueueNotFound: If nobody created the queue.
        """
        from hms_async.domain.series import Series, choose_step, fold  # noqa: PLC0415  # as below
        from hms_async.storage.series import read_pieces  # noqa: PLC0415

        check_name(queue, what="queue name")
        span_ms = to_ms(since, name="since", minimum_ms=60_000)
        step_ms = choose_step(span_ms, step)
        now_ms, pieces = await read_pieces(self._store, queue, span_ms, step_ms)
        points = fold(pieces, now_ms - span_ms, now_ms, step_ms)
        return Series(queue=queue, step_ms=step_ms, now_ms=now_ms, points=points)

    @property
    def sla(self) -> "Promises":
        """How the queues' promises stand, and what can be done about them."""
        from hms_async.runtime.promises import Promises  # noqa: PLC0415  # not every client asks

        return Promises(self._store, self._by)

    def board(self) -> "Board":
        """Return what looks at all queues again and again, the one nearest to harm first."""
        from hms_async.runtime.board import Board  # noqa: PLC0415  # not every client asks

        return Board(self._store, self.sla)

    async def examine(self, queue: str | None = None) -> "list[Finding]":
        """Return what the doctor finds of a queue and of who works on it, or of the server.

        It is what `hms doctor` says of them, without its searches.

        Args:
            queue: The queue's name; the server is looked at if not given.

        Raises:
            StoreUnavailable: If the server does not answer. Whatever else fails is a finding.
        """
        from hms_async.runtime.doctor import examine_one  # noqa: PLC0415  # not every client asks

        name = None if queue is None else check_name(queue, what="queue name")
        return await examine_one(self._store, name)

    @property
    def operations(self) -> "Operations":
        """Acts on many tasks of a queue at once, and how far they are."""
        from hms_async.runtime.bulk import Operations  # noqa: PLC0415  # not every client asks

        return Operations(self._store, self._acting)

    async def purge(self, queue: str, *, reason: str = "", by: Actor | None = None) -> "Operation":
        """Begin to cancel all tasks of a queue that are open and that no worker holds.

        Args:
            queue: The queue's name.
            reason: Why, for the audit.
            by: Who acts.

        Raises:
            QueueNotFound: If nobody created the queue.
            TooManyOperations: If so many are open that no more may be.
        """
        return await self.operations.start("purge", queue, reason=reason, by=by)

    async def delete_queue(
        self, queue: str, *, force: bool = False, reason: str = "", by: Actor | None = None
    ) -> "Operation":
        """Begin to take a queue away, with all that is stored of it.

        By force it takes no more tasks, those that no worker holds are cancelled, and workers are
        asked to cancel the rest; whatever one still holds after a minute is given up. The operation
        and the audit say what was given up.

        Args:
            queue: The queue's name.
            force: Whether tasks may be open.
            reason: Why, for the audit.
            by: Who acts.

        Raises:
            QueueNotFound: If nobody created the queue.
            QueueNotEmpty: If tasks or messages are open, and it is not by force.
            TooManyOperations: If so many are open that no more may be.
        """
        return await self.operations.remove(queue, force=force, reason=reason, by=by)

    @property
    def tokens(self) -> "Tokens":
        """The access tokens of the REST API: make them, list them, take them back."""
        from hms_async.runtime.tokens import Tokens  # noqa: PLC0415  # not every client asks

        return Tokens(self._store, self._acting)

    async def workers(self) -> list[WorkerCard]:
        """Return the workers that were heard of lately, those over REST too, the latest first."""
        return await self._store.workers()

    async def pause(
        self,
        queue: str,
        *,
        reason: str = "",
        stop_clock: bool | None = None,
        by: Actor | None = None,
    ) -> bool:
        """Let workers leave the queue's tasks alone; what runs goes on.

        Args:
            queue: The queue's name.
            reason: Why, for those who look.
            stop_clock: Whether its promises stand still meanwhile; as the queue's
                `pause_stops_clock` says if not given.
            by: Who does so; the client's `by` if not given.

        Returns:
            False when it was so already.
        """
        check_name(queue, what="queue name")
        actor = self._acting(by, reason)
        paused = await self._store.pause(queue, paused=True, stop_clock=stop_clock, by=actor)
        return tell("pause", actor, changed=paused, queue=queue)

    async def resume(self, queue: str, *, reason: str = "", by: Actor | None = None) -> bool:
        """Let workers go on; returns False when the queue was not paused.

        Args:
            queue: The queue's name.
            reason: Why, for those who look.
            by: Who does so; the client's `by` if not given.
        """
        check_name(queue, what="queue name")
        actor = self._acting(by, reason)
        resumed = await self._store.pause(queue, paused=False, by=actor)
        return tell("resume", actor, changed=resumed, queue=queue)

    # Tasks in.

    async def enqueue(  # noqa: PLR0913  # each is an option by its name
        self,
        queue: str,
        payload: Any,
        *,
        id: str | None = None,  # noqa: A002  # the interface's word
        correlation_id: str | None = None,
        priority: Priority = "normal",
        delay: Duration | None = None,
        eta: datetime | None = None,
        idempotency_key: str | None = None,
        sla: Duration | None = None,
        expires_at: datetime | None = None,
        expires_in: Duration | None = None,
        max_wait: Duration | None = None,
        run_timeout: Duration | None = None,
        traceparent: str | None = None,
        tracestate: str | None = None,
        baggage: str | None = None,
    ) -> Enqueued:
        """Drop a task into a queue; when this returns, it is stored.

        Args:
            queue: The queue's name.
            payload: Any JSON value.
            id: Your own id for it, unique in the namespace; one is made if not given.
            correlation_id: Ties it to a case, such as a citizen's request.
            priority: "high" goes first.
            delay: How long to wait before the first attempt.
            eta: The earliest moment of the first attempt, with a time zone.
            idempotency_key: Two calls with one key within the queue's window are one task.
            sla: This task's own promise instead of the queue's.
            expires_at: It is never started after this moment, and ends as expired.
            expires_in: The same, counted from now.
            max_wait: How long it may wait in a lane for an attempt; then it fails.
            run_timeout: How long one attempt may run; then it counts as failed.
            traceparent: The trace that it belongs to, as W3C Trace Context writes it. Where
                OpenTelemetry is set up it comes by itself.
            tracestate: What tracing systems say of that besides.
            baggage: What is sent along to whoever does it, as W3C Baggage writes it.

        Raises:
            ConfigInvalid: If an option makes no sense; the message names it.
            PayloadInvalid: If the payload is not JSON, or too large for the queue.
            QueueNotFound: If nobody created the queue.
            QueueFull: If it holds `max_depth` tasks.
            IdInUse: If the id is taken by a task of another queue.
            StoreFull: If the server has no memory left.
            StoreRefused: If it is too old, or the password or a right is missing.
            EnqueueUnknown: If the server never answered; repeating with the same id is safe.
            TooFewReplicas: If it is stored, but not on as many replicas as `durable` says.
        """
        # Nothing of the task is held here: while thousands wait, the garbage collector looks at
        # whatever they hold again and again, which takes as long as all the rest.
        answer = self._enqueue(
            queue,
            NewTask(
                payload,
                id=id,
                correlation_id=correlation_id,
                priority=priority,
                delay=delay,
                eta=eta,
                idempotency_key=idempotency_key,
                sla=sla,
                expires_at=expires_at,
                expires_in=expires_in,
                max_wait=max_wait,
                run_timeout=run_timeout,
                traceparent=traceparent,
                tracestate=tracestate,
                baggage=baggage,
            ),
        )
        return _made(await answer)

    def _enqueue(
        self, queue: str, task: NewTask, again: Again | None = None
    ) -> Awaitable[Sequence[Result]]:
        if (spans := otel.spans(self.url)) is None:
            order = to_order(queue, task, again=again)
            return self._opened().submitter.submit(queue, (order,))
        return self._enqueue_in_span(spans, queue, task, again)

    async def _enqueue_in_span(
        self, spans: "Spans", queue: str, task: NewTask, again: Again | None
    ) -> Sequence[Result]:
        with spans.enqueue(queue, given=task.traceparent) as sending:
            order = to_order(queue, task, sending.carry, again)
            # A refusal is raised in here already: its span is to tell of it.
            return [_made(await self._opened().submitter.submit(queue, (order,)))]

    async def enqueue_many(self, queue: str, payloads: Iterable[Any]) -> list[Enqueued]:
        """Drop many tasks into a queue, in order.

        All payloads are checked and written as JSON before anything is sent, so it does not matter
        what becomes of them meanwhile.

        Args:
            queue: The queue's name.
            payloads: Payloads, or `NewTask(payload, id=..., ...)` where one has options.

        Raises:
            QueueNotFound: If nobody created the queue.
            EnqueueManyError: If the server refused some; its `results` has one for each item.
            PayloadInvalid: If any payload is not JSON; nothing has been sent then.
        """
        if isinstance(payloads, str | bytes | Mapping):
            raise ConfigInvalid(
                "enqueue_many takes a list of payloads, this is one payload: write [payload]"
            )
        items = list(payloads)
        if (spans := otel.spans(self.url)) is None:
            return await self._enqueue_many(queue, to_orders(queue, items))
        with spans.enqueue(queue, count=len(items)) as sending:
            return await self._enqueue_many(queue, to_orders(queue, items, sending.carry))

    async def _enqueue_many(self, queue: str, orders: Orders) -> list[Enqueued]:
        outcome = await self._opened().submitter.submit_many(queue, orders)
        accepted = [result for result in outcome if isinstance(result, Enqueued)]
        if len(accepted) < len(outcome):
            if all(isinstance(result, QueueNotFound) for result in outcome):
                raise QueueNotFound(queue)
            raise EnqueueManyError(outcome)
        return accepted

    # Tasks out, by hand.

    async def pop_task(self, queue: str, *, timeout: Duration = 5) -> Task[Any] | None:  # noqa: ASYNC109  # the interface's word; waiting happens on the server
        """Take one task under a lease; the caller settles it and keeps the lease alive.

        Await `task.complete(...)`, `task.fail(...)` or `task.retry(...)` to settle it, and
        `task.heartbeat()` now and then before the lease ends.

        Args:
            queue: The queue's name.
            timeout: How long to wait for one.

        Returns:
            `None` when none came in time.

        Raises:
            QueueNotFound: If nobody created the queue.
        """
        check_name(queue, what="queue name")
        return await self._opened().popper.pop(queue, to_ms(timeout, name="timeout") / 1_000)

    # Asking and acting.

    async def get_task(self, task_id: str) -> TaskRecord:
        """Return a task: what was asked, how it goes, and its last attempts.

        Raises:
            TaskNotFound: If it was never accepted, or its retention has passed.
        """
        record = await self._store.task(check_name(task_id, what="task id"))
        if record is None:
            raise TaskNotFound(task_id)
        return record

    async def result(self, task_id: str, *, timeout: Duration) -> Any:  # noqa: ASYNC109  # the interface's word
        """Wait for a task's end and return its result.

        Raises:
            TaskFailed: If it ended otherwise than in done.
            TaskNotFound: If no such task is stored.
            ResultTimeout: If it has not ended in time; it goes on.
        """
        check_name(task_id, what="task id")
        return await results.result(self._store, task_id, to_ms(timeout, name="timeout") / 1_000)

    async def list_tasks(
        self, queue: str, state: TaskState | str, cursor: str | None = None, *, limit: int = 50
    ) -> TaskPage:
        """Return a page of a queue's tasks in one state.

        Waiting tasks come in the order in which they will be taken, ended ones newest first.

        Args:
            queue: The queue's name.
            state: One of `TaskState`, or its word.
            cursor: That of the page before; the first page without it.
            limit: How many at most, up to 500.

        Raises:
            ConfigInvalid: If the state, the cursor or the limit is not valid.
            QueueNotFound: If nobody created the queue.
        """
        check_name(queue, what="queue name")
        if check_count(limit, name="limit") > _LARGEST_PAGE:
            raise ConfigInvalid(f"limit={limit} is over {_LARGEST_PAGE}: ask for the next page")
        try:
            wanted = TaskState(state)
        except ValueError:
            words = ", ".join(TaskState)
            raise ConfigInvalid(f"{state!r} is not a state: one of {words}") from None
        await self._store.queue(queue)
        return await self._store.tasks(queue, wanted, cursor, limit)

    async def cancel(self, task_id: str, *, reason: str = "", by: Actor | None = None) -> bool:
        """Cancel a task; one that a worker holds is cancelled there within about a second.

        A handler that completes or finally fails all the same has the last word; `result` tells.

        Args:
            task_id: The task.
            reason: Why, for the audit.
            by: Who does so; the client's `by` if not given.

        Returns:
            True when it is cancelled now, False when its worker has been asked to.

        Raises:
            WrongState: If it has ended.
            TaskNotFound: If no such task is stored.
        """
        queue, _ = await self._find(task_id)
        actor = self._acting(by, reason)
        word = await self._store.cancel(queue, task_id, by=actor)
        if word != "asked":
            self._answer(task_id, word, "cancelled")
        tell("cancel", actor, queue=queue, task_id=task_id)
        return word != "asked"

    async def requeue(
        self,
        task_id: str,
        *,
        reset_clock: bool = False,
        reason: str = "",
        by: Actor | None = None,
    ) -> None:
        """Bring back a task that failed, was cancelled or expired; its attempts restart.

        Args:
            task_id: The task.
            reset_clock: Start its SLA clock anew instead of letting it go on.
            reason: Why, for the audit.
            by: Who does so; the client's `by` if not given.

        Raises:
            TaskInProgress: If a worker holds it.
            WrongState: If it has not ended, or is done.
            TaskNotFound: If no such task is stored.
        """
        queue, _ = await self._find(task_id)
        actor = self._acting(by, reason)
        word = await self._store.requeue(queue, task_id, reset_clock=reset_clock, by=actor)
        self._answer(task_id, word, "requeued")
        tell("requeue", actor, queue=queue, task_id=task_id)

    async def run_again(
        self,
        task_id: str,
        *,
        payload: Any = UNSET,
        correlation_id: str | UnsetType | None = UNSET,
        id: str | None = None,  # noqa: A002  # the interface's word
        reason: str = "",
        by: Actor | None = None,
    ) -> Enqueued:
        """Put a task into its queue once more, as a new task; the old one stays as it is.

        The new one has the old one's priority, and the queue's promise, limits and attempts. Its
        record says what it was run again from (`again_of`), and the old one's to what (`again_as`).

        Args:
            task_id: The task.
            payload: Any JSON value; the old one's if not given.
            correlation_id: Its case, or `None` for none; the old one's if not given.
            id: Your own id for the new one; two calls with one id make one task.
            reason: Why, for the audit.
            by: Who does so; the client's `by` if not given.

        Raises:
            TaskNotFound: If no such task is stored.
            WrongState: If its payload cannot be read, and none is given.
            PayloadInvalid: If the payload is not JSON, or too large for the queue.
            QueueNotFound: If the queue was removed.
            QueueFull: If it holds `max_depth` tasks.
            IdInUse: If the id is taken by a task of another queue.
            StoreFull: If the server has no memory left.
            EnqueueUnknown: If the server never answered; repeating with the same id is safe.
            TooFewReplicas: If it is stored, but not on as many replicas as `durable` says.
        """
        old = await self.get_task(task_id)
        if payload is UNSET and old.raw is not None:
            raise WrongState(task_id, old.state, f"task {task_id} has no payload that can be read")
        task = NewTask(
            old.payload if payload is UNSET else payload,
            id=id,
            correlation_id=old.correlation_id if correlation_id is UNSET else correlation_id,
            priority=old.priority,
        )
        actor = self._acting(by, reason)
        made = _made(await self._enqueue(old.queue, task, Again.by(actor, task_id)))
        about = {"queue": old.queue, "task_id": made.id, "target": task_id}
        tell("run_again", actor, changed=made.created, **about)
        return made

    async def bump(self, task_id: str, *, reason: str = "", by: Actor | None = None) -> None:
        """Let a waiting task go before the others.

        Args:
            task_id: The task.
            reason: Why, for the audit.
            by: Who does so; the client's `by` if not given.

        Raises:
            TaskInProgress: If a worker holds it.
            WrongState: If it is not waiting.
            TaskNotFound: If no such task is stored.
        """
        queue, _ = await self._find(task_id)
        actor = self._acting(by, reason)
        word = await self._store.bump(queue, task_id, by=actor)
        self._answer(task_id, "ok" if word == "already" else word, "bumped")
        tell("bump", actor, changed=word == "ok", queue=queue, task_id=task_id)

    async def case(
        self,
        correlation_id: str,
        *,
        limit: int = 500,
        sees: Callable[[str], bool] = lambda _: True,
    ) -> Case:
        """Return a case: the tasks of one correlation id across all queues, and how it stands.

        Tasks are in it as long as they are stored, the latest 2,000 at most.

        Args:
            correlation_id: The case.
            limit: How many of its tasks at most, up to 2,000; the latest ones.
            sees: Whether tasks of a queue are to be seen.

        Raises:
            CaseNotFound: If no task of it is stored.
            ConfigInvalid: If the limit is not valid.
        """
        if check_count(limit, name="limit") > MOST_TASKS:
            raise ConfigInvalid(f"limit={limit} is over {MOST_TASKS}: a case has no more")
        case = await read_case(self._store, correlation_id, limit, sees)
        if case is None:
            raise CaseNotFound(correlation_id)
        return case

    async def audit(
        self,
        queue: str | None = None,
        *,
        cursor: str | None = None,
        limit: int = 50,
        sees: Callable[[str | None], bool] = lambda _: True,
    ) -> AuditPage:
        """Return who did what: a page of the acts of operators that changed something.

        About the last 10,000 acts of each queue are kept.

        Args:
            queue: The queue; all of them if not given, and what was done to the namespace.
            cursor: That of the page before; the first page without it.
            limit: How many at most, up to 500.
            sees: Whether acts on a queue are to be seen, and with `None` those on the namespace;
                asked only if no queue is given.

        Raises:
            ConfigInvalid: If the cursor or the limit is not valid.
            QueueNotFound: If nobody created the queue.
        """
        if check_count(limit, name="limit") > _LARGEST_PAGE:
            raise ConfigInvalid(f"limit={limit} is over {_LARGEST_PAGE}: ask for the next page")
        if queue is None:
            names = [None, *await self._store.queue_names()]
            return await read_audit(self._store, list(filter(sees, names)), cursor, limit)
        await self._store.queue(check_name(queue, what="queue name"))
        return await read_audit(self._store, [queue], cursor, limit)

    async def events(
        self,
        queue: str,
        *,
        after: str | None = None,
        types: Iterable[str] | None = None,
        group: str | None = None,
        consumer: str | None = None,
    ) -> AsyncIterator[Event]:
        """Follow what happens to a queue and its tasks, for as long as one listens.

        An event of type `gap` says that entries in between are gone. While the server is away the
        follower waits, and goes on where it was.

        With a `group` its readers share the events, and each event is told at least once: it
        counts as read when the body of the loop asks for the next one. Until then it is told
        again: at once to a reader of the same `consumer` name, after a minute to another reader
        of the group. A body that a `break` leaves has not asked. Tasks that ended together are told
        one after the other and count as read together, up to ten; a body that takes longer
        than a minute for them may find that another reader has been told of them, too.

        Args:
            queue: The queue's name.
            after: The id of the last event seen, to go on from there; `"0-0"` for all that are
                kept; what comes from now on if not given. With a group, where that begins at its
                first use; after that it knows its place by itself.
            types: Only events of these types, and gaps; one that ends in a dot stands for all that
                begin so, such as `"sla."`.
            group: The name of the group.
            consumer: This reader's name in the group, its own as long as it reads. Without one a
                name is made of host and process, and a restarted reader is another one; the server
                remembers each.

        Raises:
            ConfigInvalid: If an argument makes no sense; the message names it.
            QueueNotFound: If nobody created the queue.
            StoreUnavailable: If the server is away at the start.
            StoreRefused: If a right is missing.
        """
        wanted = picking(types)
        reader = self._reader(check_name(queue, what="queue name"), after, group, consumer)
        await self.get_queue(queue)
        await reader.start()
        while True:
            for event in await next_events(reader, self._opened):
                if wanted(event):
                    yield event

    def _reader(
        self, queue: str, after: str | None, group: str | None, consumer: str | None
    ) -> EventReader | GroupReader:
        if group is None:
            if consumer is not None:
                raise ConfigInvalid(f"consumer={consumer!r} is one of a group: give group=, too")
            return EventReader(self._store, queue, after)
        return GroupReader(
            self._store,
            queue,
            group=check_name(group, what="group"),
            consumer=consumer_name() if consumer is None else check_name(consumer, what="consumer"),
            after=after,
        )

    async def _find(self, task_id: str) -> tuple[str, str]:
        queue = await self._store.queue_of(check_name(task_id, what="task id"))
        if queue is None:
            raise TaskNotFound(task_id)
        return queue, task_id

    @staticmethod
    def _answer(task_id: str, word: str, done: str) -> None:
        match word:
            case "ok":
                return
            case "gone":
                raise TaskNotFound(task_id)
            case "in_progress":
                raise TaskInProgress(task_id, done)
            case "body_lost":
                raise WrongState(task_id, "failed", f"task {task_id} has no body left to run")
            case state:
                raise WrongState(task_id, state, f"task {task_id} is {state}, cannot be {done}")


def _made(results: Sequence[Result]) -> Enqueued:
    """Return what became of the one order that was submitted."""
    (result,) = results
    if isinstance(result, HMSError):
        raise result
    return result


def _check_notices(urls: Sequence[str]) -> None:
    # Imports all that Apprise supports, so it runs in a thread, and only where it is wanted.
    from hms_async.runtime.receivers import check_receiver_url  # noqa: PLC0415

    for url in urls:
        check_receiver_url(url, kind="notify")
