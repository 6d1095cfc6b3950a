"""Handlers, payload types and exceptions that do what they should not: the worker lives on."""

import dataclasses
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any

import pytest

from hms_async import (
    AsyncOMSClient,
    HandlerInvalid,
    RetryPolicy,
    Task,
    TaskRecord,
    TaskState,
)
from hms_async.runtime.handlers import bind
from hms_async.storage.store import Store
from tests.runtime.support import QUICK, burst


class UnspeakableError(Exception):
    """An exception that cannot be turned into text."""

    def __str__(self) -> str:
        raise RuntimeError("no text for you")


@dataclasses.dataclass
class Raises:
    """A payload type whose own check raises whatever the payload names."""

    what: str

    def __post_init__(self) -> None:
        match self.what:
            case "lookup":
                raise KeyError(self.what)
            case "unspeakable":
                raise UnspeakableError
            case "exit":
                sys.exit(3)
            case _:
                return


@dataclasses.dataclass
class Left:
    left: int


@dataclasses.dataclass
class Right:
    right: int


@dataclasses.dataclass
class Unfinished:
    field: "NotThere"  # type: ignore[name-defined]  # noqa: F821


@pytest.fixture(autouse=True)
async def _queue(oms: AsyncOMSClient) -> None:
    await oms.create_queue("q", retry=QUICK)


async def among_neighbours(
    oms: AsyncOMSClient, handler: Callable[[Task[Any]], Any], payload: object, fine: object
) -> TaskRecord:
    """Let one slot do a hostile task between two fine ones; returns what became of it."""
    enqueued = await oms.enqueue_many("q", [fine, payload, fine])
    before, hostile, after = [one.id for one in enqueued]
    await burst(oms.url, handler, concurrency=1)
    for task_id in (before, after):
        assert (await oms.get_task(task_id)).state is TaskState.DONE
    return await oms.get_task(hostile)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("lookup", "KeyError: 'lookup'"),
        ("unspeakable", "UnspeakableError: <UnspeakableError>"),
        ("exit", "SystemExit: 3"),
    ],
)
async def test_a_payload_type_whose_check_raises_fails_the_task_at_once_and_no_other(
    oms: AsyncOMSClient, what: str, says: str
) -> None:
    called: list[str] = []

    async def handle(task: Task[Raises]) -> None:
        called.append(task.payload.what)

    record = await among_neighbours(oms, handle, {"what": what}, {"what": "nothing"})

    assert (record.state, record.attempt) == (TaskState.FAILED, 1)
    assert record.reason == f"PayloadInvalid: $: {says}"
    assert called == ["nothing", "nothing"]


def test_a_payload_type_that_cannot_be_checked_is_refused_when_it_is_bound() -> None:
    async def either(_task: Task[Left | Right]) -> None: ...

    async def unfinished(_task: Task[Unfinished]) -> None: ...

    for handle in (either, unfinished):
        with pytest.raises(HandlerInvalid, match="cannot be checked"):
            bind(handle, "q")


async def test_an_exception_that_has_no_text_is_tried_again_and_fails(oms: AsyncOMSClient) -> None:
    async def handle(task: Task[Any]) -> None:
        if task.payload == "hostile":
            raise UnspeakableError

    await oms.create_queue("q", retry=RetryPolicy(max_attempts=2, base=0, cap=0))
    record = await among_neighbours(oms, handle, "hostile", "fine")

    assert (record.state, record.attempt) == (TaskState.FAILED, 2)
    assert record.reason == "UnspeakableError: <UnspeakableError>"


async def test_an_exception_without_text_after_the_outcome_changes_nothing(
    oms: AsyncOMSClient,
) -> None:
    async def handle(task: Task[Any]) -> None:
        await task.complete(task.payload)
        if task.payload == "hostile":
            raise UnspeakableError

    record = await among_neighbours(oms, handle, "hostile", "fine")

    assert (record.state, record.result) == (TaskState.DONE, "hostile")


async def double(task: Task[Any]) -> int:
    return int(task.payload) * 2


def plain_wrapper(task: Task[Any]) -> Awaitable[int]:
    return double(task)


WRAPPED: list[Callable[[Task[Any]], Any]] = [
    plain_wrapper,
    lambda task: double(task),  # noqa: PLW0108  # a lambda around it is the subject
]


@pytest.mark.parametrize("wrapped", WRAPPED)
async def test_a_plain_wrapper_around_a_coroutine_function_is_awaited(
    oms: AsyncOMSClient, wrapped: Callable[[Task[Any]], Any]
) -> None:
    record = await among_neighbours(oms, wrapped, 21, 1)

    assert (record.state, record.result) == (TaskState.DONE, 42)


async def test_a_wrapped_coroutine_that_raises_is_a_failure_like_any_other(
    oms: AsyncOMSClient,
) -> None:
    async def inner(task: Task[Any]) -> None:
        if task.payload == "hostile":
            await task.fail("as asked")

    def wrapper(task: Task[Any]) -> Awaitable[None]:
        return inner(task)

    record = await among_neighbours(oms, wrapper, "hostile", "fine")

    assert (record.state, record.reason) == (TaskState.FAILED, "as asked")


def test_generators_are_no_handlers() -> None:
    def plain(task: Task[Any]) -> Generator[Any]:
        yield task.payload

    async def asynchronous(task: Task[Any]) -> AsyncGenerator[Any]:
        yield task.payload

    for handle in (plain, asynchronous):
        with pytest.raises(HandlerInvalid, match="is a generator: return its result"):
            bind(handle, "q")


@pytest.mark.parametrize("longest", [str(10**400), "1e300", str(2**63), "0", "-1", '"x"'])
async def test_a_foreign_run_timeout_ends_no_worker(
    oms: AsyncOMSClient, store: Store, longest: str
) -> None:
    await oms.create_queue("q")
    task_id = (await oms.enqueue("q", 1)).id
    body = f'{{"run_timeout_ms":{longest},"payload":1}}'
    await store.ask("SET", store.keys.body("q", task_id), body)

    async def handle(task: Task[Any]) -> Any:
        return task.payload

    await burst(oms.url, handle)

    assert (await oms.get_task(task_id)).result == 1
