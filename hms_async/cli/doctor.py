"""`hms doctor`: what is wrong, and what to type."""

import shutil
import textwrap
from collections import Counter
from collections.abc import Sequence

import anyio
import click

from hms_async import config
from hms_async.cli import options, show
from hms_async.cli.errors import CONFLICT, Failure, unknown_queue
from hms_async.cli.session import operator, reachable
from hms_async.domain.diagnosis.finding import Finding, Level, worst
from hms_async.domain.diagnosis.queues import ORPHANS
from hms_async.errors import ConfigInvalid, QueueNotFound
from hms_async.runtime.doctor import SCANNED_KEYS, examine, fix
from hms_async.storage.connect import check_url, is_memory, redact
from hms_async.telemetry import text

_STYLES = {Level.GREEN: "green", Level.AMBER: "yellow", Level.RED: "red"}
_MARKS = {Level.GREEN: "green", Level.AMBER: "amber", Level.RED: "RED"}
_WIDTH = 80
_INDENT = 21  # where what was found begins


@click.command(cls=options.Command)
@click.option(
    "--fix", "queue", metavar="QUEUE", help="Put back its lost tasks; it is to be paused."
)
@click.option(
    "--scan",
    type=click.IntRange(min=0),
    default=SCANNED_KEYS,
    show_default=True,
    metavar="KEYS",
    help="How many keys to search for lost tasks; 0 for none.",
)
@options.store
@options.output
def doctor(
    *, queue: str | None, scan: int, url: str | None, namespace: str, output: options.Output
) -> None:
    """Examine the server, the workers and every queue: what is wrong, and what to type.

    Red: tasks are lost, or promises broken, now or at the next mishap; the exit code is 1 then.
    Amber: it works, and somebody should look. It changes nothing without --fix, and no command of
    it grows with the number of tasks.
    """
    url, namespace = check_url(config.store_url(url)), config.namespace(namespace)
    if is_memory(url):
        raise ConfigInvalid("memory:// is empty in each new process: there is nothing to examine")
    if queue is not None:
        _tell_mended(queue, anyio.run(_fix, url, namespace, queue, scan), output)
        return
    findings = anyio.run(_examine, url, namespace, scan)
    level = worst(findings)
    if output == "json":
        show.json("doctor", level=level, findings=findings)
    else:
        _tell(url, findings)
    if level == Level.RED:
        raise SystemExit(1)


async def _examine(url: str, namespace: str, scan: int) -> list[Finding]:
    async with reachable(url, namespace) as store:
        return await examine(store, scan=scan)


async def _fix(url: str, namespace: str, queue: str, scan: int) -> Counter[str]:
    async with reachable(url, namespace) as store:
        try:
            mended = await fix(store, queue, operator(), scan=scan)
        except QueueNotFound as error:
            raise unknown_queue(queue, await store.queue_names()) from error
    if mended is None:
        raise Failure(
            f'queue "{queue}" is not paused, so its tasks may be on the move. First '
            f"hms queue pause {queue} --reason doctor",
            exit_code=CONFLICT,
        )
    return mended


def _tell_mended(queue: str, mended: Counter[str], output: options.Output) -> None:
    if output == "json":
        show.json("doctor.fixed", queue=queue, mended=mended)
    else:
        for word, count in mended.items():
            click.echo(f"mended {count}: {ORPHANS[word]}")
    if not mended:
        show.say(f"nothing to mend in {queue}")
    show.say(f"go on with: hms queue resume {queue}")


def _tell(url: str, findings: Sequence[Finding]) -> None:
    width = max(shutil.get_terminal_size((_WIDTH, 24)).columns, _WIDTH) if show.is_terminal() else 0
    click.echo(f"doctor   {redact(url)}\n")
    previous = ""
    for one in findings:
        label = "" if one.check == previous else one.check
        previous = one.check
        mark = f"{_MARKS[one.level]:<6}"
        first, *rest = _wrapped(one.found, width)
        if width:
            mark = click.style(mark, fg=_STYLES[one.level])
        click.echo(f"  {mark} {label:<12}{first}")
        for line in rest:
            click.echo(" " * _INDENT + line)
        for number, line in enumerate(_wrapped(one.todo, width) if one.todo else []):
            click.echo(f"{'' if number else '-> ':>{_INDENT}}{line}")
    counts = Counter(one.level for one in findings)
    click.echo(
        f"\n{counts[Level.RED]} red, {counts[Level.AMBER]} amber, {counts[Level.GREEN]} green"
    )


def _wrapped(line: str, width: int) -> list[str]:
    clean = text.clean(line)
    if not width:
        return [clean]
    return textwrap.wrap(clean, width - _INDENT, break_long_words=False) or [clean]
