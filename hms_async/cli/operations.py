"""`hms op`: acts on many tasks at once. `hms queue purge` and `hms queue rm` are such acts."""

import re
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from hms_async.api import documents
from hms_async.cli import options, show
from hms_async.cli.errors import Failure
from hms_async.cli.session import ask
from hms_async.client import AsyncOMSClient
from hms_async.domain.duration import to_ms
from hms_async.domain.operation import Act, Operation, OperationState
from hms_async.errors import DurationInvalid

F = TypeVar("F", bound=Callable[..., Any])

_LONGEST_WAIT = "30d"
_NAMES = {
    "state": "states",
    "id": "ids",
    "corr": "correlation_id",
    "type": "error_type",
    "error": "error",
    "fingerprint": "fingerprint",
    "arrived-before": "arrived_before",
    "ended-before": "ended_before",
}
_SEVERAL = frozenset({"states", "ids"})


@click.group(cls=options.Group)
def op() -> None:
    """Act on many tasks at once, and see how far that is.

    An operation goes on in the background: every supervisor (`hms act`, `hms run`) works on it,
    whatever becomes of the command that began it.
    """


def _acting(function: F) -> F:
    """Add what every command that begins an operation takes."""
    for add in (
        click.option("--reason", default="", help="Why, for the audit."),
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
        click.option("--wait", is_flag=True, help="Wait for its end, and work on it meanwhile."),
        options.output,
        options.store,
    ):
        function = add(function)
    return function


@op.command()
@click.argument("act", type=click.Choice([one.value for one in Act if one is not Act.REMOVE]))
@click.option("-Q", "--queue", "queue", required=True, metavar="NAME", help="The queue.")
@click.option(
    "--where",
    multiple=True,
    metavar="NAME=VALUE,...",
    help=f"Which of its tasks: {', '.join(_NAMES)}. All that the act is for if not given; "
    "of requeue those that failed.",
)
@click.option("--rate", type=int, metavar="N", help="Tasks a second at most; 100 if not given.")
@click.option("--dry-run", is_flag=True, help="Only say how many tasks are meant.")
@_acting
def start(
    *,
    act: str,
    queue: str,
    where: tuple[str, ...],
    rate: int | None,
    dry_run: bool,
    url: str | None,
    namespace: str,
    output: options.Output,
    reason: str,
    yes: bool,
    wait: bool,
) -> None:
    """Begin an act on many tasks, and print the id of the operation.

    \b
        hms op start requeue -Q kyc --where state=failed,type=Timeout --dry-run
        hms op start cancel -Q mail --where arrived-before=2h --rate 500 --yes
    """  # noqa: D301  # click keeps lines after a real \b
    meant = read_where(where, datetime.now(UTC))

    def begin(*, dry: bool) -> Callable[[AsyncOMSClient], Awaitable[Operation]]:
        return lambda oms: oms.operations.start(
            act, queue, where=meant, rate=rate, reason=reason, dry_run=dry
        )

    seen = ask(url, namespace, begin(dry=True))
    if dry_run and output == "json":
        show.json("op.start", operation=documents.Operation.of(seen))
        return
    if dry_run:
        show.say(f"{described(seen)}; nothing was done")
        show.table(
            ["STATE", "TASKS"],
            [[state.replace("_", " "), count] for state, count in seen.by_state.items()],
        )
        return
    confirm(described(seen), yes=yes)
    _begin(url, namespace, begin(dry=False), output=output, wait=wait)


@click.command(cls=options.Command)
@click.argument("name")
@_acting
def purge(
    *,
    name: str,
    url: str | None,
    namespace: str,
    output: options.Output,
    reason: str,
    yes: bool,
    wait: bool,
) -> None:
    """Cancel all tasks of a queue that are open and that no worker holds."""
    seen = ask(url, namespace, lambda oms: oms.operations.start("purge", name, dry_run=True))
    confirm(described(seen), yes=yes)
    _begin(url, namespace, lambda oms: oms.purge(name, reason=reason), output=output, wait=wait)


@click.command(cls=options.Command)
@click.argument("name")
@click.option("--force", is_flag=True, help="Also with open tasks: they are cancelled.")
@_acting
def rm(
    *,
    name: str,
    force: bool,
    url: str | None,
    namespace: str,
    output: options.Output,
    reason: str,
    yes: bool,
    wait: bool,
) -> None:
    """Take a queue away, with all that is stored of it.

    It is refused while tasks are open. By force they are cancelled, and what a worker holds for
    more than a minute after that is given up; the operation says what was.
    """
    stats = ask(url, namespace, lambda oms: oms.stats(name))
    ended = stats.done + stats.failed + stats.cancelled + stats.expired
    opened = stats.waiting + stats.in_progress + stats.scheduled + stats.retrying
    cancels = f", cancel its {opened} open tasks" if force else ""
    confirm(f"remove queue {name}{cancels} and forget {ended} that have ended", yes=yes)
    _begin(
        url,
        namespace,
        lambda oms: oms.delete_queue(name, force=force, reason=reason),
        output=output,
        wait=wait,
    )


@op.command()
@click.option("-n", "--number", type=int, default=20, show_default=True, help="How many.")
@options.store
@options.output
def ls(*, number: int, url: str | None, namespace: str, output: options.Output) -> None:
    """List operations, the last first."""
    found = ask(url, namespace, lambda oms: oms.operations.list(number))
    if output == "json":
        show.json("op.list", operations=[documents.Operation.of(one) for one in found])
        return
    if not found:
        show.say("no operations yet: hms op start --help")
        return
    show.table(
        ["ID", "ACT", "QUEUE", "STATE", "DONE", "OF", "REFUSED", "BEGUN", "BY", "WHAT"],
        [
            [
                one.id,
                one.act,
                one.queue,
                one.state,
                one.done,
                _count(one),
                one.refused,
                show.moment(one.created_ms),
                one.by.who,
                one.error or str(one.where) or show.NONE,
            ]
            for one in found
        ],
    )


@op.command("show")
@click.argument("operation_id", metavar="ID")
@options.store
@options.output
def show_(*, operation_id: str, url: str | None, namespace: str, output: options.Output) -> None:
    """Show an operation: how far it is, and which tasks it could not be done to."""
    one = ask(url, namespace, lambda oms: oms.operations.get(operation_id))
    if output == "json":
        show.json("op.show", operation=documents.Operation.of(one))
        return
    lines: list[tuple[str, show.Cell]] = [
        ("operation", one.id),
        ("act", one.act),
        ("queue", one.queue),
        ("where", str(one.where) or show.NONE),
        ("by", f"{one.by.who} via {one.by.via}"),
        ("reason", one.by.reason or show.NONE),
        ("state", one.state),
        ("rate", show.NONE if one.rate is None else f"{one.rate} a second"),
        ("matched", _count(one)),
        ("done", one.done),
        ("refused", one.refused),
        ("begun", show.moment(one.created_ms)),
        ("started", show.moment(one.started_ms)),
        ("finished", show.moment(one.finished_ms)),
        ("says", one.error or show.NONE),
    ]
    lines += [
        (f"refused {n}", f"{each.id}: {each.reason}") for n, each in enumerate(one.refusals, 1)
    ]
    show.pairs((name, value) for name, value in lines if value != show.NONE)


@op.command()
@click.argument("operation_id", metavar="ID")
@click.option("--reason", default="", help="Why, for the audit.")
@options.store
@options.output
def stop(
    *, operation_id: str, reason: str, url: str | None, namespace: str, output: options.Output
) -> None:
    """Stop an operation; what it has done stays done."""
    one = ask(url, namespace, lambda oms: oms.operations.stop(operation_id, reason=reason))
    if output == "json":
        show.json("op.stop", operation=documents.Operation.of(one))
    else:
        show.say(f"operation {one.id} stops: it was done to {one.done} tasks so far")


def read_where(given: tuple[str, ...], now: datetime) -> dict[str, Any]:
    """Return what `--where` says, by the names that the client takes.

    An instant may be a duration as well, which is so long ago.

    Raises:
        click.BadParameter: If it is not `name=value`, or the name is none.
    """
    meant: dict[str, Any] = {}
    for text in given:
        # A comma within a value is one, unless another name follows it.
        for part in re.split(r",(?=[a-z-]+=)", text):
            name, equals, value = part.partition("=")
            if not equals or name not in _NAMES:
                raise click.BadParameter(
                    f'"{part}" is not NAME=VALUE with one of {", ".join(_NAMES)}',
                    param_hint="--where",
                )
            field = _NAMES[name]
            if field in _SEVERAL:
                meant.setdefault(field, []).append(value)
            elif field in meant:
                raise click.BadParameter(f'"{name}" is given twice', param_hint="--where")
            else:
                meant[field] = _ago(value, now) if name.endswith("-before") else value
    return meant


def _ago(value: str, now: datetime) -> str | datetime:
    try:
        return now - timedelta(milliseconds=to_ms(value))
    except DurationInvalid:
        return value  # an instant then, or the client says that it is none


def described(one: Operation) -> str:
    """Return what is about to be done, for people."""
    narrowed = f" where {one.where}" if str(one.where) else ""
    speed = "" if one.rate is None else f", at most {one.rate} a second"
    return f"{one.act} {_count(one)} tasks of {one.queue}{narrowed}{speed}"


def _count(one: Operation) -> str:
    return f"{'' if one.exact else 'about '}{one.matched}"


def confirm(what: str, *, yes: bool) -> None:
    """Ask whether it is to be done.

    Raises:
        click.UsageError: If nobody is there to be asked.
        click.Abort: If it is not.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"this would {what}: say --yes, since nobody can be asked here")
    click.confirm(f"{what}?", abort=True, err=True)


def _begin(
    url: str | None,
    namespace: str,
    begin: Callable[[AsyncOMSClient], Awaitable[Operation]],
    *,
    output: options.Output,
    wait: bool,
) -> None:
    """Begin an operation, print its id, and wait for its end if that is wanted."""
    begun = ask(url, namespace, begin)
    if not wait:
        if output == "json":
            show.json("op.start", operation=documents.Operation.of(begun))
        else:
            click.echo(begun.id)
            show.say(f"it goes on in the background: hms op show {begun.id}")
        return
    if output != "json":
        click.echo(begun.id)
    ended = ask(url, namespace, lambda oms: oms.operations.wait(begun.id, _LONGEST_WAIT))
    if output == "json":
        show.json("op.start", operation=documents.Operation.of(ended))
    if ended.state is OperationState.FAILED:
        raise Failure(f"operation {ended.id} failed: {ended.error}")
    if output != "json":
        told = f"; {ended.error}" if ended.error else ""
        show.say(f"{ended.state}: done to {ended.done} tasks, refused {ended.refused}{told}")
