"""A proxy between a client and its server that loses answers, keeps silent, or hangs up."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from urllib.parse import urlsplit

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream


class Proxy:
    """What happens on the wire; all that it does is asked for by the test.

    Attributes:
        url: Where it listens.
        lose_answers: How many answers to scripts are thrown away, each with its connection: the
            server has carried out the script, and nobody hears of it.
        silent: Whether requests are swallowed, so that no answer comes.
        lost: Set when the last of the answers has been lost.
    """

    def __init__(self, target: str) -> None:
        self.lead_to(target)
        self.url = ""
        self.lose_answers = 0
        self.silent = False
        self.lost = anyio.Event()

    def lead_to(self, target: str) -> None:
        """Let new connections go to another server, as after a fail-over."""
        parts = urlsplit(target)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 6379

    async def serve(self, client: SocketStream) -> None:
        """Carry bytes to and fro until one side hangs up or an answer is to be lost."""
        async with client, AsyncExitStack() as stack:
            try:
                connected = await anyio.connect_tcp(self._host, self._port)
            except OSError:
                return  # the server is dead
            server = await stack.enter_async_context(connected)
            asked = _Asked()
            async with anyio.create_task_group() as group:
                group.start_soon(self._requests, client, server, asked)
                await self._answers(server, client, asked)
                group.cancel_scope.cancel()

    async def _requests(self, client: ByteStream, server: ByteStream, asked: "_Asked") -> None:
        with suppress(*_GONE):
            while True:
                data = await client.receive()
                if self.silent:
                    continue
                asked.script = b"EVAL" in data
                await server.send(data)

    async def _answers(self, server: ByteStream, client: ByteStream, asked: "_Asked") -> None:
        with suppress(*_GONE):
            while True:
                data = await server.receive()
                if asked.script and self.lose_answers and not data.startswith(b"-NOSCRIPT"):
                    self.lose_answers -= 1
                    if not self.lose_answers:
                        self.lost.set()
                    return
                await client.send(data)


class _Asked:
    script = False


_GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


@asynccontextmanager
async def proxied(target: str) -> AsyncGenerator[Proxy]:
    """Have a proxy to a server for the length of a block."""
    proxy = Proxy(target)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610  # no Django here
    proxy.url = f"redis://127.0.0.1:{port}/0"
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, proxy.serve)
        yield proxy
        group.cancel_scope.cancel()
