"""A proxy before a real server that does to script calls what networks and servers do."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from enum import Enum, auto
from urllib.parse import urlsplit

import anyio


class Fault(Enum):
    """What happens to a script call instead of an answer."""

    CLOSED_BEFORE = auto()  # the connection ends, the call never arrives
    CLOSED_AFTER = auto()  # the call is carried out, the connection ends
    SILENT_BEFORE = auto()  # nothing comes back, the call never arrives
    SILENT_AFTER = auto()  # the call is carried out, nothing comes back


class Proxy:
    """Passes everything on, except script calls for which something else is planned.

    Attributes:
        plan: What the next script calls meet, in order: an error line, a fault, or `None` to pass.
        calls: Script calls that clients have sent.
        url: The address for clients.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._upstream = (parts.hostname or "", parts.port or 6379)
        self.plan = deque[str | Fault | None]()
        self.calls = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Stand between one client and the server."""
        answers, upstream = await asyncio.open_connection(*self._upstream)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_pump, answers, writer)
                while command := await _read_command(reader):
                    if not await self._meet(command, writer):
                        upstream.write(command)
                        await upstream.drain()
                    if writer.is_closing():
                        break
                tasks.cancel_scope.cancel()
        finally:
            upstream.close()
            writer.close()

    async def _meet(self, command: bytes, writer: asyncio.StreamWriter) -> bool:
        """Do what is planned for this command; tells whether anything was."""
        if b"\r\nEVAL" not in command[:16]:
            return False
        self.calls += 1
        if not self.plan:
            return False
        planned = self.plan.popleft()
        if planned is None:
            return False
        if isinstance(planned, str):
            writer.write(f"-{planned}\r\n".encode())
            return True
        if planned in (Fault.CLOSED_AFTER, Fault.SILENT_AFTER):
            answers, upstream = await asyncio.open_connection(*self._upstream)
            upstream.write(command)
            assert await answers.read(1)
            upstream.close()
        if planned in (Fault.CLOSED_BEFORE, Fault.CLOSED_AFTER):
            writer.close()
        return True


async def _pump(answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await answers.read(65_536):
        writer.write(data)


async def _read_command(reader: asyncio.StreamReader) -> bytes:
    """One command as clients send it; nothing at the end."""
    try:
        head = await reader.readuntil(b"\r\n")
        parts = [head]
        for _ in range(int(head[1:])):
            size = await reader.readuntil(b"\r\n")
            parts += (size, await reader.readexactly(int(size[1:]) + 2))
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    return b"".join(parts)


@asynccontextmanager
async def scripted(url: str) -> AsyncGenerator[Proxy]:
    """Have a proxy before the server at `url` for the length of a block."""
    proxy = Proxy(url)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    try:
        yield proxy
    finally:
        server.close()
        await server.wait_closed()
