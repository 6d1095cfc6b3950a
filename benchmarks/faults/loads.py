"""What arrives while things break."""

import time
from collections.abc import Callable
from typing import Any

import anyio
from msgspec.structs import replace

from benchmarks.faults.scene import LOOK_S, Scene
from hms_async import AsyncOMSClient, NewTask
from hms_async.errors import EnqueueUnknown, StoreUnavailable

RATE = 100
"""Tasks a second."""

SLOTS = 30
"""Of each of two workers: a little more than `mixed` keeps busy at this rate."""


def mixed(number: int) -> dict[str, object]:
    """Most tasks are quick; some run for so long that they end in the middle of an outage."""
    return {"n": number, "s": (0.02, 0.02, 0.02, 0.5, 2.0)[number % 5]}


async def load(
    scene: Scene,
    rate: float,
    seconds: float,
    make: Callable[[int], Any] = mixed,
    *,
    oms: AsyncOMSClient | None = None,
    queue: str = "q",
) -> None:
    """Drop so many tasks a second in for a while, whatever happens to the server.

    Args:
        scene: Where.
        rate: How many a second.
        seconds: For how long.
        make: Returns the payload, or the task, of a number.
        oms: The client; that of the scene if not given.
        queue: Into which queue.
    """
    tag, number, began = f"{scene.chance.getrandbits(32):08x}", 0, time.monotonic()
    async with anyio.create_task_group() as group:
        while (passed := time.monotonic() - began) < seconds:
            while number < passed * rate:
                made = make(number)
                task = made if isinstance(made, NewTask) else NewTask(made)
                task = replace(task, id=f"load-{tag}-{number}")
                group.start_soon(_enqueue, scene, task, oms or scene.oms, queue)
                number += 1
            await anyio.sleep(LOOK_S)


async def _enqueue(scene: Scene, task: NewTask, oms: AsyncOMSClient, queue: str) -> None:
    """Drop a task in, again and again with its id, as a caller does who may not lose it."""
    while True:
        began = time.monotonic()
        try:
            enqueued = await oms.enqueue(
                queue,
                task.payload,
                id=task.id,
                delay=task.delay,
                idempotency_key=task.idempotency_key,
            )
        except (EnqueueUnknown, StoreUnavailable):
            await anyio.sleep(LOOK_S)
        else:
            scene.accepted[queue].add(enqueued.id)
            return
        finally:
            took = time.monotonic() - began
            scene.longest_enqueue_s = max(scene.longest_enqueue_s, took)
