"""The timer that ends a process whose handlers will not end, and when it is called off."""

import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import anyio
import pytest

import hms_async.worker
from hms_async import AsyncOMSClient, AsyncWorker, Task
from hms_async.runtime import shutdown
from hms_async.runtime.process import leaving_after
from tests.runtime.support import PATIENCE_S


def test_the_process_is_left_when_what_is_inside_does_not_end_in_time() -> None:
    left = threading.Event()

    with leaving_after(0, left.set):
        assert left.wait(PATIENCE_S)


@pytest.mark.parametrize("raises", [False, True])
def test_the_process_is_not_left_once_what_is_inside_has_ended(*, raises: bool) -> None:
    left = threading.Event()
    before = set(threading.enumerate())

    def work() -> None:
        with leaving_after(3_600, left.set):
            (timer,) = set(threading.enumerate()) - before
            timers.append(timer)
            if raises:
                raise LookupError

    timers: list[threading.Thread] = []
    if raises:
        with pytest.raises(LookupError):
            work()
    else:
        work()

    timers[0].join(PATIENCE_S)
    assert (timers[0].is_alive(), left.is_set()) == (False, False)


async def stubborn(task: Task[Any]) -> None:
    """Goes on after its cancellation until the timer has been set."""
    story: Story = task.resources
    story.begun.set()
    try:
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await story.armed.wait()


class Story:
    """What happens at the end of a worker, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.begun, self.armed = anyio.Event(), anyio.Event()

    @contextmanager
    def leaving_after(self, seconds: float, leave: Callable[[], object]) -> Generator[None]:
        self.told.append("timer set")
        self.armed.set()
        with leaving_after(seconds, leave):
            yield
        self.told.append("timer off")

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator["Story"]:
        yield self
        self.told.append("resources closed")


async def test_the_timer_is_called_off_before_resources_are_closed(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    story, left = Story(), list[int]()
    monkeypatch.setattr(hms_async.worker, "leaving_after", story.leaving_after)
    monkeypatch.setattr(hms_async.worker, "_LEAVE_S", 3_600.0)
    monkeypatch.setattr(shutdown, "CANCEL_GRACE_S", 0.01)
    await oms.create_queue("q")
    await oms.enqueue("q", 1)
    one = AsyncWorker(queue="q", handler=stubborn, url=oms.url, lifespan=story.lifespan)
    run = partial(one._run, burst=False, leave=left.append)  # pyright: ignore[reportPrivateUsage]
    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await story.begun.wait()
            one.stop()
            one.stop()

    assert story.told == ["timer set", "timer off", "resources closed"]
    assert (left, one.handed_back) == ([], 1)
