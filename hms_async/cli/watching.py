"""`hms job wait` and `hms job watch`: for a task's end, and what happens on the way there."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import click
from anyio.abc import ObjectReceiveStream

from hms_async.api import documents
from hms_async.cli import options, show
from hms_async.cli.errors import Failure
from hms_async.cli.happenings import as_json, as_line
from hms_async.cli.session import ask
from hms_async.client import AsyncOMSClient
from hms_async.domain.duration import Duration
from hms_async.domain.event import GAP, Event
from hms_async.domain.task import ENDED, TaskState
from hms_async.errors import TaskFailed
from hms_async.telemetry import text

_FOR_EVER = "365d"
_LOOK_AGAIN_S = 5.0
_AT_ONCE = 100


@click.command(cls=options.Command)
@click.argument("task_id", metavar="ID")
@click.option("--timeout", type=options.duration, help="How long; until it ends if not given.")
@options.store
@options.output
def wait(
    *,
    task_id: str,
    timeout: Duration | None,
    url: str | None,
    namespace: str,
    output: options.Output,
) -> None:
    """Wait for a task's end and print its result as JSON.

    Exits with 0 when it is done, 1 when it ended otherwise, 6 when the time was over before.
    """
    as_json = output == "json"

    async def work(oms: AsyncOMSClient) -> tuple[Any, TaskFailed | None]:
        failed = result = None
        try:
            result = await oms.result(task_id, timeout=_FOR_EVER if timeout is None else timeout)
        except TaskFailed as error:
            failed = error
        return documents.Task.of(await oms.get_task(task_id)) if as_json else result, failed

    found, failed = ask(url, namespace, work)
    if as_json:
        show.json("job.wait", task=found)
    elif failed is None:
        click.echo(text.to_json(found))
    if failed is not None:
        raise failed


@click.command(cls=options.Command)
@click.argument("task_id", metavar="[ID]", required=False)
@click.option(
    "--corr", metavar="ID", help="Follow a case instead, until none of its tasks is open."
)
@click.option("--queue", metavar="NAME", help="Follow a queue instead, until Ctrl-C.")
@options.store
@options.output
def watch(
    *,
    task_id: str | None,
    corr: str | None,
    queue: str | None,
    url: str | None,
    namespace: str,
    output: options.Output,
) -> None:
    """Print what happens to a task, a case or a queue, one event a line.

    With -o json each line is one JSON object. Exits with 1 when the task ended otherwise than in
    done, or a task of the case did.
    """
    if sum(one is not None for one in (task_id, corr, queue)) != 1:
        raise click.UsageError("give a task's ID, or --corr ID, or --queue NAME")

    def tell(event: Event) -> None:
        click.echo(as_json(event, "job.event") if output == "json" else as_line(event))

    async def work(oms: AsyncOMSClient) -> str | None:
        if queue is not None:
            async for event in oms.events(queue):
                tell(event)
        if task_id is not None:
            return await _follow_task(oms, task_id, tell)
        return await _follow_case(oms, corr or "", tell)

    if wrong := ask(url, namespace, work):
        raise Failure(wrong)


Tell = Callable[[Event], None]
Look = Callable[[], Awaitable[dict[str, str]]]
"""Looks at the state and returns which tasks are still open, each with its queue."""


async def _follow_task(oms: AsyncOMSClient, task_id: str, tell: Tell) -> str | None:
    """Tell of a task until it ends; return what is wrong with its end, if anything is."""

    async def look() -> dict[str, str]:
        task = await oms.get_task(task_id)
        return {} if task.state.ended else {task.id: task.queue}

    await _follow(oms, look, lambda event: event.task_id == task_id, tell)
    task = await oms.get_task(task_id)
    show.say(f"task {task_id} is {task.state.replace('_', ' ')}")
    if task.state is TaskState.DONE:
        return None
    return task.reason or f"task {task_id} is {task.state}"


async def _follow_case(oms: AsyncOMSClient, case: str, tell: Tell) -> str | None:
    """Tell of a case until none of its tasks is open."""

    async def look() -> dict[str, str]:
        tasks = (await oms.case(case)).tasks
        return {one.id: one.queue for one in tasks if not one.state.ended}

    await _follow(oms, look, lambda event: event.correlation_id == case, tell)
    tasks = (await oms.case(case)).tasks
    bad = [one for one in tasks if one.state is not TaskState.DONE]
    show.say(f"case {case}: {text.number(len(tasks), 'task')}, none is open")
    return "; ".join(f"task {one.id} of {one.queue} is {one.state}" for one in bad) or None


async def _follow(
    oms: AsyncOMSClient, look: Look, wanted: Callable[[Event], bool], tell: Tell
) -> None:
    """Tell of events until a look finds nothing open, and all ends are told that can be.

    Nothing rests on one event: an end whose event is gone is waited for no longer than others.
    """
    # Before the first look, so that no event after it is missed, by the server's clock.
    began: str | None = None
    for name in await oms.list_queues():
        began = f"{(await oms.stats(name)).now_ms - 1}-0"
        break
    send, receive = anyio.create_memory_object_stream[Event](_AT_ONCE)

    async def listen(queue: str) -> None:
        async for event in oms.events(queue, after=began):
            # One without entries before it looks like one of which they were trimmed away.
            if wanted(event) or (event.type == GAP and event.id != began):
                await send.send(event)

    followed, untold = set[str](), set[str]()
    async with send, receive, anyio.create_task_group() as group:
        while (still := await look()) or untold:
            for queue in set(still.values()) - followed:
                group.start_soon(listen, queue, name=f"events of {queue}")
            followed.update(still.values())
            untold.update(still)
            last = await _until_an_end(receive, tell)
            if last is not None:
                untold.discard(last.task_id or "")
            elif not still:
                break
        group.cancel_scope.cancel()


async def _until_an_end(events: ObjectReceiveStream[Event], tell: Tell) -> Event | None:
    """Tell of events until one says that it is worth looking again; none if none comes for long."""
    while True:
        event: Event | None = None
        with anyio.move_on_after(_LOOK_AGAIN_S):
            event = await events.receive()
        if event is None:
            return None
        tell(event)
        if event.type == GAP or event.type in ENDED:
            return event
