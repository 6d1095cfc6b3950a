"""Following events: whoever waits for what may never come waits through an outage, too."""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import anyio

from hms_async.domain.event import Event
from hms_async.errors import StoreUnavailable
from hms_async.runtime.exchange import Backoff

_WAIT_S = 1.0
_MARGIN_S = 5.0


class Reader(Protocol):
    """Reads events in order."""

    async def read(self, wait_ms: int) -> list[Event]:
        """Return the next events; none when nothing came in time."""
        ...


async def next_events(reader: Reader, check: Callable[[], object]) -> list[Event]:
    """Return the next events, or none, when the server has been asked with success.

    Args:
        reader: Reads them. A call that fails is made again, so it is to go on from what it told.
        check: Raises when there is no use in asking any more; called before each try.
    """
    backoff = Backoff()
    while True:
        check()
        # The server ends the wait. The connection has no time-out of its own: a half-open one
        # would wait for ever.
        with suppress(StoreUnavailable), anyio.move_on_after(_WAIT_S + _MARGIN_S):
            return await reader.read(int(_WAIT_S * 1_000))
        await backoff.wait()


def consumer_name() -> str:
    """Return a name that no other reader has."""
    return f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"
