"""What is wrong with one queue, one setting or one call does not reach the others."""

from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from hms_async import (
    AsyncOMSClient,
    AsyncWorker,
    ClientClosed,
    NewTask,
    ResultTimeout,
    StoreProtocol,
    Supervisor,
    Task,
    TaskState,
)
from hms_async.runtime import heartbeat, results, sweeps
from hms_async.runtime.heartbeat import Heartbeat
from hms_async.runtime.leases import Held
from hms_async.runtime.loop import ExchangeLoop
from hms_async.runtime.order import to_order
from hms_async.runtime.task import Attempt
from hms_async.storage.events import EventReader
from hms_async.storage.replies import Claim
from hms_async.storage.store import Store
from hms_async.testing import ManualClock
from tests.runtime.support import PATIENCE_S, burst, worker
from tests.servers import Raw


async def echo(task: Task[Any]) -> object:
    return task.payload


def held_in(*queues: str) -> Held:
    """A lease in each of these queues."""
    held = Held()
    for queue in queues:
        claim = Claim(queue, f"token-{queue}", 1, 0, 0, None, 0, b"{}")
        held.add(Attempt(claim, queue, server_ms=0, max_result_bytes=100))
    return held


class Renewals:
    """Stands for the renewer: notes each renewal, and refuses those of broken queues."""

    def __init__(self, *broken: str) -> None:
        self.queues: list[str] = []
        self._broken = broken
        self._news = anyio.Event()

    def extend(self, queue: str, _leases: Sequence[tuple[str, str]]) -> set[str]:
        self.queues.append(queue)
        anyio.from_thread.run_sync(self._tell, token=self._token)
        if queue in self._broken:
            raise StoreProtocol("WRONGTYPE")
        return set()

    def close(self) -> None: ...
