"""`hms case`: all tasks of one correlation id, across queues."""

import click

from hms_async.api import documents
from hms_async.cli import options, show
from hms_async.cli.session import ask
from hms_async.client import AsyncOMSClient
from hms_async.domain.case import Case
from hms_async.domain.task import TaskRecord, TaskState


@click.group(cls=options.Group)
def case() -> None:
    """Look at a case: the tasks of one correlation id, across queues."""


@case.command("show")
@click.argument("correlation_id", metavar="CORR")
@click.option("-n", "--number", type=int, default=500, show_default=True, help="How many tasks.")
@options.store
@options.output
def show_(
    *, correlation_id: str, number: int, url: str | None, namespace: str, output: options.Output
) -> None:
    """Show where a case is, what it has cost in time, and its tasks by arrival."""

    async def work(oms: AsyncOMSClient) -> Case:
        return await oms.case(correlation_id, limit=number)

    found = ask(url, namespace, work)
    if output == "json":
        show.json(
            "case.show",
            correlation_id=found.correlation_id,
            tasks=[documents.Task.of(one) for one in found.tasks],
            more=found.more,
            summary=documents.CaseSummary.of(found.summary),
        )
        return
    show.pairs((name, value) for name, value in _lines(found) if value != show.NONE)
    click.echo()
    show.table(
        ["ID", "QUEUE", "STATE", "ATTEMPT", "ARRIVED", "ENDED", "DUE", "WHAT"],
        [_row(one) for one in found.tasks],
    )
    if found.more:
        show.say(f"it has earlier tasks: hms case show {correlation_id} -n {2 * number}")


def _lines(found: Case) -> list[tuple[str, show.Cell]]:
    one = found.summary
    counts = [f"{count} {state.replace('_', ' ')}" for state, count in one.counts.items()]
    where = f"{one.at.state.replace('_', ' ')} in {one.at.queue}"
    return [
        ("case", found.correlation_id),
        ("at", where if one.open else f"ended, {where}"),
        ("since", show.moment(one.since_ms)),
        ("tasks", ", ".join(counts)),
        ("began", show.moment(one.began_ms)),
        ("ended", show.moment(one.ended_ms)),
        ("waiting", show.about(one.waiting_ms)),
        ("running", show.about(one.running_ms)),
        ("retrying", show.about(one.retrying_ms)),
    ]


def _row(task: TaskRecord) -> list[show.Cell]:
    bad = task.state in (TaskState.FAILED, TaskState.EXPIRED)
    state = task.state.replace("_", " ")
    return [
        task.id,
        task.queue,
        show.Marked(state, "red") if bad else state,
        task.attempt,
        show.moment(task.arrived_ms),
        show.moment(task.finished_ms),
        show.moment(task.due_ms) if task.state.ended else show.due(task.due_ms),
        show.short(task.reason or (task.payload if task.result is None else task.result)),
    ]
