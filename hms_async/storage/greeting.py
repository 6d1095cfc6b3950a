"""The first words on each connection: who we are, and whether the server is one we work with.

Asked there, it costs no call anything, and a fail-over to an older server is noticed as well.
"""

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from redis.exceptions import RedisError, ResponseError

_OLDEST = {"redis": (6, 2), "valkey": (7, 2)}
_NEEDED = "hms_async needs Redis 6.2, Valkey 7.2 or newer"


class ServerTooOld(RedisError):
    """The server lacks commands that the scripts are made of."""


async def greet(connection: Any) -> None:
    """Open a connection as redis-py does, then look at the server's version.

    Raises:
        ServerTooOld: If it is not one that we work with.
    """
    with _without_hello():
        await connection.on_connect()
        # Its answer to redis-py is not kept. No user can be forbidden to ask.
        await connection.send_command("HELLO")
        _check(await connection.read_response())


def greet_from_thread(connection: Any) -> None:
    """Do the same on a blocking connection."""
    with _without_hello():
        connection.on_connect()
        connection.send_command("HELLO")
        _check(connection.read_response())


@contextmanager
def _without_hello() -> Generator[None]:
    try:
        yield
    except ResponseError as error:
        if re.search("unknown command.*HELLO", str(error), re.IGNORECASE):
            raise ServerTooOld(f"the server is older than Redis 6.0: {_NEEDED}") from error
        raise


def _check(reply: Any) -> None:
    if isinstance(reply, list):  # RESP2 has no other way to write pairs
        flat = cast("list[bytes]", reply)
        reply = dict(zip(flat[::2], flat[1::2], strict=True))
    said = cast("Mapping[bytes, Any]", reply)
    name, version = (_text(said.get(key)) for key in (b"server", b"version"))
    found = re.match(r"(\d+)\.(\d+)", version)
    if found and (int(found[1]), int(found[2])) < _OLDEST.get(name, (0, 0)):
        raise ServerTooOld(f"the server is {name} {version}: {_NEEDED}")


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else ""
