"""The worker: assembles the runtime and opens its one task group."""

import os
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
from anyio import CancelScope, CapacityLimiter
from anyio.abc import TaskGroup

from hms_async import config
from hms_async.domain.duration import Duration, to_ms
from hms_async.errors import ConfigInvalid, StoreError
from hms_async.runtime import handlers as registry
from hms_async.runtime.exchange import Lane, make_incarnation
from hms_async.runtime.execution import Executor
from hms_async.runtime.feed import Feed
from hms_async.runtime.handlers import Handler
from hms_async.runtime.heartbeat import Heartbeat
from hms_async.runtime.leases import Held
from hms_async.runtime.loop import ExchangeLoop
from hms_async.runtime.periodic import run_every
from hms_async.runtime.report import Reporter
from hms_async.runtime.shutdown import CANCEL_GRACE_S, Stop
from hms_async.runtime.slots import Slots
from hms_async.runtime.task import check_concurrency
from hms_async.storage.connect import check_url, is_memory
from hms_async.storage.renewal import LeaseRenewer
from hms_async.storage.replies import Settle
from hms_async.storage.store import Store
from hms_async.supervisor import Supervisor
from hms_async.telemetry import logs

log = logs.get_logger("hms_async.worker")

Lifespan = Callable[[], AbstractAsyncContextManager[Any]]

_CARD_EVERY_S = 10.0
_LAST_ACT_S = 5.0
_LAST_ACT_LANE = 1


class AsyncWorker:
    """Runs handlers on the tasks of one or more queues.

    Args:
        queue: The queue whose tasks `handler` does.
        handler: An `async def` that takes a `Task`; a plain `def` runs in a thread.
        handlers: Instead of these two: functions decorated with `@handler(queue=...)`.
        concurrency: How many tasks at once in this process, over all queues.
        url: Where the server is; `HMS_URL` if not given.
        namespace: Goes in front of every key; `HMS_NAMESPACE` if not given.
        name: The worker's name in logs and lists; host and process id if not given.
        supervise: Run the supervisor (ACT) for these queues beside the handlers.
        shutdown_timeout: How long running tasks may take to finish at a stop, before they are
            handed back.
        lifespan: Called at the start; an async context manager whose value every task carries
            as `resources`: a pool, an HTTP client.

    Raises:
        ConfigInvalid: If an argument cannot be used; the message names it.
        HandlerInvalid: If a handler cannot be called with one task, or has no queue.
    """

    def __init__(
        self,
        *,
        queue: str | None = None,
        handler: Callable[..., Any] | None = None,
        handlers: Iterable[Callable[..., Any]] = (),
        concurrency: int = 10,
        url: str | None = None,
        namespace: str = "",
        name: str | None = None,
        supervise: bool = True,
        shutdown_timeout: Duration = "25s",
        lifespan: Lifespan | None = None,
    ) -> None:
        self.handlers: Sequence[Handler] = _bind(queue, handler, handlers)
        self.concurrency = check_concurrency(concurrency)
        self.url = check_url(config.store_url(url))
        self.namespace = config.namespace(namespace)
        self.name = name or f"{socket.gethostname()}-{os.getpid()}"
        self.supervise = supervise
        self.shutdown_timeout_s = to_ms(shutdown_timeout, name="shutdown_timeout") / 1_000
        self.handed_back = 0
        self._lifespan = lifespan or _no_resources
        self._stop: Stop | None = None

    def stop(self) -> None:
        """Take nothing more, finish what runs, and let `run` return."""
        if self._stop is not None:
            self._stop.drain()

    async def run(self, *, burst: bool = False) -> None:
        """Work until cancelled or stopped.

        When cancelled, what runs is cancelled too and handed back, its attempt not counted.

        Args:
            burst: Return as soon as nothing waits.

        Raises:
            QueueNotFound: If a queue does not exist; a worker never creates one.
            StoreError: If the server cannot be reached at the start. Later it is waited for.
        """
        await self._run(burst=burst, signals=False)

    def run_forever(self, *, burst: bool = False) -> None:
        """Run in an event loop of its own, with signals, and logging if there is none.

        The first SIGTERM or SIGINT finishes what runs, the second hands it back, the third
        ends the process.

        Raises:
            SystemExit: With 128 + the signal's number when anything was handed back.
        """
        if not logs.is_configured():
            fmt, level = logs.from_env()
            logs.configure(fmt=fmt, level=level)

        async def main() -> None:
            await self._run(burst=burst, signals=True)

        try:
            anyio.run(main, backend_options={"use_uvloop": _has_uvloop()})
        finally:
            stop = self._stop
        if stop is not None and stop.signal and self.handed_back:
            _leave(128 + stop.signal)
        _leave(0)

    async def _run(self, *, burst: bool, signals: bool) -> None:
        self._stop = stop = Stop()
        async with Store(self.url, namespace=self.namespace) as store, self._lifespan() as resources:
            incarnation = make_incarnation()
            feeds = [await self._feed(store, one, incarnation) for one in self.handlers]
            held = Held()
            reporter = Reporter(self.name)
            loop = ExchangeLoop(
                store, feeds, held,
                stop=stop, reporter=reporter, polls=not self.supervise, burst=burst,
            )  # fmt: skip
            executor = Executor(
                threads=CapacityLimiter(self.concurrency),
                resources=resources,
                leases=held,
                worker_id=self.name,
            )
            slots = Slots(self.concurrency, executor, loop.finished)
            heartbeat = Heartbeat(
                LeaseRenewer(self.url, namespace=self.namespace),
                held,
                lease_s=loop.shortest_lease_s,
            )
            supervisor = Supervisor(self.url, queues=[feed.name for feed in feeds], store=store)
            started = self._announce(feeds)
            try:
                async with anyio.create_task_group() as group:
                    for number in slots.numbers():
                        group.start_soon(slots.run, number, name=f"slot-{number}")
                    group.start_soon(loop.bell.run, name="bell")
                    group.start_soon(heartbeat.run, name="heartbeat")
                    group.start_soon(self._register, store, feeds, name="registry")
                    if self.supervise:
                        group.start_soon(supervisor.run, name="supervisor")
                    if signals:
                        group.start_soon(stop.watch_signals, name="signals")
                    group.start_soon(
                        self._see_through, stop, held, store, incarnation, group, signals,
                        name="shutdown",
                    )  # fmt: skip
                    await loop.run(slots)
                    group.cancel_scope.cancel()
            finally:
                with CancelScope(shield=True):
                    await self._last_act(store, held, incarnation, reporter)
                self.handed_back = reporter.handed_back
                log.info(
                    "worker.stopped",
                    worker_id=self.name,
                    handed_back=reporter.handed_back,
                    duration_s=round(time.monotonic() - started, 3),
                )

    async def _feed(self, store: Store, handler: Handler, incarnation: str) -> Feed:
        queue = await store.queue(handler.queue)
        lane = Lane(store, queue.name, worker=self.name, incarnation=incarnation)
        return Feed(queue, handler, lane, min(handler.limit or self.concurrency, self.concurrency))

    def _announce(self, feeds: list[Feed]) -> float:
        if is_memory(self.url):
            log.warning("store.memory", text="memory:// keeps nothing: for tests and trials only")
        log.info(
            "worker.started",
            worker_id=self.name,
            slots=self.concurrency,
            queues=[feed.name for feed in feeds],
            handlers=[feed.handler.name for feed in feeds],
        )
        return time.monotonic()

    async def _see_through(
        self, stop: Stop, held: Held, store: Store, incarnation: str, group: TaskGroup, owns_process: bool
    ) -> None:
        """Stop in time, even if a handler ignores its cancellation."""
        await stop.run(held, timeout_s=self.shutdown_timeout_s, worker_id=self.name)
        reporter = Reporter(self.name)
        await self._last_act(store, held, incarnation, reporter)
        self.handed_back += reporter.handed_back
        if owns_process:
            # A coroutine that swallows its cancellation would keep the group open for ever.
            timer = threading.Timer(CANCEL_GRACE_S, _leave, (128 + (stop.signal or 0),))
            timer.daemon = True
            timer.start()
        group.cancel_scope.cancel()

    async def _last_act(
        self, store: Store, held: Held, incarnation: str, reporter: Reporter
    ) -> None:
        """Hand back what is still held: by handlers that were cancelled or would not end."""
        by_queue = held.by_queue()
        with anyio.move_on_after(_LAST_ACT_S):
            for queue, pairs in by_queue.items():
                lane = Lane(
                    store, queue, worker=self.name, incarnation=incarnation, number=_LAST_ACT_LANE
                )
                settles = [Settle(task_id, token, "release") for task_id, token in pairs]
                for start in range(0, len(settles), 250):
                    try:
                        reply = await lane.exchange(settles[start : start + 250])
                    except StoreError as error:
                        log.warning("worker.not_handed_back", queue=queue, error=str(error))
                        break
                    reporter.handed_back += sum(s.answer == "ok" for s in reply.settled)
            if is_memory(self.url):
                return
            try:
                await store.unregister_worker(self.name)
            except StoreError:
                return  # the card ends by itself

    async def _register(self, store: Store, feeds: list[Feed]) -> None:
        async def step() -> bool:
            await store.register_worker(
                self.name,
                {
                    "host": socket.gethostname(),
                    "pid": str(os.getpid()),
                    "slots": str(self.concurrency),
                    "queues": " ".join(feed.name for feed in feeds),
                    "running": str(sum(feed.running for feed in feeds)),
                },
                ttl_s=int(3 * _CARD_EVERY_S),
            )
            return False

        await run_every(_CARD_EVERY_S, step, name="registry")


@asynccontextmanager
async def _no_resources() -> AsyncIterator[None]:
    yield None


def _bind(
    queue: str | None, function: Callable[..., Any] | None, decorated: Iterable[Callable[..., Any]]
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


def _has_uvloop() -> bool:
    try:
        import uvloop  # noqa: F401, PLC0415  # pyright: ignore[reportUnusedImport]  # an extra
    except ImportError:
        return False
    return True


def _leave(code: int) -> None:
    """End the process, with threads left behind that a handler may be stuck in."""
    stuck = [t for t in threading.enumerate() if t is not threading.main_thread() and not t.daemon]
    if code == 0 and not stuck:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    if stuck or threading.current_thread() is not threading.main_thread():
        os._exit(code)
    raise SystemExit(code)
