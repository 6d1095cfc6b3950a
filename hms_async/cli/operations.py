"""`hms op`: acts on many tasks, which go on in the background."""

import sys
from typing import Any

import anyio
import click

from hms_async.api import documents
from hms_async.cli import options, show
from hms_async.cli.errors import Failure
from hms_async.cli.session import ask
from hms_async.client import AsyncOMSClient
from hms_async.domain.operation import Act, Operation
from hms_async.domain.selection import Where
from hms_async.telemetry import logs

_ACTS = [act.value for act in Act if act is not Act.REMOVE]
_NAMES = {
    "state": "states",
    "id": "ids",
    "corr": "correlation_id",
    "type": "error_type",
    "error": "error",
    "arrived-before": "arrived_before",
    "ended-before": "ended_before",
}
_SEVERAL = ("states", "ids")
_LOOK_EVERY_S = 0.5

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
wait_option = click.option("--wait", "waits", is_flag=True, help="Return when it has ended.")
reason_option = click.option("--reason", default="", help="Why, for the audit.")


@click.group(cls=options.Group)
def op() -> None:
    """Act on many tasks in the background, and see how far that is."""


@op.command()
@click.argument("act", type=click.Choice(_ACTS))
@click.option("--queue", required=True, help="Whose tasks.")
@click.option(
    "--where",
    default="",
    metavar="NAME=VALUE,...",
    help="Which: state, id, corr, type, error, arrived-before, ended-before.",
)
@click.option("--rate", type=int, help="Tasks a second; 100 if not given.")
@click.option("--dry-run", is_flag=True, help="Only say how many are meant.")
@yes_option
@wait_option
@reason_option
@options.store
@options.output
def start(
    *,
    act: str,
    queue: str,
    where: str,
    rate: int | None,
    dry_run: bool,
    yes: bool,
    waits: bool,
    reason: str,
    url: str | None,
    namespace: str,
    output: options.Output,
) -> None:
    """Do something to all tasks that match, and print the operation's id.

    \b
        hms op start requeue --queue kyc --where state=failed,type=Timeout --rate 50
    """  # noqa: D301  # click keeps lines after a real \b
    meant = read_where(where)

    async def look(oms: AsyncOMSClient) -> Operation:
        return await oms.operations.start(act, queue, where=meant, rate=rate, dry_run=True)

    preview = ask(url, namespace, look)
    about = "" if preview.exact else "about "
    show.say(f"{act} is meant for {about}{preview.matched} tasks of {queue} ({_by_state(preview)})")
    if dry_run:
        _print(preview, output)
        return
    confirm(f"{act} {about}{preview.matched} tasks of {queue}", yes=yes)

    async def begin(oms: AsyncOMSClient) -> Operation:
        return await oms.operations.start(act, queue, where=meant, rate=rate, reason=reason)

    finish(url, namespace, ask(url, namespace, begin), waits=waits, output=output)


@op.command()
@click.option("--limit", type=int, default=20, show_default=True)
@options.store
@options.output
def ls(*, limit: int, url: str | None, namespace: str, output: options.Output) -> None:
    """List the latest operations."""

    async def work(oms: AsyncOMSClient) -> list[Operation]:
        return await oms.operations.list(limit)

    found = ask(url, namespace, work)
    if output == "json":
        show.json("operation.list", operations=[documents.Operation.of(one) for one in found])
    elif found:
        show.table(
            ["OPERATION", "ACT", "QUEUE", "STATE", "DONE", "REFUSED", "BEGUN", "BY", "WHAT"],
            [
                [
                    one.id,
                    one.act.value,
                    one.queue,
                    one.state.value,
                    f"{one.done}/{one.matched}",
                    one.refused,
                    show.moment(one.created_ms),
                    one.by.who,
                    str(one.where) or "all",
                ]
                for one in found
            ],
        )
    else:
        show.say("no operations: hms op start requeue --queue NAME --where state=failed")


@op.command("show")
@click.argument("operation_id", metavar="OPERATION")
@options.store
@options.output
def show_(*, operation_id: str, url: str | None, namespace: str, output: options.Output) -> None:
    """Show an operation: how far it is, and what it could not be done to."""

    async def work(oms: AsyncOMSClient) -> Operation:
        return await oms.operations.get(operation_id)

    one = ask(url, namespace, work)
    if output == "json":
        show.json("operation.show", operation=documents.Operation.of(one))
        return
    show.pairs(
        [
            ("operation", one.id),
            ("act", f"{one.act.value} of {one.queue}, {str(one.where) or 'all'}"),
            ("state", f"{one.state.value} {one.error}".rstrip()),
            ("done", f"{one.done} of {one.matched if one.exact else f'about {one.matched}'}"),
            ("refused", one.refused),
            ("rate", show.NONE if one.rate is None else f"{one.rate} a second"),
            ("by", f"{one.by.who} via {one.by.via}"),
            ("reason", one.by.reason or show.NONE),
            ("begun", show.moment(one.created_ms)),
            ("ended", show.moment(one.finished_ms)),
            *((f"  {refusal.id}", refusal.reason) for refusal in one.refusals),
        ]
    )


@op.command()
@click.argument("operation_id", metavar="OPERATION")
@reason_option
@options.store
def stop(*, operation_id: str, reason: str, url: str | None, namespace: str) -> None:
    """Ask an operation to stop; what it has done stays done."""

    async def work(oms: AsyncOMSClient) -> Operation:
        return await oms.operations.stop(operation_id, reason=reason)

    one = ask(url, namespace, work)
    show.say(f"operation {one.id} is {one.state.value}: {one.done} of {one.matched} are done")


@click.command(cls=options.Command)
@click.argument("queue")
@yes_option
@wait_option
@reason_option
@options.store
@options.output
def purge(
    *,
    queue: str,
    yes: bool,
    waits: bool,
    reason: str,
    url: str | None,
    namespace: str,
    output: options.Output,
) -> None:
    """Cancel all tasks of a queue that no worker holds."""

    async def look(oms: AsyncOMSClient) -> int:
        stats = await oms.stats(queue)
        return stats.open - stats.in_progress

    confirm(f"cancel {ask(url, namespace, look)} tasks of {queue}", yes=yes)

    async def work(oms: AsyncOMSClient) -> Operation:
        return await oms.purge(queue, reason=reason)

    finish(url, namespace, ask(url, namespace, work), waits=waits, output=output)


@click.command(cls=options.Command)
@click.argument("queue")
@click.option("--force", is_flag=True, help="Also with open tasks, which are cancelled.")
@yes_option
@wait_option
@reason_option
@options.store
@options.output
def rm(
    *,
    queue: str,
    force: bool,
    yes: bool,
    waits: bool,
    reason: str,
    url: str | None,
    namespace: str,
    output: options.Output,
) -> None:
    """Remove a queue with all that is kept of it; refused while tasks are open, unless forced."""

    async def look(oms: AsyncOMSClient) -> int:
        return (await oms.stats(queue)).open

    count = ask(url, namespace, look)
    confirm(f"remove {queue}" + (f" and cancel its {count} open tasks" if count else ""), yes=yes)

    async def work(oms: AsyncOMSClient) -> Operation:
        return await oms.delete_queue(queue, force=force, reason=reason)

    finish(url, namespace, ask(url, namespace, work), waits=waits, output=output)


def read_where(text: str) -> dict[str, Any]:
    """Return a selection written as `state=failed,type=Timeout`; a state or id may come again.

    Raises:
        click.UsageError: If it is none.
    """
    found: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not equals or name not in _NAMES:
            raise click.UsageError(
                f'--where "{part}": write NAME=VALUE, with a name of {", ".join(_NAMES)}'
            )
        field = _NAMES[name]
        if field in _SEVERAL:
            found.setdefault(field, []).append(value)
        else:
            found[field] = value
    Where.read(found)
    return found


def confirm(what: str, *, yes: bool) -> None:
    """Ask whether to do something.

    Raises:
        click.UsageError: If nobody is there to be asked.
        Failure: If the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"to {what} without being asked, add --yes")
    if not click.confirm(f"{what}?", err=True):
        raise Failure("nothing was done")


def finish(
    url: str | None,
    namespace: str,
    begun: Operation,
    *,
    waits: bool,
    output: options.Output,
) -> None:
    """Print what was begun, or how it has ended.

    Raises:
        Failure: If it has ended otherwise than done.
    """
    if not waits:
        _print(begun, output)
        show.say(f"begun: hms op show {begun.id}")
        return

    # Whoever waits works on it, too, and tells of that; stdout is for the operation's id.
    logs.configure(fmt="text", level="warning")

    async def wait(oms: AsyncOMSClient) -> Operation:
        async with anyio.create_task_group() as group:
            group.start_soon(_tell, oms, begun.id)
            ended = await oms.operations.wait(begun.id, "100d")
            group.cancel_scope.cancel()
        return ended

    ended = ask(url, namespace, wait)
    _print(ended, output)
    show.say(
        f"{ended.state.value}: {ended.done} done, {ended.refused} refused {ended.error}".rstrip()
    )
    if ended.state.value != "done":
        raise Failure(f"operation {ended.id} is {ended.state.value}: {ended.error}".rstrip(": "))


async def _tell(oms: AsyncOMSClient, operation_id: str) -> None:
    told = -1
    while True:
        await anyio.sleep(_LOOK_EVERY_S)
        one = await oms.operations.get(operation_id)
        if one.done != told:
            told = one.done
            show.say(f"{one.done} of {one.matched}")


def _print(one: Operation, output: options.Output) -> None:
    if output == "json":
        show.json("operation.show", operation=documents.Operation.of(one))
    elif one.id:
        click.echo(one.id)


def _by_state(one: Operation) -> str:
    return ", ".join(f"{count} {state.value}" for state, count in one.by_state.items() if count)
