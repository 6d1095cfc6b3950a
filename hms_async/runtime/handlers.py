"""Which function does the tasks of which queue."""

import functools
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from anyio import CapacityLimiter, to_thread

from hms_async.domain.count import check_count
from hms_async.domain.queue import check_name
from hms_async.errors import ConfigInvalid, HandlerInvalid, PayloadInvalid
from hms_async.runtime.task import Task
from hms_async.telemetry.text import as_text

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__hms_handler__"
_TYPED = re.compile(r"\bTask\[(?!.*\bAny\])")


class Handler(msgspec.Struct, frozen=True):
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
        function = _unwrapped(self.function)
        module = getattr(function, "__module__", None)
        name = getattr(function, "__qualname__", type(function).__qualname__)
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
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # a type's own check may raise anything, or call exit()
            raise PayloadInvalid(f"{type(error).__name__}: {as_text(error)}") from error

    def call(self, task: Task[Any], threads: CapacityLimiter) -> Awaitable[Any]:
        """Call the function, in a thread if it is a plain one; its result is to be awaited."""
        # No coroutine around it: each one takes a quarter of a kilobyte while the task runs.
        return self.function(task) if self.is_async else self._call_in_thread(task, threads)

    async def _call_in_thread(self, task: Task[Any], threads: CapacityLimiter) -> Any:
        # Abandoned when its scope is cancelled: a thread cannot be stopped, only left behind.
        result = await to_thread.run_sync(
            self.function, task, limiter=threads, abandon_on_cancel=True
        )
        # A plain wrapper around a coroutine function gives a coroutine.
        return await result if inspect.isawaitable(result) else result


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
        check_count(concurrency, name="concurrency")

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
    _check_kind(function)
    return Handler(
        function=function,
        queue=queue,
        limit=limit if limit is not None else marked_limit,
        payload_type=_payload_type(function),
        is_async=inspect.iscoroutinefunction(function)
        or inspect.iscoroutinefunction(getattr(function, "__call__", None)),  # noqa: B004  # asks about its kind, not whether it is there
    )


def bind_all(functions: Iterable[object]) -> list[Handler]:
    """Return decorated functions, or handlers that are bound already, one for each queue.

    Raises:
        ConfigInvalid: If two of them want the same queue.
    """
    bound = [one if isinstance(one, Handler) else bind(one) for one in functions]
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
    if limit is None:
        return bound
    return msgspec.structs.replace(bound, limit=check_count(limit, name="concurrency"))


def _check_kind(function: Callable[..., Any]) -> None:
    target = _unwrapped(function)
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        raise HandlerInvalid(
            f"the handler {function!r} is a generator: return its result instead of yielding it"
        )
    try:
        inspect.signature(function).bind(object())
    except TypeError as error:
        raise HandlerInvalid(
            f"the handler {function!r} must take exactly one argument, the task: {error}"
        ) from error
    except ValueError:
        return  # a builtin without a signature: the call will tell


def _unwrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _payload_type(function: Callable[..., Any]) -> Any:
    target = _unwrapped(function)
    try:
        first = next(iter(inspect.signature(function).parameters.values()))
    except (TypeError, ValueError, StopIteration):
        return None
    try:
        hints = get_type_hints(target if inspect.isroutine(target) else type(target).__call__)
    except NameError as error:
        if _asks_for_a_type(first.annotation):
            raise HandlerInvalid(
                f'the annotation "{first.annotation}" of the handler {function!r} cannot be read: '
                f"{error}. Import the name outside `if TYPE_CHECKING:`, or write Task[Any]"
            ) from error
        return None
    except (TypeError, AttributeError):
        return None
    hint = hints.get(first.name)
    if get_origin(hint) is not Task:
        return None
    (payload_type,) = get_args(hint)
    if payload_type is Any or isinstance(payload_type, TypeVar):
        return None
    try:
        msgspec.json.Decoder(payload_type)
    except (TypeError, NameError) as error:
        raise HandlerInvalid(
            f"the handler {function!r} asks for Task[{payload_type}], which cannot be checked: "
            f"{error}"
        ) from error
    return payload_type


def _asks_for_a_type(annotation: object) -> bool:
    return isinstance(annotation, str) and bool(_TYPED.search(annotation))
