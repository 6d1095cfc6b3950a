"""What the campaign's workers run: one handler that behaves as its payload says.

`{"do": "sleep", "s": 2}`: one worker then runs a mix of behaviours. The functions can be run by
themselves, too, with any payload.
"""

import faulthandler
import os
import resource
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import anyio

from benchmarks.faults.journal import VARIABLE, note, noted
from hms_async import AsyncWorker, Task

_QUICK_S = 0.02


def _option(task: Task[Any], name: str, default: Any) -> Any:
    payload: Any = task.payload
    if not isinstance(payload, dict):
        return default
    return cast("dict[str, Any]", payload).get(name, default)


def gate_of(journal: Path) -> Path:
    """Return the file for which the handler `gate` waits."""
    return journal.with_name("gate")


async def quick(task: Task[Any]) -> None:
    """Sleep for a moment, or as long as the payload says."""
    with noted(task):
        await anyio.sleep(_option(task, "s", _QUICK_S))


async def nothing(_task: Task[Any]) -> None:
    """Be done at once, and note nothing."""


async def gate(task: Task[Any]) -> None:
    """Wait until the gate is opened."""
    path = gate_of(Path(os.environ[VARIABLE]))
    with noted(task):
        while not path.exists():  # noqa: ASYNC110  # another process opens it
            await anyio.sleep(0.005)


async def stubborn(task: Task[Any]) -> None:
    """Never end, and ignore being cancelled."""
    note("start", task)
    while True:
        try:
            await anyio.sleep(60)
        except anyio.get_cancelled_exc_class():
            note("ignored", task)


def thread(task: Task[Any]) -> None:
    """Stay in a thread, which nobody can stop."""
    with noted(task):
        time.sleep(_option(task, "s", 60))


async def block(task: Task[Any]) -> None:
    """Block the event loop; with `once` in the first attempt only."""
    with noted(task):
        if task.attempt == 1 or not _option(task, "once", default=False):
            time.sleep(_option(task, "s", 1))  # noqa: ASYNC251  # the fault itself


async def flaky(task: Task[Any]) -> None:
    """Raise in the first attempts; twice, or as often as the payload says."""
    with noted(task):
        await anyio.sleep(_QUICK_S)
        if task.attempt <= _option(task, "times", 2):
            raise RuntimeError("as the payload wants it")


async def leave(task: Task[Any]) -> None:
    """End the process as `os._exit` in a library does."""
    note("start", task)
    await anyio.sleep(_QUICK_S)
    os._exit(1)


async def use_up_memory(task: Task[Any]) -> None:
    """End the process as the kernel does when the machine has no memory left."""
    note("start", task)
    await anyio.sleep(_QUICK_S)
    os.kill(os.getpid(), signal.SIGKILL)


async def recurse(task: Task[Any]) -> None:
    """End the process by endless recursion in C."""
    note("start", task)
    await anyio.sleep(_QUICK_S)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler._stack_overflow()  # type: ignore[attr-defined]  # noqa: SLF001


_BEHAVIOURS: dict[str, Callable[[Task[Any]], Awaitable[None]]] = {
    "quick": quick,
    "gate": gate,
    "stubborn": stubborn,
    "block": block,
    "flaky": flaky,
    "leave": leave,
    "use_up_memory": use_up_memory,
    "recurse": recurse,
}


async def work(task: Task[Any]) -> dict[str, Any]:
    """Do as the payload says, `quick` if it says nothing; the result says who did it."""
    await _BEHAVIOURS[_option(task, "do", "quick")](task)
    return {"pid": os.getpid(), "attempt": task.attempt}


impatient = AsyncWorker(queue="q", handler=work, loop_stall_limit="5s")
"""A worker that lets its leases go when its loop has stood still for 5 s."""
