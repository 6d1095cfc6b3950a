"""Looking for acts on many tasks that nobody works on; `work.py` works on them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from hms_async.errors import StoreError
from hms_async.runtime.periodic import run_every
from hms_async.storage import open_operations
from hms_async.storage.store import Store
from hms_async.telemetry.logs import get_logger

if TYPE_CHECKING:
    from hms_async.domain.operation import Operation

log = get_logger("hms_async.act")

LOOK_EVERY_S = 2.0
MOST_AT_ONCE = 4


async def run_operations(store: Store, queues: Sequence[str] | None = None) -> None:
    """Work on operations until cancelled; any number of processes may.

    It asks the server every two seconds whether there is one that nobody works on.

    Args:
        store: Where they are.
        queues: Of which queues; of all if not given.
    """
    at_work: set[str] = set()

    async def work_on(operation_id: str) -> None:
        try:
            # Only who has something to do pays for what does it.
            from hms_async.runtime.work import carry_on  # noqa: PLC0415

            if left := await carry_on(store, operation_id):
                _say(left)
        except StoreError as error:
            # Its lease ends by itself, and whoever is first goes on.
            log.warning("operation.interrupted", operation=operation_id, error=str(error))
        finally:
            at_work.discard(operation_id)

    async def step(group: TaskGroup) -> bool:
        if len(at_work) >= MOST_AT_ONCE:
            return False
        for operation_id in await open_operations.due(store):
            if operation_id in at_work or len(at_work) >= MOST_AT_ONCE:
                continue
            if queues is not None:
                queue = await open_operations.queue_of(store, operation_id)
                if queue is not None and queue not in queues:
                    continue
            at_work.add(operation_id)
            group.start_soon(work_on, operation_id, name=f"operation-{operation_id}")
        return False

    async with anyio.create_task_group() as group:
        await run_every(LOOK_EVERY_S, lambda: step(group), name="operations")


def _say(operation: "Operation") -> None:
    """Write into the log how an operation was left."""
    fields: dict[str, object] = {
        "operation": operation.id,
        "act": operation.act.value,
        "queue": operation.queue,
        "done": operation.done,
        "refused": operation.refused,
    }
    if not operation.state.ended:
        log.warning("operation.lost", **fields)
    elif operation.state == "failed":
        log.error("operation.ended", state=operation.state.value, error=operation.error, **fields)
    else:
        log.info("operation.ended", state=operation.state.value, **fields)
