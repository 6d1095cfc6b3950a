"""Looking for acts on many tasks that nobody works on; `work.py` works on them."""

import asyncio
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
_UNTOLD_S = 30.0
MOST_AT_ONCE = 4


async def run_operations(
    store: Store, queues: Sequence[str] | None = None, told: asyncio.Event | None = None
) -> None:
    """Work on operations until cancelled; any number of processes may.

    It asks the server every two seconds whether there is one that nobody works on. Beside a
    supervisor, whose sweeps tell of that, it asks when it is told, and every 30 s.

    Args:
        store: Where they are.
        queues: Of which queues; of all if not given.
        told: Set when there is one that nobody works on.
    """
    async with anyio.create_task_group() as group:
        runner = _Runner(store, queues, group)
        if told is None:
            await run_every(LOOK_EVERY_S, runner.look, name="operations")
            return

        async def look_when_told() -> bool:
            with anyio.move_on_after(_UNTOLD_S):
                await told.wait()
            told.clear()
            return await runner.look()

        told.set()  # what was begun before us
        await run_every(LOOK_EVERY_S, look_when_told, name="operations")


class _Runner:
    """Works on a few operations at once."""

    def __init__(self, store: Store, queues: Sequence[str] | None, group: TaskGroup) -> None:
        self._store = store
        self._queues = queues
        self._group = group
        self._at_work: set[str] = set()

    async def look(self) -> bool:
        """Begin to work on what nobody works on."""
        if len(self._at_work) >= MOST_AT_ONCE:
            return False
        for operation_id in await open_operations.due(self._store):
            if operation_id in self._at_work or len(self._at_work) >= MOST_AT_ONCE:
                continue
            if not await self._is_ours(operation_id):
                continue
            self._at_work.add(operation_id)
            name = f"operation-{operation_id}"
            self._group.start_soon(self._work_on, operation_id, name=name)
        return False

    async def _is_ours(self, operation_id: str) -> bool:
        if self._queues is None:
            return True
        queue = await open_operations.queue_of(self._store, operation_id)
        return queue is None or queue in self._queues

    async def _work_on(self, operation_id: str) -> None:
        try:
            # Only who has something to do pays for what does it.
            from hms_async.runtime.work import carry_on  # noqa: PLC0415

            if left := await carry_on(self._store, operation_id):
                _say(left)
        except StoreError as error:
            # Its lease ends by itself, and whoever is first goes on.
            log.warning("operation.interrupted", operation=operation_id, error=str(error))
        finally:
            self._at_work.discard(operation_id)


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
