"""Which function does the tasks of which queue."""

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from anyio import CapacityLimiter, to_thread

from hms_async.domain.queue import check_name
from hms_async.errors import ConfigInvalid, HandlerInvalid, PayloadInvalid
from hms_async.runtime.task import Task, check_concurrency

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__hms_handler__"


@dataclass(frozen=True, slots=True)
class Handler:
    """A function that does the tasks of one queue.

    Attributes:
        function: Takes one `Task`; a coroutine function, or a plain one that runs in a thread.
        queue: Whose tasks it does.
        limit: How many of them at once; `None` for as many as the worker has slots.
        payload_type: What payloads are turned into; `None` leaves them as they are.
        is_async: Whether the function is a coroutine function.
    """

    function: Callable[[Task[Any]], Any]
    queue: str
    limit: int | None
    payload_type: Any
    is_async: bool

    @property
    def name(self) -> str:
        """Where the function is, for people."""
        module = getattr(self.function, "__module__", None)
        name = getattr(self.function, "__qualname__", type(self.function).__qualname__)
        return f"{module}.{name}" if module else name

    def read(self, payload: Any) -> Any:
        """Return a payload as the type that the handler asks for.

        Raises:
            PayloadInvalid: If it does not fit; the path of the fault is in it.
        """
        if self.payload_type is None:
            return payload
        try:
            return msgspec.convert(payload, self.payload_type)
        except msgspec.ValidationError as error:
            message, _, path = str(error).partition(" - at ")
            raise PayloadInvalid(message, path=path.strip("`") or "$") from error

    def call(self, task: Task[Any], threads: CapacityLimiter) -> Awaitable[Any]:
        """Call the function, in a thread if it is a plain one."""
        if self.is_async:
            result: Awaitable[Any] = self.function(task)
            return result
        # Abandoned when its scope is cancelled: a thread cannot be stopped, only left behind.
        return to_thread.run_sync(self.function, task, limiter=threads, abandon_on_cancel=True)


def handler(*, queue: str, concurrency: int | None = None) -> Callable[[F], F]:
    """Name the queue whose tasks a function does.

    The function stays what it was; `AsyncWorker(handlers=[...])` and `hms run` read the mark.

    Args:
        queue: The queue's name.
        concurrency: How many of its tasks at once, within the worker's slots.

    Raises:
        NameInvalid: If the queue's name is not valid.
        ConfigInvalid: If the concurrency is not a whole number from 1.
    """
    check_name(queue, what="queue name")
    if concurrency is not None:
        check_concurrency(concurrency)

    def mark(function: F) -> F:
        setattr(function, _MARK, (queue, concurrency))
        return function

    return mark


def mark_of(function: object) -> tuple[str, int | None] | None:
    """Return the queue and concurrency that a function was decorated with, if it was."""
    return getattr(function, _MARK, None)


def bind(function: object, queue: str | None = None, limit: int | None = None) -> Handler:
    """Return a function as the handler of a queue.

    Args:
        function: The function.
        queue: Its queue, for one that is not decorated.
        limit: Its limit; that of the decorator if not given.

    Raises:
        HandlerInvalid: If it cannot be called with one task, or has no queue.
    """
    if not callable(function) or inspect.isclass(function):
        raise HandlerInvalid(
            f"{function!r} cannot be a handler: give a function that takes one task, "
            "`async def handle(task): ...`"
        )
    mark = mark_of(function)
    marked_queue, marked_limit = mark or (None, None)
    queue = queue or marked_queue
    if queue is None:
        raise HandlerInvalid(
            f"the handler {function!r} has no queue: decorate it with "
            '@handler(queue="...") or give queue="..." with it'
        )
    check_name(queue, what="queue name")
    _check_signature(function)
    return Handler(
        function=function,
        queue=queue,
        limit=limit if limit is not None else marked_limit,
        payload_type=_payload_type(function),
        is_async=inspect.iscoroutinefunction(function)
        or inspect.iscoroutinefunction(getattr(function, "__call__", None)),  # noqa: B004  # asks about its kind, not whether it is there
    )


def bind_all(functions: Iterable[object]) -> list[Handler]:
    """Return decorated functions as handlers, one for each queue.

    Raises:
        ConfigInvalid: If two of them want the same queue.
    """
    bound = [bind(function) for function in functions]
    seen: dict[str, Handler] = {}
    for one in bound:
        if one.queue in seen:
            raise ConfigInvalid(
                f'queue "{one.queue}" has two handlers, {seen[one.queue].name} and {one.name}: '
                "a queue has one"
            )
        seen[one.queue] = one
    return bound


def with_limit(bound: Handler, limit: int | None) -> Handler:
    """Return a handler with another limit; as it is when there is none."""
    return bound if limit is None else replace(bound, limit=check_concurrency(limit))


def _check_signature(function: Callable[..., Any]) -> None:
    try:
        inspect.signature(function).bind(object())
    except TypeError as error:
        raise HandlerInvalid(
            f"the handler {function!r} must take exactly one argument, the task: {error}"
        ) from error
    except ValueError:
        return  # a builtin without a signature: the call will tell


def _payload_type(function: Callable[..., Any]) -> Any:
    try:
        target = function if inspect.isroutine(function) else type(function).__call__
        hints = get_type_hints(target)
        first = next(iter(inspect.signature(function).parameters))
    except (NameError, TypeError, ValueError, StopIteration, AttributeError):
        return None
    hint = hints.get(first)
    if get_origin(hint) is not Task:
        return None
    (payload_type,) = get_args(hint)
    return None if payload_type is Any or isinstance(payload_type, TypeVar) else payload_type
