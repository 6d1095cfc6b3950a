import functools
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import msgspec
import pytest
import structlog

from hms_async import (
    AsyncOMSClient,
    AsyncWorker,
    ConfigInvalid,
    HandlerInvalid,
    NameInvalid,
    NewTask,
    Task,
    TaskState,
    handler,
)
from hms_async.runtime.handlers import bind
from tests.runtime.support import burst, do

if TYPE_CHECKING:
    from decimal import Decimal


class Photo(msgspec.Struct):
    file: str
    pages: list[int] = []


@dataclass
class Letter:
    to: str
    copies: int = 1


async def test_a_typed_payload_arrives_as_its_type(oms: AsyncOMSClient) -> None:
    seen: list[object] = []

    async def struct(task: Task[Photo]) -> None:
        seen.append(task.payload)

    def plain(task: Task[Letter]) -> None:
        seen.append(task.payload)

    await oms.create_queue("q")
    await do(oms, struct, {"file": "a.jpg", "pages": [1]})
    await do(oms, plain, {"to": "Sam"})

    assert seen == [Photo(file="a.jpg", pages=[1]), Letter(to="Sam")]


@pytest.mark.parametrize(
    ("payload", "path"), [({"file": "a", "pages": [1, "two"]}, "$.pages[1]"), ({}, "$"), ([], "$")]
)
async def test_a_payload_that_does_not_fit_fails_at_once_with_the_path(
    oms: AsyncOMSClient, payload: object, path: str
) -> None:
    called: list[Task[Photo]] = []

    async def handle(task: Task[Photo]) -> None:
        called.append(task)

    await oms.create_queue("q")
    record = await do(oms, handle, payload)

    assert not called
    assert (record.state, record.attempt) == (TaskState.FAILED, 1)
    assert record.reason.startswith(f"PayloadInvalid: {path}: ")


async def test_decorated_handlers_share_a_worker(oms: AsyncOMSClient) -> None:
    @handler(queue="kyc", concurrency=2)
    async def kyc(task: Task[Any]) -> str:
        return f"kyc {task.payload}"

    @handler(queue="mail")
    def mail(task: Task[Any]) -> str:
        return f"mail {task.payload}"

    ids: list[str] = []
    for queue in ("kyc", "mail"):
        await oms.create_queue(queue)
        ids.append((await oms.enqueue(queue, 1)).id)
    await AsyncWorker(handlers=[kyc, mail], url=oms.url).run(burst=True)

    assert [await oms.result(task_id, timeout=0) for task_id in ids] == ["kyc 1", "mail 1"]


async def test_objects_methods_and_partials_are_handlers(oms: AsyncOMSClient) -> None:
    class Counter:
        async def __call__(self, task: Task[Letter]) -> str:
            return task.payload.to

        async def method(self, task: Task[Letter]) -> str:
            return task.payload.to

    async def with_greeting(greeting: str, task: Task[Letter]) -> str:
        return f"{greeting} {task.payload.to}"

    await oms.create_queue("q")
    handlers: list[Any] = [Counter(), Counter().method, functools.partial(with_greeting, "Dear")]

    results = [(await do(oms, one, {"to": "Sam"})).result for one in handlers]

    assert results == ["Sam", "Sam", "Dear Sam"]


async def test_plain_functions_run_side_by_side_in_threads(oms: AsyncOMSClient) -> None:
    everybody = threading.Barrier(3, timeout=5)

    def handle(_task: Task[Any]) -> int:
        everybody.wait()
        return threading.get_ident()

    await oms.create_queue("q")
    ids = [one.id for one in await oms.enqueue_many("q", [1, 2, 3])]
    await burst(oms.url, handle, concurrency=3)

    threads = {await oms.result(task_id, timeout=0) for task_id in ids}
    assert len(threads) == 3
    assert threading.get_ident() not in threads


async def test_what_a_handler_sees_of_its_task(oms: AsyncOMSClient) -> None:
    seen: list[Task[Any]] = []

    async def handle(task: Task[Any]) -> None:
        await task.heartbeat()
        seen.append(task)

    await oms.create_queue("q", sla="2h")
    enqueued = await oms.enqueue("q", {"n": 1}, correlation_id="REQ-1")
    await burst(oms.url, handle)
    task, record = seen[0], await oms.get_task(enqueued.id)

    assert (task.id, task.queue, task.correlation_id) == (enqueued.id, "q", "REQ-1")
    assert (task.attempt, task.payload, task.resources) == (1, {"n": 1}, None)
    assert (task.arrived_at, task.due_at) == (record.arrived_at, record.due_at)
    left = task.time_left()
    assert left is not None
    assert 7_100 < left.total_seconds() <= 7_200
    assert repr(task) == f"<Task {task.id} of q, attempt 1>"


async def test_a_task_brings_the_context_of_its_trace(oms: AsyncOMSClient) -> None:
    seen: list[Task[Any]] = []

    async def handle(task: Task[Any]) -> None:
        seen.append(task)

    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await oms.create_queue("q")
    first = await oms.enqueue("q", 1, traceparent=parent, tracestate="a=b", baggage="c=d")
    await oms.enqueue_many("q", [NewTask(2, baggage="c=d"), 3])
    await burst(oms.url, handle)

    got = {task.payload: (task.traceparent, task.tracestate, task.baggage) for task in seen}
    assert got == {1: (parent, "a=b", "c=d"), 2: (None, None, "c=d"), 3: (None, None, None)}
    assert (await oms.get_task(first.id)).traceparent == parent
    with pytest.raises(ConfigInvalid, match="traceparent='x'"):
        await oms.enqueue("q", 4, traceparent="x")


CASE: ContextVar[str] = ContextVar("case", default="none")


async def sets_asynchronously(task: Task[str]) -> list[str]:
    before = CASE.get()
    CASE.set(task.payload)
    await anyio.lowlevel.checkpoint()
    structlog.contextvars.bind_contextvars(case=task.payload)
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 0)
    return [before, CASE.get()]


def sets_in_a_thread(task: Task[str]) -> list[str]:
    before = CASE.get()
    CASE.set(task.payload)
    return [before, CASE.get()]


@pytest.mark.parametrize("handle", [sets_asynchronously, sets_in_a_thread])
async def test_what_a_handler_sets_in_its_context_is_gone_with_the_attempt(
    oms: AsyncOMSClient, handle: Callable[[Task[str]], Any]
) -> None:
    await oms.create_queue("q")
    ids = [one.id for one in await oms.enqueue_many("q", ["a", "b", "c"])]
    await burst(oms.url, handle, concurrency=1)

    results = [await oms.result(one, timeout=0) for one in ids]
    assert results == [["none", "a"], ["none", "b"], ["none", "c"]]
    assert CASE.get() == "none"
    assert structlog.contextvars.get_contextvars() == {}


async def not_marked(_task: Task[Any]) -> None: ...


async def takes_nothing() -> None: ...


async def takes_two(_task: Task[Any], _other: int) -> None: ...


@pytest.mark.parametrize("wrong", ["a string", None, 3, Photo, takes_nothing, takes_two])
def test_what_cannot_take_a_task_is_no_handler(wrong: object) -> None:
    with pytest.raises(HandlerInvalid, match=r"takes one task|exactly one argument"):
        bind(wrong, "q")


async def not_found(_task: "Task[Decimal]") -> None: ...


def test_a_type_that_cannot_be_found_is_refused_and_not_passed_over() -> None:
    with pytest.raises(HandlerInvalid, match=r"outside `if TYPE_CHECKING:`"):
        bind(not_found, "q")


def test_a_handler_without_a_queue_says_what_to_do() -> None:
    with pytest.raises(HandlerInvalid, match=r"decorate it with @handler\(queue="):
        AsyncWorker(handlers=[not_marked])


def test_a_handler_of_a_badly_named_queue_is_refused_when_it_is_decorated() -> None:
    with pytest.raises(NameInvalid, match="queue name 'a b'"):
        handler(queue="a b")
    with pytest.raises(ConfigInvalid, match="concurrency=0"):
        handler(queue="a", concurrency=0)


def test_a_worker_needs_handlers_one_for_each_queue() -> None:
    @handler(queue="q")
    async def first(_task: Task[Any]) -> None: ...

    @handler(queue="q")
    async def second(_task: Task[Any]) -> None: ...

    with pytest.raises(ConfigInvalid, match="a worker needs work"):
        AsyncWorker()
    with pytest.raises(ConfigInvalid, match='queue="q" needs a handler'):
        AsyncWorker(queue="q")
    with pytest.raises(ConfigInvalid, match="not both"):
        AsyncWorker(queue="q", handler=first, handlers=[first])
    with pytest.raises(ConfigInvalid, match="a queue has one"):
        AsyncWorker(handlers=[first, second])


@pytest.mark.parametrize("number", [0, -1, True, 1.5, "2"])
def test_concurrency_is_a_whole_number_from_1(number: Any) -> None:
    with pytest.raises(ConfigInvalid, match="concurrency="):
        AsyncWorker(queue="q", handler=not_marked, concurrency=number)
