"""`hms act`: the supervisor alone."""

import signal
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial

import anyio
import click

from hms_async import config
from hms_async.cli import banner, options, show
from hms_async.cli.banner import Scene
from hms_async.cli.plan import read_queues
from hms_async.cli.session import reachable
from hms_async.runtime.health import Outlook
from hms_async.storage.store import Store, name_of
from hms_async.supervisor import Supervisor
from hms_async.telemetry import logs
from hms_async.telemetry.address import Bind, health_bind, metrics_bind
from hms_async.telemetry.metrics import QueueMetrics


@click.command(cls=options.Command)
@options.store
@options.strict
@options.queues("Which queues to watch; all of them, new ones included, if not given.")
@options.ports
@options.logging
def act(
    *,
    url: str | None,
    namespace: str,
    strict: bool,
    queues: tuple[str, ...],
    health_port: str | None,
    metrics_port: str | None,
    log_level: str,
    log_format: logs.Format,
) -> None:
    """Watch the clocks of the queues, and act.

    Promotes what is due, rescues what a dead worker held, warns before a promise is broken and
    speaks up when it is. Any number may run; each event comes once.
    """
    logs.configure(fmt=log_format, level=log_level)
    names = list(read_queues(queues))
    ports = health_bind(health_port), metrics_bind(metrics_port)
    anyio.run(
        partial(
            _act, config.store_url(url), config.namespace(namespace), names, ports, strict=strict
        )
    )


async def _act(
    url: str,
    namespace: str,
    names: list[str],
    ports: tuple[Bind | None, Bind | None],
    *,
    strict: bool,
) -> None:
    async with reachable(url, namespace) as store:
        scene = await banner.look(store, names or await store.queue_names())
        if strict:
            banner.refuse_faults(url, scene)
        show.say(f"{'store':<10} {banner.store_line(url, scene)}")
        show.say(f"{'act':<10} {watching(scene, every=not names)}")
        say_who_hears(scene)
        for warning in banner.warnings(url, scene):
            show.warn(warning)
        supervisor = Supervisor(url, queues=names or None, store=store)
        store.traffic.server = name_of(scene.info)
        with _shown_outside(supervisor, store, *ports):
            await until_told(supervisor)


@contextmanager
def _shown_outside(
    supervisor: Supervisor, store: Store, health: Bind | None, metrics: Bind | None
) -> Generator[None]:
    """Answer probes and scrapers while inside, if that is asked for, and say where."""
    outlook = Outlook(store.traffic, also=QueueMetrics(store).text)
    supervisor.vitals = outlook.vitals
    outlook.health.started = True
    outlook.health.more = lambda: {"queues": list(supervisor.watched)}
    with outlook.shown(health=health, metrics=metrics) as urls:
        for line in banner.shown_lines(urls):
            show.say(line)
        yield


def watching(scene: Scene, *, every: bool) -> str:
    """Return which queues are watched."""
    names = ", ".join(queue.name for queue, _ in scene.queues) or "none yet"
    return f"watches {f'every queue: {names}' if every else names}"


def say_who_hears(scene: Scene) -> None:
    """Say for which queues nobody outside is told, although their ladder escalates."""
    unheard = [
        queue.name
        for queue, _ in scene.queues
        if not queue.settings.receivers.words()
        and any({"escalate", "page"} & set(rung.actions) for rung in queue.settings.ladder)
    ]
    if unheard:
        show.say(
            f"{'tells':<10} the log and the events only for {', '.join(unheard)}: "
            "hms queue create ... --webhook or --notify tells somebody"
        )


async def until_told(supervisor: Supervisor) -> None:
    """Supervise until SIGTERM or SIGINT; a round is short, so nothing needs to be finished."""
    async with anyio.create_task_group() as group:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            group.start_soon(supervisor.run, name="supervisor")
            group.start_soon(supervisor.vitals.beat, name="pulse")
            show.say("ready.  Ctrl-C to stop.")
            async for _ in signals:
                break
        group.cancel_scope.cancel()
