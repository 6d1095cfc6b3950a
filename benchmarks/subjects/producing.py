"""A producer process: sends tasks in one of five ways and tells what that took."""

import asyncio
import math
import time
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.subjects.common import Subject
from benchmarks.subjects.samples import UNTIMED, own_cpu

_TICK_S = 0.001


@dataclass
class Sent:
    """What a producer did; seconds, and CPU seconds of its process.

    Attributes:
        tasks: How many tasks were timed.
        seconds: From the first call to the end of the last.
        cpu: What this process used in that time.
    """

    tasks: int
    seconds: float
    cpu: float


async def produce(subject: Subject, how: str, tasks: int, rate: float) -> dict[str, Any]:
    """Send one task untimed, so that connections and scripts are there, then the others.

    Args:
        subject: Whose producer.
        how: `many`, `group`, `one`, `paced` or `due`.
        tasks: How many to send after the first; 0 to send only that one.
        rate: Tasks per second if paced; how many seconds ahead if due.
    """
    async with subject.producing():
        await subject.enqueue(UNTIMED)
        began, cpu = time.monotonic(), own_cpu()
        if how == "many":
            await subject.enqueue_many([UNTIMED] * tasks)
        elif how == "group":
            await subject.enqueue_group([UNTIMED] * tasks)
        elif how == "one":
            for _ in range(tasks):
                await subject.enqueue(UNTIMED)
        elif how == "paced":
            await _paced(subject, tasks, rate)
        elif how == "due":
            await _due(subject, tasks, rate)
        else:
            raise ValueError(how)
        return asdict(Sent(tasks, time.monotonic() - began, own_cpu() - cpu))


async def _paced(subject: Subject, tasks: int, rate: float) -> None:
    """Start each call at its moment, whether or not those before it have ended.

    Timers are a millisecond coarse; calls whose moment has come leave together. A subject that can
    take only so many calls at once lets the others wait, and that is part of the latency.
    """
    places = asyncio.Semaphore(subject.at_once or tasks)

    async def send() -> None:
        sent = time.monotonic()
        async with places:
            await subject.enqueue(sent)

    began = time.monotonic()
    started = 0
    async with asyncio.TaskGroup() as group:
        while started < tasks:
            come = min(tasks, 1 + int((time.monotonic() - began) * rate))
            for _ in range(started, come):
                group.create_task(send())
            started = max(started, come)
            await asyncio.sleep(max(_TICK_S, began + started / rate - time.monotonic()))


async def _due(subject: Subject, tasks: int, ahead: float) -> None:
    """Schedule all for one instant, a whole second, as some peers know no smaller unit.

    Raises:
        TimeoutError: If the instant came before all were sent.
    """
    due = math.ceil(time.time() + ahead)
    # The handlers go by the monotonic clock, so they are told the instant on that one.
    instant = time.monotonic() + (due - time.time())
    await subject.enqueue_group([instant] * tasks, float(due))
    if time.monotonic() > instant:
        raise TimeoutError(f"{tasks} tasks were not scheduled within {ahead:g} s")
