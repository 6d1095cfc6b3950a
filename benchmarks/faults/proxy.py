"""A proxy between a client and its server: answers are lost or late, or there is silence."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream


class Proxy:
    """What happens on the wire; all that it does is asked for.

    Attributes:
        url: Where it listens.
        lose_answers: How many answers to scripts are thrown away, each with its connection: the
            server has carried out the script, and nobody hears of it.
        swallow_every: The answer to one request of so many is swallowed, and the connection stays;
            0 for none.
        late_s: How much later than it came each answer is passed on.
        silent: Whether requests are swallowed, so that no answer comes.
        disguise: What is put in place of what in answers, of the same length.
        lost: Set when the last of the answers has been lost.
        swallowed: How many answers were swallowed.
    """

    def __init__(self, target: str) -> None:
        self.lead_to(target)
        self._asked = 0
        self.url = ""
        self.lose_answers = 0
        self.swallow_every = 0
        self.late_s = 0.0
        self.silent = False
        self.disguise: dict[bytes, bytes] = {}
        self.lost = anyio.Event()
        self.swallowed = 0

    def lead_to(self, target: str) -> None:
        """Let new connections go to another server, as after a fail-over."""
        parts = urlsplit(target)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 6379

    async def serve(self, client: SocketStream) -> None:
        """Carry bytes to and fro until one side hangs up or an answer is to be lost."""
        async with client:
            with suppress(OSError):  # the server is away: so are we
                await self._carry(client)

    async def _carry(self, client: SocketStream) -> None:
        async with await anyio.connect_tcp(self._host, self._port) as server:
            wire = _Wire()
            async with wire.later, wire.due, anyio.create_task_group() as group:
                group.start_soon(self._requests, client, server, wire)
                group.start_soon(self._late, client, wire)
                await self._answers(server, client, wire)
                group.cancel_scope.cancel()

    async def _requests(self, client: ByteStream, server: ByteStream, wire: "_Wire") -> None:
        with suppress(*_GONE):
            while True:
                data = await client.receive()
                if self.silent:
                    continue
                wire.script = b"EVAL" in data
                wire.swallows = self._swallows()
                await server.send(data)

    def _swallows(self) -> bool:
        self._asked += 1
        if not self.swallow_every or self._asked % self.swallow_every:
            return False
        self.swallowed += 1
        return True

    async def _answers(self, server: ByteStream, client: ByteStream, wire: "_Wire") -> None:
        with suppress(*_GONE):
            while True:
                data = await server.receive()
                if wire.script and self.lose_answers and not data.startswith(b"-NOSCRIPT"):
                    self.lose_answers -= 1
                    if not self.lose_answers:
                        self.lost.set()
                    return
                if wire.swallows:
                    continue
                for true, false in self.disguise.items():
                    data = data.replace(true, false)
                if self.late_s:
                    wire.later.send_nowait((anyio.current_time() + self.late_s, data))
                else:
                    await client.send(data)

    @staticmethod
    async def _late(client: ByteStream, wire: "_Wire") -> None:
        with suppress(*_GONE):
            async for at, data in wire.due:
                await anyio.sleep_until(at)
                await client.send(data)


class _Wire:
    """One connection: what was asked last, and what is on its way."""

    def __init__(self) -> None:
        self.script = False
        self.swallows = False
        self.later, self.due = anyio.create_memory_object_stream[tuple[float, bytes]](1_000)


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
