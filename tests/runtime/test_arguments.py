"""Arguments that cannot be meant are refused where they are given."""

from typing import Any

import anyio
import pytest

from hms_async import (
    AsyncOMSClient,
    AsyncWorker,
    ConfigInvalid,
    NameInvalid,
    NewTask,
    RetryPolicy,
    Supervisor,
    Task,
    TaskState,
)
from tests.runtime.support import PATIENCE_S, worker


async def fail(task: Task[Any]) -> None:
    await task.retry()


@pytest.fixture(autouse=True)
async def _queue(oms: AsyncOMSClient) -> None:
    await oms.create_queue("q", retry=RetryPolicy(base="1h", cap="1h"))


@pytest.mark.parametrize("place", ["abc", "", "1", "1-", "-1", "$", "1-1-1"])
async def test_a_place_that_is_no_events_id_is_refused(oms: AsyncOMSClient, place: str) -> None:
    with pytest.raises(ConfigInvalid, match="is not the id of an event"):
        await anext(oms.events("q", after=place))


@pytest.mark.parametrize("namespace", ["a b", "a:b", "{a}", "-a"])
def test_a_bad_namespace_is_refused_before_anything_happens(namespace: str) -> None:
    for make in (
        lambda: AsyncOMSClient("memory://x", namespace=namespace),
        lambda: AsyncWorker(queue="q", handler=fail, url="memory://x", namespace=namespace),
        lambda: Supervisor("memory://x", namespace=namespace),
    ):
        with pytest.raises(NameInvalid, match="namespace"):
            make()


def test_the_options_of_a_new_task_have_names() -> None:
    make: Any = NewTask
    with pytest.raises(TypeError, match="positional"):
        make("payload", "an id")

    assert NewTask("payload", id="an-id").id == "an-id"


@pytest.mark.parametrize("one", ["abc", b"def", {"a": 1}])
async def test_one_payload_is_not_taken_for_many(oms: AsyncOMSClient, one: Any) -> None:
    with pytest.raises(ConfigInvalid, match=r"write \[payload\]"):
        await oms.enqueue_many("q", one)

    assert (await oms.stats("q")).open == 0


@pytest.mark.parametrize(
    ("state", "cursor"),
    [
        ("done", "abc"),
        ("done", ""),
        ("done", "set:"),
        ("done", "set:-1"),
        ("done", "set:" + "9" * 30),
        ("done", "normal:0"),
        ("waiting", "set:0"),
        ("waiting", "express:one"),
        ("waiting", "normal:" + "9" * 30),
    ],
)
async def test_a_cursor_that_no_page_gave_is_refused(
    oms: AsyncOMSClient, state: str, cursor: str
) -> None:
    with pytest.raises(ConfigInvalid, match="is not one that a page gave"):
        await oms.list_tasks("q", state, cursor)


async def test_listed_tasks_say_what_they_wait_for(oms: AsyncOMSClient) -> None:
    begun, go_on = anyio.Event(), anyio.Event()

    async def handle(task: Task[Any]) -> None:
        if task.payload == "retried":
            await task.retry()
            return
        begun.set()
        await go_on.wait()

    await oms.enqueue("q", "scheduled", delay="1h")
    await oms.enqueue("q", "retried")
    async with worker(oms.url, handle, concurrency=1):
        await oms.enqueue("q", "running")
        with anyio.fail_after(PATIENCE_S):
            await begun.wait()
        pages = [
            await oms.list_tasks("q", state)
            for state in (TaskState.SCHEDULED, TaskState.RETRYING, TaskState.IN_PROGRESS)
        ]
        now_ms = (await oms.stats("q")).now_ms
        alone = [await oms.get_task(task.id) for page in pages for task in page.tasks]
        go_on.set()

    scheduled, retried, held = [task for page in pages for task in page.tasks]
    assert [task.payload for task in (scheduled, retried, held)] == [
        "scheduled",
        "retried",
        "running",
    ]
    assert [(task.starts_ms, task.lease_expires_ms) for task in (scheduled, retried, held)] == [
        (task.starts_ms, task.lease_expires_ms) for task in alone
    ]
    assert (scheduled.lease_expires_ms, retried.lease_expires_ms, held.starts_ms) == (None,) * 3
    for instant in (scheduled.starts_ms, retried.starts_ms, held.lease_expires_ms):
        assert instant is not None
        assert instant > now_ms
