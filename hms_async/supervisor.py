"""ACT: watches the clocks of every queue, and acts."""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from hms_async.config import namespace as chosen_namespace
from hms_async.config import store_url
from hms_async.domain.queue import check_name
from hms_async.domain.sla import FUNCTION, clock_word, severity_of
from hms_async.errors import ConfigInvalid, QueueNotFound, StoreError
from hms_async.runtime import sweeps
from hms_async.runtime.actions import Actions, Call
from hms_async.runtime.operations import run_operations
from hms_async.runtime.periodic import run_every
from hms_async.runtime.sweeps import Report
from hms_async.storage.connect import check_url, redact
from hms_async.storage.reading import read_context
from hms_async.storage.replies import RungFired
from hms_async.storage.store import Store
from hms_async.telemetry import otel
from hms_async.telemetry.logs import get_logger
from hms_async.telemetry.vitals import Vitals

if TYPE_CHECKING:
    from hms_async.telemetry.tracing import Spans

log = get_logger("hms_async.act")

SWEEP_EVERY_S = 1.0
TIDY_EVERY_S = 30.0
FORECAST_EVERY_S = 5.0


class Supervisor:
    """Promotes, rescues, warns, escalates and tidies up; any number may run.

    Args:
        url: Where the server is; `HMS_URL` if not given.
        namespace: Goes in front of every key; `HMS_NAMESPACE` if not given.
        queues: Which queues to watch; all that exist if not given, new ones included.
        actions: Coroutine functions for rungs that say `call:<name>`, by that name; each gets
            the `Escalation`. It may come more than once, so deduplicate by its id.
        store: A store to use instead of a URL; it stays open afterwards.

    Raises:
        ConfigInvalid: If the URL or a name is not valid.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        namespace: str = "",
        queues: Sequence[str] | None = None,
        actions: Mapping[str, Call] | None = None,
        store: Store | None = None,
    ) -> None:
        self._store = store
        self._url = check_url(store_url(url)) if store is None else store.url
        self._namespace = chosen_namespace(namespace)
        # By this it is counted; two of one process are two.
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.vitals = Vitals()  # a worker's, where the supervisor is a part of it
        self.watched: Sequence[str] = ()  # the queues of the last round
        self._broken: set[tuple[str, str]] = set()
        self._places: dict[str, int] = {}
        self._queues = (
            None if queues is None else [check_name(q, what="queue name") for q in queues]
        )
        self._calls: dict[str, Call] = {}
        self._acting: set[str] = set()
        self._waiting: list[str] = []
        for name, function in (actions or {}).items():
            self.action(name)(function)

    def action(self, name: str) -> Callable[[Call], Call]:
        """Register a coroutine function for rungs that say `call:<name>`, as a decorator.

        Raises:
            ConfigInvalid: If it cannot be called, the name is taken, or no rung can say it.
        """

        def register(function: Call) -> Call:
            if not FUNCTION.fullmatch(name):
                raise ConfigInvalid(
                    f"no rung can say call:{name}: give a name of letters, digits and _, "
                    "not beginning with a digit"
                )
            if not callable(function):
                raise ConfigInvalid(f"the action {name!r} is {function!r}, which cannot be called")
            if self._calls.setdefault(name, function) is not function:
                raise ConfigInvalid(f"there are two functions for the action {name!r}")
            return function

        return register

    async def run(self) -> None:
        """Watch until cancelled; a server that is away is waited for."""
        if self._store is None:
            async with Store(self._url, namespace=self._namespace) as store:
                await self._watch(store)
        else:
            await self._watch(self._store)

    async def check_sla(self) -> Report:
        """Make one round of all clocks now, and say what was due.

        Raises:
            StoreError: If the server cannot be asked.
        """
        if self._store is not None:
            return await self._sweep(self._store)
        async with Store(self._url, namespace=self._namespace) as store:
            return await self._sweep(store)

    async def escalate(self, event: RungFired) -> None:
        """Carry out what a rung of the promise asks for of the outside, and return when it is done.

        A running supervisor does so by itself, for each rung that it finds due.

        Raises:
            StoreError: If the server cannot be asked.
        """
        if self._store is not None:
            await Actions(self._store, self._calls).carry_out(event.queue)
            return
        async with Store(self._url, namespace=self._namespace) as store:
            await Actions(store, self._calls).carry_out(event.queue)

    async def _watch(self, store: Store) -> None:
        idle_operations = asyncio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(self._sweep_on, store, group, idle_operations, name="act-sweep")
            group.start_soon(self._tidy_on, store, name="act-tidy")
            group.start_soon(self._forecast_on, store, name="act-forecast")
            group.start_soon(
                run_operations, store, self._queues, idle_operations, name="act-operations"
            )

    async def _sweep_on(
        self, store: Store, group: TaskGroup, idle_operations: asyncio.Event
    ) -> None:
        actions = Actions(store, self._calls)

        async def step() -> bool:
            report = await self._sweep(store)
            self._waiting = report.waiting
            if report.idle_operations:
                idle_operations.set()
            for queue in report.to_do:
                # A receiver that is slow holds up its own queue's messages, nothing else.
                if queue not in self._acting:
                    self._acting.add(queue)
                    group.start_soon(self._carry_out, actions, queue, name=f"act-outbox-{queue}")
            return report.more

        await run_every(SWEEP_EVERY_S, step, name="sweep")

    async def _carry_out(self, actions: Actions, queue: str) -> None:
        try:
            await actions.carry_out(queue)
        except (StoreError, QueueNotFound) as error:
            log.warning("supervisor.step_failed", step="actions", queue=queue, error=str(error))
        finally:
            self._acting.discard(queue)

    async def _tidy_on(self, store: Store) -> None:
        async def step() -> bool:
            names = await self._names(store)
            report = await sweeps.tidy(store, names, places=self._places, supervisor=self._name)
            self._tell_broken("tidy", report)
            return report.more

        await run_every(TIDY_EVERY_S, step, name="tidy")

    async def _forecast_on(self, store: Store) -> None:
        async def step() -> bool:
            report = await sweeps.forecast(store, self._waiting)
            for queue, forecast in report.foreseen.items():
                first = forecast.first_miss_ms
                log.warning(
                    "sla.forecast",
                    queue=queue,
                    missed_tasks=forecast.misses,
                    breach_in_s=None if first is None else (first - forecast.at_ms) / 1_000,
                    slots_wanted=forecast.slots_wanted,
                )
            self._tell_broken("forecast", report)
            return False

        await run_every(FORECAST_EVERY_S, step, name="forecast")

    async def _sweep(self, store: Store) -> Report:
        self.watched = names = await self._names(store)
        began = time.monotonic()
        report = await sweeps.sweep(store, names)
        self.vitals.sweeps.observe(time.monotonic() - began)
        if len(report.broken) < max(len(names), 1):
            self.vitals.heard()
        for task in report.rescued:
            log.warning(
                "supervisor.rescued",
                task_id=task.id,
                corr_id=task.correlation_id,
                queue=task.queue,
                from_worker=task.worker,
                crashes=task.crashes,
                state=task.state,
            )
        for event in report.rungs:
            _say(event)
        if report.rungs and (spans := otel.spans(store.url)):
            for event in report.rungs:
                await _span(store, spans, event)
        self._tell_broken("sweep", report)
        return report

    def _tell_broken(self, step: str, report: Report) -> None:
        """Say once of each queue that its round fails; the others go on."""
        for queue, error in report.broken.items():
            if (step, queue) not in self._broken:
                log.error("supervisor.queue_broken", step=step, queue=queue, error=str(error))
        self._broken = {one for one in self._broken if one[0] != step} | {
            (step, queue) for queue in report.broken
        }

    async def _names(self, store: Store) -> Sequence[str]:
        return await store.queue_names() if self._queues is None else self._queues

    def __repr__(self) -> str:
        return f"<Supervisor of {redact(self._url)}>"


async def _span(store: Store, spans: "Spans", event: RungFired) -> None:
    carried = None
    with suppress(StoreError):  # of use to those who look on only
        carried = await read_context(store, event.queue, event.id)
    reached_ms = round(event.percent * event.sla_ms / 100)
    spans.milestone(
        event.queue,
        event.id,
        event.correlation_id,
        name=event.name,
        clock=clock_word(0, event.sla_ms, reached_ms + event.late_by_ms + 1),
        late_by_s=event.late_by_ms / 1_000,
        carried=carried,
    )


def _say(event: RungFired) -> None:
    """Write a rung into the log, as loud as it is."""
    fields: dict[str, object] = {
        "task_id": event.id,
        "corr_id": event.correlation_id,
        "queue": event.queue,
        "milestone": event.name,
        "percent": event.percent,
        "late_by_s": round(event.late_by_ms / 1_000, 3),
        "collapsed": event.collapsed,
        "promise_s": event.sla_ms / 1_000,
        "actions": ",".join(event.actions),
    }
    match severity_of(event.name, event.percent):
        case "info":
            log.info("sla.milestone", **fields)
        case "warning":
            left_s = event.sla_ms * (100 - event.percent) / 100_000 - event.late_by_ms / 1_000
            log.warning("sla.milestone", left_s=round(left_s, 3), **fields)
        case _:
            log.error("sla.milestone", **fields)
