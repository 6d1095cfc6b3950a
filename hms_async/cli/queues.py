"""`hms queue`: create and change queues, look at them, pause and resume them."""

from contextlib import suppress
from typing import Any

import click
import msgspec

from hms_async.api import documents
from hms_async.cli import operations, options, settings, show
from hms_async.cli.session import ask
from hms_async.client import AsyncOMSClient
from hms_async.domain.queue import Queue, QueueStats
from hms_async.domain.task import TaskPage, TaskState
from hms_async.errors import QueueNotFound

Row = tuple[Queue, QueueStats]


@click.group(cls=options.Group)
def queue() -> None:
    """Create and change queues, look at them, pause and resume them."""


queue.add_command(operations.purge)
queue.add_command(operations.rm)


@queue.command()
@click.argument("name")
@settings.new
@options.store
@options.output
def create(
    *,
    name: str,
    url: str | None,
    namespace: str,
    output: options.Output,
    **given: Any,
) -> None:
    """Create a queue, or give an existing one these settings.

    All settings are set: what is not given gets its default, and what that changes is said.
    """

    async def work(oms: AsyncOMSClient) -> tuple[Queue | None, Queue]:
        try:
            before = await oms.get_queue(name)
        except QueueNotFound:
            before = None
        return before, await oms.create_queue(name, **settings.asked(given))

    before, after = ask(url, namespace, work)
    if before is None:
        show.say(f"queue {name} created, {_promise(after)}")
    elif changes := settings.differences(before.settings, after.settings):
        show.say(f"queue {name} changed: {'; '.join(changes)}")
    else:
        show.say(f"queue {name} is there already, {_promise(after)}")
    if output == "json":
        show.json("queue.create", queue=documents.Queue.of(after), created=before is None)


def _promise(one: Queue) -> str:
    return f"promise {show.span(one.settings.sla_ms)}" if one.settings.sla_ms else "no promise"


@queue.command("set")
@click.argument("name")
@settings.changes
@click.option("--reason", default="", help="Why, for the audit.")
@options.store
@options.output
def set_(
    *,
    name: str,
    reason: str,
    url: str | None,
    namespace: str,
    output: options.Output,
    **given: Any,
) -> None:
    """Change some settings of a queue and keep the others.

    Open tasks keep the promise that they came with; the ladder is always the current one.

    \b
        hms queue set kyc --sla 1h --max-depth none
    """  # noqa: D301  # click keeps lines after a real \b
    changes = settings.given(given)
    if not changes:
        raise click.UsageError("say what to change, such as --sla 1h")

    async def work(oms: AsyncOMSClient) -> tuple[Queue, Queue]:
        before = await oms.get_queue(name)
        wanted = settings.changed(before.settings, changes)
        return before, await oms.create_queue(name, **wanted, reason=reason)

    before, after = ask(url, namespace, work)
    if told := settings.differences(before.settings, after.settings):
        show.say(f"queue {name} changed: {'; '.join(told)}")
    else:
        show.say(f"queue {name} is so already")
    if output == "json":
        show.json("queue.set", queue=documents.Queue.of(after))


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
        listed = [
            msgspec.structs.asdict(documents.Queue.of(one)) | {"stats": documents.Stats.of(stats)}
            for one, stats in rows
        ]
        show.json("queue.list", queues=listed)
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


def _paused(one: Queue, now_ms: int) -> str:
    by = f" by {one.paused_by}" if one.paused_by else ""
    return f"{show.moment(one.paused_ms, now_ms)}{by}"


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
        show.json("queue.show", queue=documents.Queue.of(one), stats=documents.Stats.of(stats))
        return
    paused = [("paused", _paused(one, stats.now_ms))] if one.paused_ms else []
    counts = [(state.replace("_", " "), getattr(stats, state)) for state in TaskState]
    show.pairs(
        [
            ("queue", one.name),
            ("state", _state(one)),
            *paused,
            *settings.lines(one.settings),
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
        show.json("queue.peek", queue=name, tasks=[documents.Task.of(one) for one in tasks])
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
@click.option("--reason", default="", help="Why, for the audit.")
@options.store
def resume(*, name: str, reason: str, url: str | None, namespace: str) -> None:
    """Let workers take a paused queue's tasks again."""

    async def work(oms: AsyncOMSClient) -> bool:
        return await oms.resume(name, reason=reason)

    changed = ask(url, namespace, work)
    show.say(f"queue {name} {'goes on' if changed else 'was not paused'}")
