"""The short way to the server, for scripts.

redis-py's own way takes a connection from its pool under locks, keeps books of each step and packs
commands in Python; before Python 3.12 a time limit makes it send each from a task of its own. All
of that costs twice what the call itself does, and twice the turns of the event loop.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import hiredis
from redis import exceptions

from hms_async.storage import connect
from hms_async.storage.traffic import Traffic

if TYPE_CHECKING:
    import redis.asyncio

_pack: Any = cast("Any", hiredis).pack_command

Word = str | bytes | float
Replies = list[Any]


class Pool:
    """Connections that carry one command at a time each; as many as there are calls at once.

    Args:
        client: Makes the connections, which are to have no time limit of their own.
        traffic: Where it is noted that one had to be made anew.
    """

    def __init__(self, client: "redis.asyncio.Redis", traffic: Traffic | None = None) -> None:
        self._maker: Any = client.connection_pool
        self._traffic = traffic or Traffic()
        self._new = set[Any]()  # not connected yet
        self._all: list[Any] = []
        self._free: list[Any] = []

    async def call(self, *command: Word) -> Any:
        """Send one command and return its reply.

        Raises:
            RedisError: If the server cannot be asked, or refuses.
        """
        (reply,) = _granted(await self._carry([command], connect.COMMAND_TIMEOUT_S))
        return reply

    async def call_each(self, commands: Sequence[Sequence[Word]]) -> Replies:
        """Send commands together and return their replies; for one that was refused its error.

        Raises:
            RedisError: If the server cannot be asked.
        """
        return await self._carry(commands, connect.COMMAND_TIMEOUT_S) if commands else []

    async def wait(self, *command: Word) -> Any:
        """Send a command that waits on the server and return its reply; there is no time limit.

        Raises:
            RedisError: If the server cannot be asked, or refuses.
        """
        (reply,) = _granted(await self._carry([command], None))
        return reply

    async def call_after(self, wait: Sequence[Word], *command: Word) -> Any:
        """Send a command that waits on the server and one behind it, and return the latter's reply.

        They go out together, so the server begins with the second the moment the wait is over;
        it does so too when nothing came of the wait. There is no time limit.

        Raises:
            RedisError: If the server cannot be asked, or refuses one of them.
        """
        _, reply = _granted(await self._carry([wait, command], None))
        return reply

    async def call_in_turn(
        self, commands: Iterable[Sequence[Word]], take: Callable[[Any], object]
    ) -> None:
        """Send commands on one connection, each before the one ahead of it is answered.

        The server begins with each when it is done with the one ahead, however long it takes here
        to make the next one and to look at an answer.

        Args:
            commands: The next one is asked for when the last one was sent.
            take: Is given each reply, in order.

        Raises:
            RedisError: If the server cannot be asked, or refuses one of them.
        """
        connection = self._take()
        try:
            await self._use(connection, lambda: _exchange_in_turn(connection, commands, take))
        finally:
            self._free.append(connection)

    async def open(self, number: int) -> None:
        """Have so many connections ready, so that no call waits for one to be made.

        Raises:
            RedisError: If the server cannot be reached.
        """
        connections = [self._take() for _ in range(number)]
        try:
            for connection in connections:
                await self._use(connection, _say_nothing)
        finally:
            self._free += connections

    async def _carry(self, commands: Sequence[Sequence[Word]], timeout_s: float | None) -> Replies:
        connection = self._take()
        try:
            replies: Replies = await self._use(
                connection, lambda: _exchange(connection, commands, timeout_s)
            )
            return replies
        finally:
            self._free.append(connection)

    async def _use(self, connection: Any, talk: Callable[[], Awaitable[Any]]) -> Any:
        try:
            await self._connect(connection)
            return await talk()
        except BaseException as error:
            # Its answer may still come, and would be taken for that of the next command.
            await connection.disconnect(nowait=True)
            if isinstance(error, TimeoutError):
                raise exceptions.TimeoutError("the server did not answer in time") from error
            raise

    async def _connect(self, connection: Any) -> None:
        if connection.is_connected and await connection.can_read():
            await connection.disconnect()  # between two calls there is nothing to read but its end
        if connection.is_connected:
            return
        # It greets in several steps, each of which has as long as a command.
        longest, connection.socket_timeout = connection.socket_timeout, connect.COMMAND_TIMEOUT_S
        try:
            await connection.connect()
        finally:
            connection.socket_timeout = longest
        if connection in self._new:
            self._new.remove(connection)
        else:
            self._traffic.reconnects += 1

    def _take(self) -> Any:
        if self._free:
            return self._free.pop()
        self._all.append(self._maker.make_connection())
        self._new.add(self._all[-1])
        return self._all[-1]

    async def aclose(self) -> None:
        """Close the connections."""
        for connection in self._all:
            await connection.disconnect()


def _granted(replies: Replies) -> Replies:
    for reply in replies:
        if isinstance(reply, exceptions.ResponseError):
            raise reply
    return replies


async def _say_nothing() -> None:
    """To be connected is enough."""


async def _exchange(
    connection: Any, commands: Sequence[Sequence[Word]], timeout_s: float | None
) -> Replies:
    packed = b"".join(map(_pack, commands))
    async with asyncio.timeout(timeout_s):
        await connection.send_packed_command(packed, check_health=False)
        return [await _read(connection) for _ in commands]


async def _exchange_in_turn(
    connection: Any, commands: Iterable[Sequence[Word]], take: Callable[[Any], object]
) -> None:
    async def answer() -> None:
        async with asyncio.timeout(connect.COMMAND_TIMEOUT_S):
            reply = await connection.read_response()
        take(reply)

    ahead = False
    for command in commands:
        packed = _pack(command)
        async with asyncio.timeout(connect.COMMAND_TIMEOUT_S):
            await connection.send_packed_command(packed, check_health=False)
        if ahead:
            await answer()
        ahead = True
    if ahead:
        await answer()


async def _read(connection: Any) -> Any:
    """Return a reply, also one that says no: another may be behind it."""
    try:
        return await connection.read_response()
    except exceptions.ResponseError as error:
        return error
