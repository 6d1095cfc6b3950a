"""Serving the API: sockets, TLS, and an end that no open stream holds up."""

import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import anyio
import uvicorn
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from hms_async.api.app import API

_FAREWELL_S: Final = 2
_LARGEST_HEAD: Final = 32_768
_IDLE_S: Final = 75


class TLS(NamedTuple):
    """A certificate and its key, as files."""

    certificate: Path
    key: Path | None


class _Server(uvicorn.Server):
    """Says when it answers, and leaves signals to whoever owns the process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = anyio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Hear none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        self.ready.set()


async def serve(
    app: API,
    listening: socket.socket,
    *,
    tls: TLS | None = None,
    task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; what is under way is answered then.

    Open streams and long polls would be waited for before the application hears of the end, so it
    is told first.

    Args:
        app: What is served.
        listening: Where.
        tls: With which certificate; without one it is plain HTTP.
        task_status: Told when requests are answered.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",  # what it does at a start and an end we say ourselves
        access_log=False,
        lifespan="on",
        server_header=False,
        proxy_headers=False,  # who the caller is, no header says
        timeout_graceful_shutdown=_FAREWELL_S,
        timeout_keep_alive=_IDLE_S,
        h11_max_incomplete_event_size=_LARGEST_HEAD,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )
    server = _Server(config)
    try:
        async with anyio.create_task_group() as group:

            async def run() -> None:
                # Of its own, so that a cancellation from outside lets it end in order.
                with anyio.CancelScope(shield=True):
                    await server.serve([listening])
                group.cancel_scope.cancel()

            group.start_soon(run, name="http")
            try:
                await server.ready.wait()
                task_status.started()
                await anyio.sleep_forever()
            finally:
                app.house.stop()
                server.should_exit = True
    finally:
        listening.close()
