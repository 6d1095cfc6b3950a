"""`hms stats`: one look at all queues."""

import click

from hms_async.api import documents
from hms_async.cli import options, show
from hms_async.cli.session import ask
from hms_async.client import AsyncOMSClient
from hms_async.domain.queue import QueueStats

_AT_RISK = 0.8


@click.command(cls=options.Command)
@click.argument("queues", metavar="[QUEUE...]", nargs=-1)
@options.store
@options.output
def stats(
    *, queues: tuple[str, ...], url: str | None, namespace: str, output: options.Output
) -> None:
    """Show how many tasks of each queue are in which state, and how old the oldest one is."""

    async def work(oms: AsyncOMSClient) -> list[QueueStats]:
        return [await oms.stats(name) for name in queues or await oms.list_queues()]

    found = ask(url, namespace, work)
    if output == "json":
        show.json("stats", queues=[documents.Stats.of(one) for one in found])
    elif found:
        show.table(
            ["QUEUE", "PROMISE", "WAITING", "RUNNING", "SCHED", "RETRY", "DONE", "FAILED",
             "OLDEST", "STATE"],
            [_row(one) for one in found],
        )  # fmt: skip
    else:
        show.say("no queues yet: hms queue create NAME --sla 2h")


def _row(one: QueueStats) -> list[show.Cell]:
    return [
        one.name,
        show.span(one.sla_ms),
        one.waiting,
        one.in_progress,
        one.scheduled,
        one.retrying,
        one.done,
        show.Marked(str(one.failed), "yellow") if one.failed else 0,
        _oldest(one),
        show.Marked("paused", "magenta") if one.paused else "active",
    ]


def _oldest(one: QueueStats) -> show.Cell:
    """Return the arrival of the task that leads the queue; on a terminal its age, and a word."""
    if not one.oldest_arrived_ms or not show.is_terminal():
        return show.moment(one.oldest_arrived_ms)
    age = max(one.now_ms - one.oldest_arrived_ms, 0)
    told = show.about(age)
    if not one.sla_ms or age < _AT_RISK * one.sla_ms:
        return told
    late = age >= one.sla_ms
    return show.Marked(f"{told} {'late' if late else 'at risk'}", "red" if late else "yellow")
