"""`hms job`: put tasks in, look at them, and act on one."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from hms_async import config
from hms_async.api import documents
from hms_async.cli import options, show, watching
from hms_async.cli.session import ask
from hms_async.client import AsyncOMSClient
from hms_async.domain.duration import Duration
from hms_async.domain.handoff import Handoff
from hms_async.domain.queue import Priority
from hms_async.domain.task import Enqueued, TaskPage, TaskRecord, TaskState


@click.group(cls=options.Group)
def job() -> None:
    """Put tasks in, look at them, and act on one."""


job.add_command(watching.wait)
job.add_command(watching.watch)
_why = click.option("--reason", default="", help="Why, for the audit.")


@job.command()
@click.argument("queue")
@click.option(
    "--data", required=True, metavar="JSON", help="The payload: JSON, @file, or - for stdin."
)
@click.option("--id", "task_id", help="An id of your own, unique in the namespace.")
@click.option("--corr", metavar="ID", help="Ties it to a case, such as a citizen's request.")
@click.option("--key", help="Two pushes with one key are one task.")
@click.option("--in", "delay", type=options.duration, help="Wait before the first attempt.")
@click.option("--eta", metavar="TIME", help="The earliest start: 2026-12-01T08:00:00+01:00.")
@click.option(
    "--priority", type=click.Choice(["normal", "high"]), default="normal", help="high goes first."
)
@click.option("--sla", type=options.duration, help="Its own promise instead of the queue's.")
@click.option("--expires-in", type=options.duration, help="Never start it after that.")
@click.option("--max-wait", type=options.duration, help="Fail it when it waits for longer.")
@click.option("--run-timeout", type=options.duration, help="How long one attempt may run.")
@click.option("--traceparent", metavar="W3C", help="The trace that it belongs to.")
@options.store
@options.output
def push(
    *,
    queue: str,
    data: str,
    task_id: str | None,
    corr: str | None,
    key: str | None,
    delay: Duration | None,
    eta: str | None,
    priority: Priority,
    sla: Duration | None,
    url: str | None,
    namespace: str,
    output: options.Output,
    **further: Any,
) -> None:
    """Put a task into a queue and print its id.

    \b
        hms job push passport.photo --data '{"file": "sam.jpg"}' --corr REQ-123
        hms job push mail --data @letter.json --in 5m
    """  # noqa: D301  # click keeps lines after a real \b
    if delay is not None and eta is not None:
        raise click.UsageError("give either --in or --eta, not both")
    payload, start = read_payload(data), None if eta is None else read_instant(eta)

    async def work(oms: AsyncOMSClient) -> Enqueued:
        return await oms.enqueue(
            queue,
            payload,
            id=task_id,
            correlation_id=corr,
            priority=priority,
            delay=delay,
            eta=start,
            idempotency_key=key,
            sla=sla,
            **further,
        )

    _tell_pushed("job.push", ask(url, namespace, work), output, queue=queue)


def read_payload(data: str) -> Any:
    """Return the JSON value of `--data`.

    Raises:
        click.BadParameter: If the file cannot be read, or it is no JSON.
    """
    where, text = "it", data.encode(errors="surrogateescape")
    if data == "-":
        where, text = "stdin", sys.stdin.buffer.read()
    elif data.startswith("@"):
        where = data[1:]
        try:
            text = Path(where).read_bytes()
        except OSError as error:
            raise click.BadParameter(
                f"cannot read {where}: {error.strerror}", param_hint="--data"
            ) from error
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(
            f"{where} is not JSON: {str(error).removeprefix('JSON is malformed: ')}",
            param_hint="--data",
        ) from error


def read_instant(text: str) -> datetime:
    """Return the moment of `--eta`.

    Raises:
        click.BadParameter: If it is none, or has no time zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(
            f'"{text}" is not a time: write 2026-12-01T08:00:00+01:00', param_hint="--eta"
        ) from error
    if moment.utcoffset() is None:
        raise click.BadParameter(
            f'"{text}" has no time zone: add Z for UTC, or +01:00', param_hint="--eta"
        )
    return moment


@job.command("show")
@click.argument("task_id", metavar="ID")
@options.store
@options.output
def show_(*, task_id: str, url: str | None, namespace: str, output: options.Output) -> None:
    """Show a task: what was asked, how it goes, and its last attempts."""

    async def work(oms: AsyncOMSClient) -> TaskRecord:
        return await oms.get_task(task_id)

    task = ask(url, namespace, work)
    if output == "json":
        show.json("job.show", task=documents.Task.of(task))
    else:
        show.pairs((name, value) for name, value in _lines(task) if value != show.NONE)


def _lines(task: TaskRecord) -> list[tuple[str, show.Cell]]:
    lines: list[tuple[str, show.Cell]] = [
        ("task", task.id),
        ("queue", task.queue),
        ("state", task.state.replace("_", " ")),
        ("correlation", task.correlation_id or show.NONE),
        ("priority", task.priority),
        ("attempt", task.attempt),
        ("crashes", task.crashes or show.NONE),
        ("arrived", show.moment(task.arrived_ms)),
        ("due", show.moment(task.due_ms) if task.state.ended else show.due(task.due_ms)),
        ("waived", task.waived or show.NONE),
        ("moved to", task.moved_to or show.NONE),
        ("again of", task.again_of or show.NONE),
        ("again as", task.again_as or show.NONE),
        ("expires", show.moment(task.expires_ms)),
        ("starts", show.moment(task.starts_ms)),
        ("started", show.moment(task.started_ms)),
        ("finished", show.moment(task.finished_ms)),
        ("worker", task.worker or show.NONE),
        ("lease until", show.moment(task.lease_expires_ms)),
        ("cancel asked", show.moment(task.cancel_asked_ms)),
        ("cancel by", task.cancel_by or show.NONE),
        ("cancel reason", task.cancel_reason or show.NONE),
        ("payload", show.short(task.payload, 2_000) if task.raw is None else "unreadable"),
        ("stored", show.short(task.raw, 2_000) if task.raw is not None else show.NONE),
        ("result", show.NONE if task.result is None else show.short(task.result, 2_000)),
        ("error", task.reason or show.NONE),
        ("trace", task.traceparent or show.NONE),
        ("hand-off", show.NONE if task.handoff is None else _handoff(task.handoff)),
    ]
    for attempt in task.attempts:
        took = show.span(attempt.finished_ms - attempt.started_ms)
        told = f"{show.moment(attempt.finished_ms)} after {took} by {attempt.worker}"
        reason = attempt.traceback.rstrip() or f"{attempt.error_type}: {attempt.error}"
        lines.append((f"attempt {attempt.number}", f"{told}\n{reason}"))
    return lines


def _handoff(handoff: Handoff) -> str:
    return show.short(f"{handoff.workflow} {handoff.key} {show.short(handoff.payload)}", 2_000)


@job.command()
@click.argument("queue")
@click.option(
    "--state",
    type=click.Choice([state.value for state in TaskState]),
    default=TaskState.WAITING.value,
    show_default=True,
)
@click.option("--limit", type=int, default=50, show_default=True, help="How many; 500 at most.")
@click.option("--cursor", help="Where the page before ended.")
@options.store
@options.output
def ls(
    *,
    queue: str,
    state: str,
    limit: int,
    cursor: str | None,
    url: str | None,
    namespace: str,
    output: options.Output,
) -> None:
    """List a queue's tasks in one state.

    Waiting ones come in the order in which they will be taken, ended ones newest first.
    """

    async def work(oms: AsyncOMSClient) -> TaskPage:
        return await oms.list_tasks(queue, state, cursor, limit=limit)

    page = ask(url, namespace, work)
    if output == "json":
        tasks = [documents.Task.of(task) for task in page.tasks]
        show.json("job.list", queue=queue, state=state, tasks=tasks, cursor=page.cursor)
        return
    if page.tasks:
        show.table(
            ["ID", "CORRELATION", "ATTEMPT", "ARRIVED", "DUE", "WHAT"],
            [_row(task) for task in page.tasks],
        )
    if page.cursor:
        show.say(f"more: hms job ls {queue} --state {state} --cursor {page.cursor}")
    elif not page.tasks:
        show.say(f"no task of {queue} is {state}")


def _row(task: TaskRecord) -> list[show.Cell]:
    return [
        task.id,
        task.correlation_id or show.NONE,
        task.attempt,
        show.moment(task.arrived_ms),
        show.moment(task.due_ms) if task.state.ended else show.due(task.due_ms),
        _what(task),
    ]


def _what(task: TaskRecord) -> str:
    """Return the one thing that one asks of a task in its state."""
    if task.state is TaskState.IN_PROGRESS:
        return f"held by {task.worker}"
    if task.state is TaskState.DONE:
        return show.short(task.result)
    return show.short(task.reason or task.payload)


@job.command()
@click.argument("task_id", metavar="ID")
@_why
@options.store
def cancel(*, task_id: str, reason: str, url: str | None, namespace: str) -> None:
    """Cancel a task; one that a worker holds is cancelled there within about a second."""

    async def work(oms: AsyncOMSClient) -> bool:
        return await oms.cancel(task_id, reason=reason)

    if ask(url, namespace, work):
        show.say(f"task {task_id} is cancelled")
    else:
        show.say(f"task {task_id} is in progress: its worker has been asked to cancel it")


@job.command()
@click.argument("task_id", metavar="ID")
@click.option("--reset-clock", is_flag=True, help="Start its SLA clock anew.")
@_why
@options.store
def requeue(
    *, task_id: str, reset_clock: bool, reason: str, url: str | None, namespace: str
) -> None:
    """Bring back a task that failed, was cancelled or expired; its attempts restart."""

    async def work(oms: AsyncOMSClient) -> None:
        await oms.requeue(task_id, reset_clock=reset_clock, reason=reason)

    ask(url, namespace, work)
    show.say(f"task {task_id} waits again")


@job.command()
@click.argument("task_id", metavar="ID")
@click.option("--data", metavar="JSON", help="Another payload: JSON, @file, or - for stdin.")
@click.option("--corr", metavar="ID", help="Another case; none with an empty text.")
@click.option("--id", "new_id", help="An id of your own for the new task.")
@_why
@options.store
@options.output
def again(
    *,
    task_id: str,
    data: str | None,
    corr: str | None,
    new_id: str | None,
    reason: str,
    url: str | None,
    namespace: str,
    output: options.Output,
) -> None:
    """Run a task again, as a new task beside it, and print its id.

    Where the payload has "[redacted]", as pages show it, the new task has what the old one has.

    \b
        hms job again 01M8... --data '{"file": "sam-2.jpg"}' --reason 'a new scan'
    """  # noqa: D301  # click keeps lines after a real \b
    changes: dict[str, Any] = {} if data is None else {"payload": read_payload(data)}
    if corr is not None:
        changes["correlation_id"] = corr or None

    async def work(oms: AsyncOMSClient) -> Enqueued:
        if data is not None:
            old = await oms.get_task(task_id)
            changes["payload"] = config.redactor().restore(changes["payload"], old.payload)
        return await oms.run_again(task_id, **changes, id=new_id, reason=reason)

    _tell_pushed("job.again", ask(url, namespace, work), output, again_of=task_id)


def _tell_pushed(schema: str, pushed: Enqueued, output: options.Output, **about: str) -> None:
    if not pushed.created:
        show.say(f"task {pushed.id} was there already, under this id or key: nothing was added")
    if output == "json":
        show.json(schema, **about, id=pushed.id, created=pushed.created)
    else:
        click.echo(pushed.id)


@job.command()
@click.argument("task_id", metavar="ID")
@_why
@options.store
def bump(*, task_id: str, reason: str, url: str | None, namespace: str) -> None:
    """Let a waiting task go before the others."""

    async def work(oms: AsyncOMSClient) -> None:
        await oms.bump(task_id, reason=reason)

    ask(url, namespace, work)
    show.say(f"task {task_id} goes before the others")
