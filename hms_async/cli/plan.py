"""From targets and flags to the worker that runs them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click
from click.core import ParameterSource

from hms_async.cli import target
from hms_async.domain.count import check_count
from hms_async.domain.duration import Duration, to_ms
from hms_async.domain.queue import check_name
from hms_async.errors import ConfigInvalid, HandlerInvalid
from hms_async.runtime.handlers import Handler, bind, bind_all, mark_of, with_limit
from hms_async.storage.connect import check_url
from hms_async.telemetry.address import health_bind, metrics_bind
from hms_async.worker import AsyncWorker

Limits = Mapping[str, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a user asks of a worker; `None` where nothing was said.

    Attributes:
        queues: Which queues, each with how many of its tasks at once.
        concurrency: How many tasks at once in all.
        name: The worker's name.
        url: Where the server is.
        namespace: Goes in front of every key.
        act: Whether to supervise the queues.
        shutdown_timeout: How long running tasks may take to finish at a stop.
        health_port: Where probes are answered.
        metrics_port: Where scrapers are answered.
    """

    queues: Limits = field(default_factory=dict[str, int | None])
    concurrency: int | None = None
    name: str | None = None
    url: str | None = None
    namespace: str | None = None
    act: bool | None = None
    shutdown_timeout: Duration | None = None
    health_port: str | None = None
    metrics_port: str | None = None

    @classmethod
    def of(cls, context: click.Context, *, typed_only: bool) -> "Settings":
        """Read a command's parameters.

        Args:
            context: The command's.
            typed_only: Leave out what the environment or a default says.
        """

        def value(name: str) -> Any:
            source = context.get_parameter_source(name)
            if typed_only and source is not ParameterSource.COMMANDLINE:
                return None
            return context.params.get(name)

        no_act = value("no_act")
        return cls(
            queues=read_queues(value("queues") or ()),
            concurrency=value("concurrency"),
            name=value("name"),
            url=value("url"),
            namespace=value("namespace"),
            act=None if no_act is None else not no_act,
            shutdown_timeout=value("shutdown_timeout"),
            health_port=value("health_port"),
            metrics_port=value("metrics_port"),
        )


def read_queues(words: Iterable[str]) -> Limits:
    """Read `kyc:20,mail`: names, each with a limit or without one.

    Raises:
        ConfigInvalid: If a name or a limit is not valid, or a name comes twice.
    """
    limits: dict[str, int | None] = {}
    for part in ",".join(words).split(","):
        name, colon, limit = part.strip().partition(":")
        if not name and not colon:
            continue
        check_name(name, what="queue name")
        if name in limits:
            raise ConfigInvalid(f'-Q names the queue "{name}" twice')
        if colon and not (limit.isascii() and limit.isdigit() and int(limit)):
            raise ConfigInvalid(
                f'-Q {part.strip()}: "{limit}" is not a limit: write {name}:20, or {name} for none'
            )
        limits[name] = int(limit) if colon else None
    return limits


def worker_for(specs: Sequence[str], context: click.Context) -> AsyncWorker:
    """Return the worker that a command line means.

    Raises:
        ConfigInvalid: If a target or a flag makes no sense; the message says what to type.
    """
    found = [(spec, one) for spec in specs for one in target.load(spec)]
    for spec, one in found:
        if isinstance(one, AsyncWorker):
            if len(found) > 1:
                raise ConfigInvalid(f"{spec} is a whole worker: run it alone")
            # What its module says about it holds against the environment, as in any script.
            return _adjusted(one, Settings.of(context, typed_only=True))
    settings = Settings.of(context, typed_only=False)
    return _built(_handlers(found, settings.queues, context.info_name or "run"), settings)


def _handlers(found: list[tuple[str, Any]], queues: Limits, command: str) -> list[Handler]:
    plain = [spec for spec, one in found if mark_of(one) is None]
    if not plain:
        # A function may be named twice, as itself and by its module.
        functions = {id(one): one for _, one in found}
        return _limited(bind_all(functions.values()), queues)
    (spec, function), *others = found
    bind(function, "checked-before-all-else")
    if others:
        raise HandlerInvalid(
            f"{plain[0]} is a plain function, and several targets are given: decorate each with "
            '@handler(queue="...")'
        )
    if not queues:
        raise HandlerInvalid(
            f"{spec} is a plain function: say whose tasks it does, "
            f"hms {command} {spec} -Q your.queue"
        )
    return [bind(function, name, limit) for name, limit in queues.items()]


def _limited(bound: Sequence[Handler], queues: Limits) -> list[Handler]:
    """Return the handlers of the queues asked for, with their limits; all if none was."""
    served = {one.queue: one for one in bound}
    if not queues:
        return list(bound)
    for name in queues:
        if name not in served:
            raise ConfigInvalid(
                f'no target does the tasks of "{name}": -Q chooses among {", ".join(served)}'
            )
    return [with_limit(served[name], limit) for name, limit in queues.items()]


def _built(handlers: list[Handler], settings: Settings) -> AsyncWorker:
    return AsyncWorker(
        handlers=handlers,
        concurrency=10 if settings.concurrency is None else settings.concurrency,
        url=settings.url,
        namespace=settings.namespace or "",
        name=settings.name,
        supervise=settings.act is not False,
        shutdown_timeout="25s" if settings.shutdown_timeout is None else settings.shutdown_timeout,
        health_port=settings.health_port,
        metrics_port=settings.metrics_port,
    )


def _adjusted(worker: AsyncWorker, settings: Settings) -> AsyncWorker:
    worker.handlers = _limited(worker.handlers, settings.queues)
    if settings.concurrency is not None:
        worker.concurrency = check_count(settings.concurrency, name="concurrency")
    if settings.url is not None:
        worker.url = check_url(settings.url)
    if settings.shutdown_timeout is not None:
        worker.shutdown_timeout_s = to_ms(settings.shutdown_timeout, name="shutdown_timeout") / 1e3
    worker.health_port = health_bind(settings.health_port) or worker.health_port
    worker.metrics_port = metrics_bind(settings.metrics_port) or worker.metrics_port
    worker.namespace = worker.namespace if settings.namespace is None else settings.namespace
    worker.name = settings.name or worker.name
    worker.supervise = worker.supervise if settings.act is None else settings.act
    return worker
