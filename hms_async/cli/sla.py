"""`hms sla`: how the promises stand, and what people do about them."""

import getpass
from typing import Literal

import click

from hms_async import config
from hms_async.api import documents
from hms_async.api.bundle import as_file, bundle_of
from hms_async.cli import glance, objectives, options, show
from hms_async.cli.errors import Failure
from hms_async.cli.session import ask, operator
from hms_async.client import AsyncOMSClient
from hms_async.domain.access import Principal, Role
from hms_async.domain.forecast import Forecast
from hms_async.domain.incident import KINDS, Incident
from hms_async.domain.task import TaskRecord
from hms_async.runtime.promises import Promise, Undelivered
from hms_async.telemetry import text


@click.group(cls=options.Group)
def sla() -> None:
    """See how the promises stand and were kept, acknowledge, waive and pause."""


sla.add_command(objectives.report)


def _look(url: str | None, namespace: str, queues: tuple[str, ...]) -> list[Promise]:
    async def work(oms: AsyncOMSClient) -> list[Promise]:
        return await oms.sla.ls(queues)

    return ask(url, namespace, work)


@sla.command()
@click.argument("queues", metavar="[QUEUE...]", nargs=-1)
@click.option("--at-risk", is_flag=True, help="List the tasks past 80 % of their promise instead.")
@click.option("-n", "--number", type=int, default=50, show_default=True, help="How many tasks.")
@options.store
@options.output
def ls(
    *,
    queues: tuple[str, ...],
    at_risk: bool,
    number: int,
    url: str | None,
    namespace: str,
    output: options.Output,
) -> None:
    """List the queues, the one that is worst off first, or the tasks that are at risk."""
    if at_risk:
        _list_tasks(url, namespace, queues, number, output)
    else:
        _list_queues(_look(url, namespace, queues), output)


def _list_queues(found: list[Promise], output: options.Output) -> None:
    if output == "json":
        show.json("sla.list", queues=[documents.Promise.of(one) for one in found])
    elif found:
        show.table(
            ["QUEUE", "CLOCK", "PROMISE", "OPEN", "AT RISK", "LATE", "FORECAST", "KEPT",
             "INCIDENTS"],
            [
                [
                    one.queue.name,
                    glance.clock(one.clock),
                    show.span(one.queue.settings.sla_ms),
                    one.stats.open,
                    one.stats.at_risk,
                    one.stats.breached,
                    _foreseen(one.forecast),
                    show.NONE if one.kept is None else f"{one.kept:.2%}",
                    ", ".join(_incident(i) for i in one.incidents if i.open) or show.NONE,
                ]
                for one in found
            ],
        )  # fmt: skip
    else:
        show.say("no queues yet: hms queue create NAME --sla 2h")


def _foreseen(one: Forecast) -> show.Cell:
    if not one.known:
        return "unknown"
    if not one.misses:
        return "kept"
    when = show.moment(one.first_miss_ms, one.at_ms)
    slots = f", {text.number(one.slots_wanted, 'slot')} wanted" if one.slots_wanted else ""
    return show.Marked(f"{one.misses} late, first {when}{slots}", "yellow")


def _incident(one: Incident) -> str:
    return f"{one.kind} {one.severity} x{one.count}{f' ack {one.by}' if one.by else ''}"


def _list_tasks(
    url: str | None,
    namespace: str,
    queues: tuple[str, ...],
    number: int,
    output: options.Output,
) -> None:
    async def work(oms: AsyncOMSClient) -> list[TaskRecord]:
        names = queues or [one.queue.name for one in await oms.sla.ls()]
        found = [task for name in names for task in await oms.sla.at_risk(name, limit=number)]
        return sorted(found, key=lambda task: task.due_ms or 0)[:number]

    tasks = ask(url, namespace, work)
    if output == "json":
        show.json("sla.at_risk", tasks=[documents.Task.of(one) for one in tasks])
    elif tasks:
        show.table(
            ["ID", "QUEUE", "CORRELATION", "STATE", "ARRIVED", "DUE", "WORKER"],
            [
                [
                    one.id,
                    one.queue,
                    one.correlation_id or show.NONE,
                    one.state.replace("_", " "),
                    show.moment(one.arrived_ms),
                    show.due(one.due_ms),
                    one.worker or show.NONE,
                ]
                for one in tasks
            ],
        )
    else:
        show.say("no task is at risk")


@sla.command()
@click.argument("queues", metavar="[QUEUE...]", nargs=-1)
@click.option("--at-risk", is_flag=True, help="Fail on a promise at risk as well.")
@click.option("-q", "--quiet", is_flag=True, help="Only the exit code.")
@options.store
def check(
    *, queues: tuple[str, ...], at_risk: bool, quiet: bool, url: str | None, namespace: str
) -> None:
    """Exit with 1 if a promise is broken by a task that is still open: for cron and CI."""
    wrong = {"breached", "at_risk"} if at_risk else {"breached"}
    bad = [one for one in _look(url, namespace, queues) if one.clock in wrong]
    if not bad:
        if not quiet:
            show.say(f"no open task is late{' or at risk' if at_risk else ''}")
        return
    if quiet:
        raise SystemExit(1)
    raise Failure(
        "; ".join(
            f"{one.queue.name} is {one.clock.replace('_', ' ')}: {one.stats.breached} late, "
            f"{one.stats.at_risk} at risk"
            for one in bad
        )
        + "  (hms sla ls --at-risk)"
    )


@sla.command()
@click.argument("queue")
@click.argument("kind", type=click.Choice(KINDS), default="sla")
@click.option("--by", help="Who is at it; your user name if not given.")
@click.option("--reason", default="", help="What is being done.")
@options.store
def ack(
    *, queue: str, kind: str, by: str | None, reason: str, url: str | None, namespace: str
) -> None:
    """Say that somebody is at an incident; it is told again only if it gets worse."""
    who = by or _user()

    async def work(oms: AsyncOMSClient) -> bool:
        return await oms.sla.acknowledge(queue, kind, by=who, reason=reason)

    changed = ask(url, namespace, work)
    done = f"acknowledged by {who}" if changed else "was acknowledged already"
    show.say(f"the {kind} incident of {queue} {done}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, LookupError, ImportError):  # a container's user may have no name
        raise click.UsageError("say who you are: --by NAME") from None


@sla.command()
@click.argument("task_id", metavar="TASK")
@click.option("--reason", required=True, help="Why; it is kept with the task.")
@options.store
def waive(*, task_id: str, reason: str, url: str | None, namespace: str) -> None:
    """Let an open task off its promise; it goes on without a clock."""

    async def work(oms: AsyncOMSClient) -> bool:
        return await oms.sla.waive(task_id, reason=reason)

    changed = ask(url, namespace, work)
    show.say(f"task {task_id} {'has no clock any more' if changed else 'was waived already'}")


@sla.command()
@click.argument("queue")
@click.option("--reason", required=True, help="Why, for those who look.")
@options.store
def pause(*, queue: str, reason: str, url: str | None, namespace: str) -> None:
    """Pause a queue and stop its clock; `hms queue resume` lets both go on."""

    async def work(oms: AsyncOMSClient) -> bool:
        return await oms.sla.pause(queue, reason=reason)

    changed = ask(url, namespace, work)
    done = "is paused, its clock stands still" if changed else "was paused, with its clock, already"
    show.say(f"queue {queue} {done}")


@sla.command()
@click.argument("queue")
@click.option(
    "--id", "ids", multiple=True, metavar="MESSAGE", help="Only this one; several are possible."
)
@click.option("--again", is_flag=True, help="Try them again, all of the queue without --id.")
@click.option("--drop", is_flag=True, help="Let go of them, all of the queue without --id.")
@click.option("--reason", default="", help="Why, for the audit.")
@options.store
@options.output
def undelivered(
    *,
    queue: str,
    ids: tuple[str, ...],
    again: bool,
    drop: bool,
    reason: str,
    url: str | None,
    namespace: str,
    output: options.Output,
) -> None:
    """List messages that no receiver took, try them again, or let go of them."""
    if again and drop:
        raise click.UsageError("give either --again or --drop, not both")
    redactor = config.redactor()

    async def work(oms: AsyncOMSClient) -> list[Undelivered]:
        if not (again or drop):
            return await oms.sla.undelivered(queue, ids=ids or None)
        act: Literal["again", "drop"] = "again" if again else "drop"
        return await oms.sla.act_on_undelivered(queue, act, ids or None, reason=reason)

    found = [one.visible(redactor) for one in ask(url, namespace, work)]
    if output == "json":
        messages = [documents.Message.of(one) for one in found]
        show.json("sla.undelivered", queue=queue, messages=messages)
    elif found:
        show.table(
            ["MESSAGE", "KIND", "TRIES", "MADE", "WHAT"],
            [
                [one.said.id, one.kind, one.tries, show.moment(one.said.made_ms), one.error]
                for one in found
            ],
        )
    if again or drop or not found:
        show.say(
            f"{len(found)} {'to be tried again' if again else 'dropped'}"
            if found
            else f"no message of {queue} was given up"
        )


@sla.command()
@click.argument("queue")
@options.store
def bundle(*, queue: str, url: str | None, namespace: str) -> None:
    """Print what is known of a queue in trouble as one JSON document, for a ticket.

    No payload is in it, and secrets are left out of errors.

    \b
        hms sla bundle passport.photo > incident.json
    """  # noqa: D301  # click keeps lines after a real \b
    whoever = Principal(operator().who, Role.ADMIN.permissions)

    async def work(oms: AsyncOMSClient) -> documents.IncidentBundle:
        return await bundle_of(oms, queue, whoever, config.redactor())

    click.echo(as_file(ask(url, namespace, work)), nl=False)
