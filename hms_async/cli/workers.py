"""`hms workers`: who is at work, here and over HTTP."""

import click

from hms_async.api import documents
from hms_async.cli import options, show
from hms_async.cli.session import ask
from hms_async.client import AsyncOMSClient
from hms_async.domain.worker import WorkerCard


@click.group(cls=options.Group)
def workers() -> None:
    """See which workers are about."""


@workers.command()
@click.option("--queue", help="Only those that serve this queue.")
@options.store
@options.output
def ls(*, queue: str | None, url: str | None, namespace: str, output: options.Output) -> None:
    """List the workers that were heard of in the last minute, those over REST too."""

    async def work(oms: AsyncOMSClient) -> list[WorkerCard]:
        return await oms.workers()

    found = [one for one in ask(url, namespace, work) if queue is None or queue in one.queues]
    if output == "json":
        show.json("workers.list", workers=[documents.Worker.of(one) for one in found])
    elif found:
        show.table(
            ["WORKER", "VIA", "QUEUES", "RUNNING", "HOST", "PID", "VERSION", "SEEN"],
            [_row(one) for one in found],
        )
    else:
        show.say("no workers: hms run starts one")


def _row(one: WorkerCard) -> list[show.Cell]:
    running = show.NONE if one.running is None else str(one.running)
    return [
        one.name,
        one.via,
        ",".join(one.queues) or show.NONE,
        running if one.slots is None else f"{running}/{one.slots}",
        one.host or show.NONE,
        show.NONE if one.pid is None else one.pid,
        one.version or show.NONE,
        show.moment(one.seen_ms),
    ]
