"""The worker: assembles the runtime and opens its one task group."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any

import anyio
import msgspec
from anyio import TASK_STATUS_IGNORED, CancelScope, CapacityLimiter
from anyio.abc import TaskStatus

from hms_async.config import namespace as chosen_namespace
from hms_async.config import store_url
from hms_async.domain.count import check_count
from hms_async.domain.duration import Duration, to_ms
from hms_async.errors import ConfigInvalid, StoreError, StoreProtocol
from hms_async.runtime import handlers as registry
from hms_async.runtime.actions import Call
from hms_async.runtime.exchange import Lanes
from hms_async.runtime.execution import Executor
from hms_async.runtime.feed import Feed
from hms_async.runtime.handlers import Handler
from hms_async.runtime.health import Outlook, hindrance_of, of_worker
from hms_async.runtime.heartbeat import Heartbeat
from hms_async.runtime.leases import Held
from hms_async.runtime.loop import ExchangeLoop
from hms_async.runtime.process import leaving_after, refuse_while_importing, run_alone
from hms_async.runtime.registry import Card
from hms_async.runtime.report import Reporter
from hms_async.runtime.shutdown import LastAct, Stop
from hms_async.runtime.slots import Slots
from hms_async.storage.connect import check_url, is_memory
from hms_async.storage.renewal import LeaseRenewer
from hms_async.storage.store import Store, name_of
from hms_async.supervisor import Supervisor
from hms_async.telemetry.address import health_bind, metrics_bind
from hms_async.telemetry.logs import get_logger, package_version

log = get_logger("hms_async.worker")

Lifespan = Callable[[], AbstractAsyncContextManager[Any]]
Leave = Callable[[int], object]

_FAREWELL_S = 0.5
_LEAVE_S = 0.5
_BEAT_S = 2.0  # what a beat may take at least, however short the lease

Beside = Callable[[Store], AbstractAsyncContextManager[None]]
"""What else lives in the process, from before the first task until after the last."""


class _Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a running worker consists of; `docs/architecture.md` says who does what."""

    feeds: list[Feed]
    held: Held
    reporter: Reporter
    slots: Slots
    loop: ExchangeLoop
    heartbeat: Heartbeat
    supervisor: Supervisor
    card: Card
    last_act: LastAct


class AsyncWorker:
    """Runs handlers on the tasks of one or more queues.

    Args:
        queue: The queue whose tasks `handler` does.
        handler: An `async def` that takes a `Task`; a plain `def` runs in a thread.
        handlers: Instead of these two: functions decorated with `@handler(queue=...)`, or
            handlers that are bound already.
        concurrency: How many tasks at once in this process, over all queues.
        url: Where the server is; `HMS_URL` if not given.
        namespace: Goes in front of every key; `HMS_NAMESPACE` if not given.
        name: The worker's name in logs and lists; host and process id if not given.
        supervise: Run the supervisor (ACT) for these queues beside the handlers.
        actions: Coroutine functions for rungs that say `call:<name>`; see `Supervisor`.
        shutdown_timeout: How long running tasks may take to finish at a stop, before they are
            handed back.
        loop_stall_limit: For how long a handler may block the event loop before the worker's
            leases are let go, and its tasks are done elsewhere.
        lifespan: Called at the start; an async context manager whose value every task carries
            as `resources`: a pool, an HTTP client.
        health_port: Where to answer `/live`, `/ready` and `/status`, as `HOST:PORT`, or a port
            of this machine only; `HMS_HEALTH_PORT` is read by `hms run`.
        metrics_port: Where to answer `/metrics`; it may be the same.

    Raises:
        ConfigInvalid: If an argument cannot be used; the message names it.
        HandlerInvalid: If a handler cannot be called with one task, or has no queue.
    """

    def __init__(
        self,
        *,
        queue: str | None = None,
        handler: Callable[..., Any] | None = None,
        handlers: Iterable[Callable[..., Any] | Handler] = (),
        concurrency: int = 10,
        url: str | None = None,
        namespace: str = "",
        name: str | None = None,
        supervise: bool = True,
        actions: Mapping[str, Call] | None = None,
        shutdown_timeout: Duration = "25s",
        loop_stall_limit: Duration = "60s",
        lifespan: Lifespan | None = None,
        health_port: str | int | None = None,
        metrics_port: str | int | None = None,
    ) -> None:
        self.handlers: Sequence[Handler] = _bind(queue, handler, handlers)
        self.concurrency = check_count(concurrency, name="concurrency")
        self.url = check_url(store_url(url))
        self.namespace = chosen_namespace(namespace)
        self.name = name or f"{socket.gethostname()}-{os.getpid()}"
        self.supervise = supervise
        self._actions = actions
        self.supervise_all = False  # `hms dev` watches queues of other processes, too
        self.shutdown_timeout_s = to_ms(shutdown_timeout, name="shutdown_timeout") / 1_000
        self.loop_stall_limit_s = to_ms(loop_stall_limit, name="loop_stall_limit") / 1_000
        self.handed_back = 0
        self.beside: Beside = _nothing_beside  # `hms dev` serves its API there
        self._lifespan = lifespan or _no_resources
        self.health_port = health_bind(health_port)
        self.metrics_port = metrics_bind(metrics_port)
        self.shown_at: Mapping[str, str] = {}  # where probes and scrapers are answered
        self._stop: Stop | None = None

    def stop(self) -> None:
        """Take nothing more, finish what runs, and let `run` return.

        Called again, what runs is cancelled and handed back at once, its attempt not counted.
        """
        if self._stop is not None:
            self._stop.ask()

    async def run(
        self, *, burst: bool = False, task_status: TaskStatus[None] = TASK_STATUS_IGNORED
    ) -> None:
        """Work until cancelled or stopped.

        When cancelled, what runs is cancelled too and handed back, its attempt not counted.

        Args:
            burst: Return as soon as nothing waits, but in queues whose scripts fail.
            task_status: Told when tasks will be taken: `await group.start(worker.run)`.

        Raises:
            QueueNotFound: If a queue does not exist; a worker never creates one.
            StoreError: If the server cannot be reached at the start, is too old, or refuses us.
                Later it is waited for. `StoreProtocol` at the end of a burst names the queues that
                it had to leave, as a key of theirs is not what our scripts write.
        """
        refuse_while_importing()
        ready = asyncio.Event()
        failures: list[Exception] = []

        async def work() -> None:
            try:
                await self._run(burst=burst, ready=ready.set)
            except Exception as error:  # noqa: BLE001  # raised below: a group would wrap it
                failures.append(error)
            finally:
                ready.set()

        # A `Task.cancel` by our host gets lost when it meets a command that just ends (Python
        # 3.11), and does not stop at a shield. A task group turns it into a cancelled scope.
        async with anyio.create_task_group() as group:
            group.start_soon(work, name=self.name)
            await ready.wait()
            if not failures:
                task_status.started()
        if failures:
            raise failures[0]

    def run_forever(
        self,
        *,
        burst: bool = False,
        ready: Callable[[], None] | None = None,
        leave: Leave = os._exit,
    ) -> None:
        """Run in an event loop of its own, with signals, and logging if there is none.

        The first SIGTERM or SIGINT finishes what runs, the second hands it back, the third
        ends the process.

        Args:
            burst: Return as soon as nothing waits, but in queues whose scripts fail.
            ready: Called when signals are heard and tasks will be taken.
            leave: Ends the process at once with a code, where a handler that will not end
                keeps it from ending by itself.

        Raises:
            SystemExit: With 128 + the signal's number when anything was handed back.
            StoreError: As `run` does.
        """

        def exit_code() -> int:
            stopped = self._stop is not None and self._stop.signal is not None
            return self._stop.exit_code if self._stop and stopped and self.handed_back else 0

        run_alone(partial(self._run, burst=burst, ready=ready, leave=leave), exit_code, leave)

    async def _run(
        self,
        *,
        burst: bool,
        ready: Callable[[], None] | None = None,
        leave: Leave | None = None,
    ) -> None:
        self._stop = stop = Stop()
        broken: list[Feed] = []
        with CancelScope() as scope:
            async with Store(self.url, namespace=self.namespace) as store:
                outlook = Outlook(
                    store.traffic,
                    stall_limit_s=self.loop_stall_limit_s,
                    draining=lambda: stop.draining,
                )
                shown = outlook.shown(health=self.health_port, metrics=self.metrics_port)
                with shown as self.shown_at:
                    async with self.beside(store), self._lifespan() as resources:
                        try:
                            broken = await self._work(
                                store,
                                resources,
                                stop,
                                outlook,
                                burst=burst,
                                ready=ready,
                                leave=leave,
                            )
                        finally:
                            # What follows closes resources and connections: a cancellation waits.
                            scope.shield = True
        if broken and not stop.draining:  # the end of a burst
            for one in broken:
                log.error("queue.left", queue=one.name, error=str(one.broken), worker_id=self.name)
            raise StoreProtocol(
                "; ".join(f'queue "{one.name}" was left: {one.broken}' for one in broken)
            )

    async def _work(
        self,
        store: Store,
        resources: Any,
        stop: Stop,
        outlook: Outlook,
        *,
        burst: bool,
        ready: Callable[[], None] | None,
        leave: Leave | None,
    ) -> list[Feed]:
        """Run the parts. `leave` is there when the process is ours to end.

        Returns:
            The queues whose scripts fail.
        """
        parts = await self._build(store, resources, stop, outlook, burst=burst)
        guard = ExitStack()
        began = time.monotonic()

        async def see_through() -> None:
            """Stop in time, even if a handler ignores its cancellation."""
            await stop.run(parts.held, timeout_s=self.shutdown_timeout_s, worker_id=self.name)
            await parts.last_act.run()
            if leave is not None:
                # A coroutine that swallows its cancellation would keep the group open for ever.
                end = partial(leave, stop.exit_code)
                guard.enter_context(leaving_after(_LEAVE_S, end))
            group.cancel_scope.cancel()

        try:
            with guard:
                async with anyio.create_task_group() as group:
                    for number in parts.slots.numbers():
                        group.start_soon(parts.slots.run, number, name=f"slot-{number}")
                    group.start_soon(parts.loop.listener.run, name="bell")
                    group.start_soon(parts.heartbeat.run, name="heartbeat")
                    group.start_soon(parts.card.run, name="registry")
                    group.start_soon(see_through, name="shutdown")
                    if self.supervise:
                        group.start_soon(parts.supervisor.run, name="supervisor")
                    if leave is not None:
                        await group.start(stop.watch_signals, leave, name="signals")
                    self._announce(parts.feeds, outlook, ready)
                    await parts.loop.run(group)
                    group.cancel_scope.cancel()
        finally:
            with CancelScope(shield=True):
                await parts.last_act.run()
                with anyio.move_on_after(_FAREWELL_S):
                    await parts.card.take_away()
            # What nobody could be told of goes back all the same, when its lease ends.
            self.handed_back = parts.reporter.handed_back + len(parts.held)
            log.info(
                "worker.stopped",
                worker_id=self.name,
                handed_back=self.handed_back,
                duration_s=round(time.monotonic() - began, 3),
            )
        return [feed for feed in parts.feeds if feed.broken]

    async def _build(
        self, store: Store, resources: Any, stop: Stop, outlook: Outlook, *, burst: bool
    ) -> _Parts:
        lanes = Lanes(store, self.name, heads=len(self.handlers) > 1)
        feeds = [await self._feed(store, one, lanes) for one in self.handlers]
        held, reporter = Held(), Reporter(self.name, store.url)
        threads = CapacityLimiter(self.concurrency)
        slots = Slots(
            self.concurrency,
            Executor(
                threads=threads,
                resources=resources,
                leases=held,
                worker_id=self.name,
                store=store,
            ),
        )
        loop = ExchangeLoop(
            store,
            feeds,
            held,
            slots,
            stop=stop,
            reporter=reporter,
            polls=not self.supervise,
            burst=burst,
            vitals=outlook.vitals,
        )
        renewer = LeaseRenewer(
            self.url,
            namespace=self.namespace,
            lease_ms=loop.lease_ms,
            timeout_s=max(loop.shortest_lease_s() / 3, _BEAT_S),
        )
        heartbeat = Heartbeat(
            renewer,
            held,
            slots,
            lease_s=loop.shortest_lease_s,
            worker_id=self.name,
            stall_limit_s=self.loop_stall_limit_s,
            vitals=outlook.vitals,
        )
        watched = None if self.supervise_all else [feed.name for feed in feeds]
        supervisor = Supervisor(self.url, queues=watched, store=store, actions=self._actions)
        supervisor.vitals = outlook.vitals
        if self.metrics_port is not None:
            store.traffic.server = name_of(await store.server_info())
        outlook.slots = slots
        outlook.health.hindrance = partial(hindrance_of, feeds)
        outlook.health.more = partial(of_worker, feeds, held, slots, self.name)
        return _Parts(
            feeds=feeds,
            held=held,
            reporter=reporter,
            slots=slots,
            loop=loop,
            heartbeat=heartbeat,
            supervisor=supervisor,
            card=Card(store, self.name, self.concurrency, feeds),
            last_act=LastAct(feeds, held, reporter),
        )

    async def _feed(self, store: Store, handler: Handler, lanes: Lanes) -> Feed:
        queue = await store.queue(handler.queue)
        limit = min(handler.limit or self.concurrency, self.concurrency)
        feed = Feed(queue, handler, lanes, limit)
        # A missing right is noticed now: later it would be waited for (R11).
        with suppress(StoreProtocol):  # the loop tells of it, and leaves the queue alone
            feed.learn(await feed.lanes[0].exchange(unanswered=_give_up))
        return feed

    def _announce(
        self, feeds: list[Feed], outlook: Outlook, ready: Callable[[], None] | None
    ) -> None:
        outlook.health.started = True
        if is_memory(self.url):
            log.warning("store.memory", text="memory:// keeps nothing: for tests and trials only")
        log.info(
            "worker.started",
            worker_id=self.name,
            version=package_version(),
            slots=self.concurrency,
            queues=[feed.name for feed in feeds],
            handlers=[feed.handler.name for feed in feeds],
        )
        if ready is not None:
            ready()


def _give_up(error: StoreError) -> int:
    raise error


@asynccontextmanager
async def _no_resources() -> AsyncGenerator[None]:
    yield None


@asynccontextmanager
async def _nothing_beside(_: Store) -> AsyncGenerator[None]:
    yield


def _bind(
    queue: str | None,
    function: Callable[..., Any] | None,
    decorated: Iterable[Callable[..., Any] | Handler],
) -> list[Handler]:
    bound = registry.bind_all(decorated)
    if function is not None:
        if bound:
            raise ConfigInvalid("give either queue and handler, or handlers, not both")
        return [registry.bind(function, queue)]
    if queue is not None:
        raise ConfigInvalid(f'queue="{queue}" needs a handler: handler=your_function')
    if not bound:
        raise ConfigInvalid(
            "a worker needs work: give queue and handler, or handlers=[...] of functions "
            "decorated with @handler(queue=...)"
        )
    return bound
