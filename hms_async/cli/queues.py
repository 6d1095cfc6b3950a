"""`hms queue`: create queues, look at them, pause and resume them."""

from contextlib import suppress
from typing import Any

import click

from hms_async.cli import options, records, show
from hms_async.cli.session import ask
from hms_async.client import AsyncOMSClient
from hms_async.domain.duration import Duration
from hms_async.domain.queue import MEBIBYTE, Queue, QueueStats
from hms_async.domain.retry import RetryPolicy
from hms_async.domain.sla import LATE
from hms_async.domain.task import TaskPage, TaskState
from hms_async.errors import QueueNotFound

Row = tuple[Queue, QueueStats]


@click.group(cls=options.Group)
def queue() -> None:
    """Create queues, look at them, pause and resume them."""


@queue.command()
@click.argument("name")
@click.option("--sla", type=options.duration, help="The promise: how long a task may take.")
@click.option(
    "--ladder",
    multiple=True,
    metavar="RUNG",
    help='When to speak up and what to do, one option a rung: "80% warn,bump", "100%+15m page".',
)
@click.option(
    "--late",
    type=click.Choice(sorted(LATE)),
    default="after_others",
    show_default=True,
    help="What becomes of a task that is past due and has not begun.",
)
@click.option("--pause-stops-clock", is_flag=True, help="Promises stand still in a pause.")
@click.option("--max-wait", type=options.duration, help="A task that waits for longer fails.")
@click.option("--run-timeout", type=options.duration, help="An attempt that runs longer fails.")
@click.option("--webhook", metavar="URL", help="Hears of incidents, as signed JSON.")
@click.option("--webhook-secret", metavar="SECRET", help="What it is signed with.")
@click.option("--notify", multiple=True, metavar="URL", help="A pager, chat or mailbox (apprise).")
@click.option("--max-attempts", type=int, default=5, show_default=True, help="The first included.")
@click.option("--retry-base", type=options.duration, default="1s", show_default=True)
@click.option("--retry-cap", type=options.duration, default="5m", show_default=True)
@click.option(
    "--lease",
    type=options.duration,
    default="30s",
    show_default=True,
    help="How long a worker may be silent before its tasks are rescued.",
)
@click.option("--max-crashes", type=int, default=3, show_default=True)
@click.option("--max-depth", type=int, help="How many tasks may wait; any number if not given.")
@click.option("--max-payload-bytes", type=int, default=MEBIBYTE, show_default=True)
@click.option("--idempotency-window", type=options.duration, default="24h", show_default=True)
@options.store
@options.output
def create(
    *,
    name: str,
    ladder: tuple[str, ...],
    max_attempts: int,
    retry_base: Duration,
    retry_cap: Duration,
    url: str | None,
    namespace: str,
    output: options.Output,
    **settings: Any,
) -> None:
    """Create a queue, or give an existing one these settings.

    All settings are set: what is not given gets its default, and what that changes is said.
    """

    async def work(oms: AsyncOMSClient) -> tuple[Queue | None, Queue]:
        try:
            before = await oms.get_queue(name)
        except QueueNotFound:
            before = None
        retry = RetryPolicy(max_attempts=max_attempts, base=retry_base, cap=retry_cap)
        return before, await oms.create_queue(name, ladder=ladder or None, retry=retry, **settings)

    before, after = ask(url, namespace, work)
    if before is None:
        show.say(f"queue {name} created, {_promise(after)}")
    elif changes := _changes(before, after):
        show.say(f"queue {name} changed: {'; '.join(changes)}")
    else:
        show.say(f"queue {name} is there already, {_promise(after)}")
    if output == "json":
        show.json("queue.create", queue=records.queue(after), created=before is None)


def _promise(one: Queue) -> str:
    return f"promise {show.span(one.settings.sla_ms)}" if one.settings.sla_ms else "no promise"


def _changes(before: Queue, after: Queue) -> list[str]:
    old, new = dict(_settings(before)), dict(_settings(after))
    return [f"{name} {old[name]} -> {value}" for name, value in new.items() if value != old[name]]


def _settings(one: Queue) -> list[tuple[str, str]]:
    settings = one.settings
    return [
        ("promise", "none" if settings.sla_ms is None else show.span(settings.sla_ms)),
        ("ladder", "; ".join(map(str, settings.ladder)) or "none"),
        ("late", settings.late.replace("_", " ")),
        ("clock in a pause", "stands still" if settings.pause_stops_clock else "runs on"),
        ("max wait", show.span(settings.max_wait_ms)),
        ("run time-out", show.span(settings.run_timeout_ms)),
        ("receivers", ", ".join(settings.receivers.words()) or "none"),
        ("lease", show.span(settings.lease_ms)),
        ("attempts", str(settings.retry.max_attempts)),
        ("retry base", show.span(settings.retry.base_ms)),
        ("retry cap", show.span(settings.retry.cap_ms)),
        ("crashes", str(settings.max_crashes)),
        ("max depth", str(settings.max_depth or "none")),
        ("max payload", f"{settings.max_payload_bytes} bytes"),
        ("idempotency", show.span(settings.window_ms)),
        ("keep done", f"{show.span(settings.keep_done_ms)}, {settings.keep_done_max}"),
        ("keep failed", f"{show.span(settings.keep_failed_ms)}, {settings.keep_failed_max}"),
    ]


async def _row(oms: AsyncOMSClient, name: str) -> Row:
    return await oms.get_queue(name), await oms.stats(name)


@queue.command()
@options.store
@options.output
def ls(*, url: str | None, namespace: str, output: options.Output) -> None:
    """List the queues."""

    async def work(oms: AsyncOMSClient) -> list[Row]:
        rows: list[Row] = []
        for name in await oms.list_queues():
            with suppress(QueueNotFound):  # it was removed
                rows.append(await _row(oms, name))
        return rows

    rows = ask(url, namespace, work)
    if output == "json":
        documents = [records.queue(one) | {"stats": records.stats(stats)} for one, stats in rows]
        show.json("queue.list", queues=documents)
    elif rows:
        show.table(
            ["QUEUE", "PROMISE", "LEASE", "ATTEMPTS", "OPEN", "STATE"],
            [
                [
                    one.name,
                    show.span(one.settings.sla_ms),
                    show.span(one.settings.lease_ms),
                    one.settings.retry.max_attempts,
                    stats.open,
                    _state(one),
                ]
                for one, stats in rows
            ],
        )
    else:
        show.say("no queues yet: hms queue create NAME --sla 2h")


def _state(one: Queue) -> show.Cell:
    if not one.paused:
        return "active"
    return show.Marked(f"paused: {one.reason}" if one.reason else "paused", "magenta")


@queue.command("show")
@click.argument("name")
@options.store
@options.output
def show_(*, name: str, url: str | None, namespace: str, output: options.Output) -> None:
    """Show a queue's settings and its tasks by state."""

    async def work(oms: AsyncOMSClient) -> Row:
        return await _row(oms, name)

    one, stats = ask(url, namespace, work)
    if output == "json":
        show.json("queue.show", queue=records.queue(one), stats=records.stats(stats))
        return
    counts = [(state.replace("_", " "), getattr(stats, state)) for state in TaskState]
    show.pairs(
        [
            ("queue", one.name),
            ("state", _state(one)),
            *_settings(one),
            ("settings", f"version {one.version}"),
            *counts,
            ("oldest", show.moment(stats.oldest_arrived_ms, stats.now_ms)),
            ("next due", show.moment(stats.next_due_ms, stats.now_ms)),
        ]
    )


@queue.command()
@click.argument("name")
@click.option("-n", "--number", type=int, default=10, show_default=True, help="How many tasks.")
@options.store
@options.output
def peek(
    *, name: str, number: int, url: str | None, namespace: str, output: options.Output
) -> None:
    """Show the waiting tasks that workers will take next, in that order."""

    async def work(oms: AsyncOMSClient) -> TaskPage:
        return await oms.list_tasks(name, TaskState.WAITING, limit=number)

    tasks = ask(url, namespace, work).tasks
    if output == "json":
        show.json("queue.peek", queue=name, tasks=[records.task(one) for one in tasks])
    elif tasks:
        show.table(
            ["ID", "CORRELATION", "PRIORITY", "ARRIVED", "DUE", "PAYLOAD"],
            [
                [
                    one.id,
                    one.correlation_id or show.NONE,
                    one.priority,
                    show.moment(one.arrived_ms),
                    show.due(one.due_ms),
                    show.short(one.payload),
                ]
                for one in tasks
            ],
        )
    else:
        show.say(f"nothing waits in {name}")


@queue.command()
@click.argument("name")
@click.option("--reason", default="", help="Why, for those who look.")
@options.store
def pause(*, name: str, reason: str, url: str | None, namespace: str) -> None:
    """Let workers leave a queue's tasks alone; what runs goes on."""

    async def work(oms: AsyncOMSClient) -> bool:
        return await oms.pause(name, reason=reason)

    changed = ask(url, namespace, work)
    show.say(f"queue {name} {'paused' if changed else 'was paused already'}")


@queue.command()
@click.argument("name")
@options.store
def resume(*, name: str, url: str | None, namespace: str) -> None:
    """Let workers take a paused queue's tasks again."""

    async def work(oms: AsyncOMSClient) -> bool:
        return await oms.resume(name)

    changed = ask(url, namespace, work)
    show.say(f"queue {name} {'goes on' if changed else 'was not paused'}")
