"""A context of its own for each attempt, though many share one slot's coroutine.

What a handler sets in a `ContextVar` (a request id, a language, what its logs say) is gone with the
attempt, as it is with a task of its own, which would cost ten times as much.
"""

from collections.abc import Awaitable, Generator
from contextvars import Context
from types import CoroutineType, coroutine
from typing import Any, cast


@coroutine
def run_in(context: Context, work: Awaitable[Any]) -> Generator[Any, Any, Any]:
    """Await something, with each of its steps in that context."""
    inner = cast("CoroutineType[Any, Any, Any]", work) if _is_coroutine(work) else _await(work)
    step, value = inner.send, None
    try:
        while True:
            waited_for = context.run(step, value)
            try:
                value = yield waited_for
            except GeneratorExit:
                context.run(inner.close)
                raise
            except BaseException as error:  # noqa: BLE001  # it is the handler's to take or leave
                step, value = inner.throw, error
            else:
                step = inner.send
    except StopIteration as done:
        return done.value


def _is_coroutine(work: Awaitable[Any]) -> bool:
    return type(work) is CoroutineType


async def _await(work: Awaitable[Any]) -> Any:
    return await work
