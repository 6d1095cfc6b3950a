"""`hms stats`: one look at all queues."""

import anyio
import click

from hms_async.api import documents
from hms_async.cli import glance, options, show
from hms_async.cli.session import ask, until_interrupted
from hms_async.client import AsyncOMSClient
from hms_async.domain.duration import Duration, to_ms
from hms_async.runtime.board import Standing


@click.command(cls=options.Command)
@click.argument("queues", metavar="[QUEUE...]", nargs=-1)
@click.option("--watch", type=options.duration, help="Look again and again, that far apart.")
@options.store
@options.output
def stats(
    *,
    queues: tuple[str, ...],
    watch: Duration | None,
    url: str | None,
    namespace: str,
    output: options.Output,
) -> None:
    """Show how each queue does: its clock, its tasks, and whether it will keep its promise.

    The queue that is nearest to harm comes first. `hms top` shows the same as it changes.
    """

    async def work(oms: AsyncOMSClient) -> None:
        board = oms.board()
        while True:
            found = await board.look(queues)
            if watch is not None and output == "table":
                click.clear()  # on a terminal only
            _show(found, output)
            if watch is None:
                return
            await anyio.sleep(to_ms(watch) / 1_000)

    with until_interrupted(watch is not None):
        ask(url, namespace, work)


def _show(found: list[Standing], output: options.Output) -> None:
    if output == "json":
        show.json("stats", queues=[documents.Glance.of_standing(one) for one in found])
    elif found:
        show.table(glance.COLUMNS, glance.rows(found), spare=glance.SPARE)
    else:
        show.say("no queues yet: hms queue create NAME --sla 2h")
