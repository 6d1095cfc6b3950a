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
from hms_async.api.door import is_loopback
from hms_async.errors import AddressInUse, ConfigInvalid

_FAREWELL_S: Final = 2
_LARGEST_HEAD: Final = 32_768
_IDLE_S: Final = 75


class Bind(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Bind":
        """Return an address written as `HOST:PORT`, `[::1]:PORT` or `PORT`.

        Raises:
            ConfigInvalid: If it is none.
        """
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
        if not port.isdecimal() or not 0 <= int(port) <= 65_535:  # noqa: PLR2004  # ports
            raise ConfigInvalid(
                f"--bind {text!r} is no address: write HOST:PORT, such as 127.0.0.1:8470"
            )
        return cls(host, int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine gets there."""
        return is_loopback(self.host)

    def listen(self) -> socket.socket:
        """Return a socket that listens there.

        Raises:
            AddressInUse: If somebody else does, or it is none of this machine's.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        # Only where the protocol is told does asyncio switch off Nagle's algorithm: an answer's
        # body would wait 40 ms for the acknowledgement of its head.
        opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((self.host, self.port))
            opened.listen(2_048)
        except OSError as error:
            opened.close()
            raise AddressInUse(
                f"cannot listen on {self.host}:{self.port}: {error.strerror or error}. "
                "Choose another address with --bind HOST:PORT"
            ) from error
        opened.setblocking(False)  # noqa: FBT003  # the socket's own signature
        return opened


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
