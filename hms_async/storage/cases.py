"""Reading a case: the tasks of one correlation id, across queues."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from hms_async.domain.case import Case, sum_up
from hms_async.errors import StoreProtocol
from hms_async.storage.reading import read_tasks
from hms_async.storage.server import Server

if TYPE_CHECKING:
    from hms_async.domain.task import TaskRecord

MOST_TASKS = 2_000
_AT_ONCE = 100  # bodies may be large


async def read_case(
    server: Server,
    correlation_id: str,
    limit: int,
    sees: Callable[[str], bool] = lambda _: True,
) -> Case | None:
    """Return a case with its latest tasks; `None` when it has none that is stored.

    Args:
        server: Where the tasks are.
        correlation_id: The case.
        limit: How many tasks at most.
        sees: Whether tasks of a queue are to be seen.
    """
    key = server.keys.case(correlation_id)
    try:
        entries: list[bytes] = await server.ask("ZREVRANGE", key, 0, limit)
    except StoreProtocol:  # a foreign hand's key is no case
        return None
    ids = [entry.decode(errors="replace") for entry in reversed(entries[:limit])]
    tasks: list[TaskRecord] = []
    for first in range(0, len(ids), _AT_ONCE):
        some = ids[first : first + _AT_ONCE]
        async with server.pipeline() as pipe:
            for task_id in some:
                pipe.hget(server.keys.run("", task_id), "queue")
            queues = await pipe.execute(raise_on_error=False)
        places = [
            (name, task_id)
            for queue, task_id in zip(queues, some, strict=True)
            if isinstance(queue, bytes) and sees(name := queue.decode(errors="replace"))
        ]
        # An entry may have outlived its task, whose id another one has; long cases share keys.
        tasks += [
            task
            for task in await read_tasks(server, places)
            if task.correlation_id == correlation_id
        ]
    if not tasks:
        return None
    now_ms = server.now_ms(await server.ask("TIME"))
    return Case(
        correlation_id=correlation_id,
        tasks=tasks,
        more=len(entries) > limit,
        summary=sum_up(tasks, now_ms),
        now_ms=now_ms,
    )
