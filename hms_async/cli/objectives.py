"""`hms sla report`: how promises were kept, and what became of those that were not."""

import click

from hms_async.api import documents
from hms_async.cli import options, show
from hms_async.cli.session import ask
from hms_async.client import AsyncOMSClient
from hms_async.domain.duration import Duration
from hms_async.domain.objective import percent
from hms_async.domain.series import DAY_MS, HOUR_MS
from hms_async.runtime.objectives import Burn, PromiseReport


@click.command(cls=options.Command)
@options.only_queues
@click.option(
    "--since",
    type=options.duration,
    default="28d",
    show_default=True,
    help="The span of the error budget.",
)
@click.option(
    "-n", "--number", type=int, default=10, show_default=True, help="How many of the worst misses."
)
@options.store
@options.output
def report(
    *,
    queues: tuple[str, ...],
    since: Duration,
    number: int,
    url: str | None,
    namespace: str,
    output: options.Output,
) -> None:
    """Show how promises were kept against their goals, and where the time of the worst misses went.

    Figures of a span in which no promise has closed are "-".
    """

    async def work(oms: AsyncOMSClient) -> list[PromiseReport]:
        return await oms.sla.report(queues, since=since, worst=number)

    found = ask(url, namespace, work)
    if output == "json":
        show.json("sla.report", queues=[documents.Report.of(one) for one in found])
    elif found:
        _show_report(found, number)
    else:
        show.say("no queue promises anything yet: hms queue create NAME --sla 2h")


def _show_report(found: list[PromiseReport], number: int) -> None:
    spans = [_length(one.length_ms) for one in found[0].windows]
    burns = [f"{show.about(one.long_ms)}/{show.about(one.short_ms)}" for one in found[0].burns]
    show.table(
        ["QUEUE", "PROMISE", "GOAL", *(f"KEPT {span}" for span in spans), "MISSED", "BUDGET LEFT",
         *(f"BURN {span}" for span in burns)],
        [
            [
                one.queue.name,
                show.span(one.queue.settings.sla_ms),
                percent(one.queue.settings.goal),
                *(show.share(window.kept.ratio, one.queue.settings.goal) for window in one.windows),
                f"{one.kept.missed} of {one.kept.closed}" if one.kept.closed else show.NONE,
                show.share(one.budget_left, 0),
                *map(_burning, one.burns),
            ]
            for one in found
        ],
        spare=("PROMISE", "MISSED", "KEPT 24h", "GOAL"),
    )  # fmt: skip
    worst = [missed for one in found for missed in one.worst]
    worst.sort(key=lambda missed: missed.late_ms, reverse=True)
    if worst:
        click.echo()
        show.table(
            ["LATE", "QUEUE", "ID", "CORRELATION", "STATE", "ENDED", "WAITED", "RAN", "BACKED OFF",
             "LOST", "UNKNOWN"],
            [
                [
                    show.about(one.late_ms),
                    one.task.queue,
                    one.task.id,
                    one.task.correlation_id or show.NONE,
                    one.task.state.replace("_", " "),
                    show.moment(one.task.finished_ms),
                    *map(
                        _part,
                        (
                            one.spent.waited_ms,
                            one.spent.ran_ms,
                            one.spent.backed_off_ms,
                            one.spent.lost_ms,
                            one.spent.unknown_ms,
                        ),
                    ),
                ]
                for one in worst[:number]
            ],
            spare=("STATE", "CORRELATION", "ENDED", "UNKNOWN", "QUEUE"),
        )  # fmt: skip


def _length(ms: int) -> str:
    """Return a span, a day as hours: one that ends now is no day of the calendar."""
    return f"{ms // HOUR_MS}h" if ms % HOUR_MS == 0 and ms <= DAY_MS else show.span(ms)


def _burning(one: Burn) -> show.Cell:
    """Return how fast a budget goes over a long span and a short one."""
    if one.long is None and one.short is None:
        return show.NONE
    told = "/".join(show.NONE if rate is None else f"{rate:.1f}" for rate in (one.long, one.short))
    return show.Marked(told, "red") if one.too_fast else told


def _part(ms: int) -> str:
    return show.about(ms) if ms else show.NONE
