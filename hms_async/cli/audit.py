"""`hms audit`: who did what, and why."""

import click

from hms_async.api import documents
from hms_async.cli import options, show
from hms_async.cli.session import ask
from hms_async.client import AsyncOMSClient
from hms_async.domain.audit import AuditPage


@click.command(cls=options.Command)
@click.argument("queue", required=False)
@click.option("--limit", type=int, default=50, show_default=True, help="How many; 500 at most.")
@click.option("--cursor", help="Where the page before ended.")
@options.store
@options.output
def audit(
    *,
    queue: str | None,
    limit: int,
    cursor: str | None,
    url: str | None,
    namespace: str,
    output: options.Output,
) -> None:
    """Show who changed what, and why, the newest first: of a queue, or of all."""

    async def work(oms: AsyncOMSClient) -> AuditPage:
        return await oms.audit(queue, cursor=cursor, limit=limit)

    page = ask(url, namespace, work)
    if output == "json":
        entries = [documents.AuditEntry.of(one) for one in page.entries]
        show.json("audit", queue=queue, entries=entries, cursor=page.cursor)
        return
    if page.entries:
        show.table(
            ["AT", "QUEUE", "ACT", "TASK", "WHO", "VIA", "WHAT"],
            [
                [
                    show.moment(one.at_ms),
                    one.queue or show.NONE,
                    one.act,
                    one.task_id or show.NONE,
                    one.who,
                    one.via,
                    one.reason or show.NONE,
                ]
                for one in page.entries
            ],
        )
    if page.cursor:
        place = " ".join(filter(None, (queue, "--cursor", page.cursor)))
        show.say(f"more: hms audit {place}")
    elif not page.entries:
        show.say("nobody has changed anything")
