"""A process that belongs to a worker: its event loop, its logging, its end."""

import gc
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

import anyio

from hms_async.errors import ConfigInvalid
from hms_async.telemetry import logs

_THREADS_END_S = 0.2

_importing: ContextVar[bool] = ContextVar("hms_async_importing", default=False)


@contextmanager
def importing_target() -> Generator[None]:
    """Mark that a module is only imported for its handlers: no time to start a worker."""
    token = _importing.set(True)
    try:
        yield
    finally:
        _importing.reset(token)


def refuse_while_importing() -> None:
    """Raise if a module that is only imported for its handlers starts a worker.

    Raises:
        ConfigInvalid: Saying what to change.
    """
    if _importing.get():
        raise ConfigInvalid(
            'it starts a worker when it is imported: put that under if __name__ == "__main__":'
        )


def run_alone(
    main: Callable[[], Awaitable[None]],
    exit_code: Callable[[], int],
    leave: Callable[[int], object],
) -> None:
    """Run a worker in an event loop of its own, with logging if there is none; then end.

    Returns when the process may go on: nothing was handed back, and no handler's thread is stuck.

    Args:
        main: The worker.
        exit_code: What the process ends with; asked when the worker has stopped.
        leave: Ends the process at once, when a thread that is stuck keeps it from ending.

    Raises:
        ConfigInvalid: If the module is only imported by `hms run`.
        SystemExit: With the exit code, unless it is 0.
    """
    refuse_while_importing()
    if not logs.is_configured():
        fmt, level = logs.from_env()
        logs.configure(fmt=fmt, level=level)
    others = set(threading.enumerate())
    # What is here now stays: the collector is not to go through it again and again, which would
    # hold up all tasks, for 7 ms at least and for longer the more the handlers' modules hold.
    gc.freeze()
    anyio.run(main, backend_options={"use_uvloop": _has_uvloop()})
    code = exit_code()
    left = [one for one in threading.enumerate() if one not in others and not one.daemon]
    until = time.monotonic() + _THREADS_END_S
    for one in left:
        one.join(max(until - time.monotonic(), 0))  # those without work are on their way out
    stuck = any(one.is_alive() for one in left)
    if code == 0 and not stuck:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    if stuck:
        leave(code)
    raise SystemExit(code)


@contextmanager
def leaving_after(seconds: float, leave: Callable[[], object]) -> Generator[None]:
    """End the process if what is inside has not ended in time, whatever it is doing then."""
    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _has_uvloop() -> bool:
    try:
        import uvloop  # noqa: F401, PLC0415  # pyright: ignore[reportUnusedImport]  # an extra
    except ImportError:
        return False
    return True
