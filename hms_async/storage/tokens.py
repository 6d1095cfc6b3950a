"""Access tokens as they are kept: everything but their secrets."""

from typing import Any

import msgspec

from hms_async.domain.audit import Actor
from hms_async.domain.token import Token
from hms_async.storage.audit import as_args
from hms_async.storage.server import Server

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Token).decode


async def read_table(server: Server) -> tuple[dict[str, Token], int]:
    """Return all tokens that were made and not revoked, by id, and the server's clock.

    One that cannot be read, such as a later release's with a role unknown here, is good for
    nothing, but it is there: without it the table might be empty, which would open the door to
    whoever is on this machine.
    """
    async with server.pipeline() as pipe:
        pipe.hgetall(server.keys.tokens)
        pipe.time()
        found, now = await pipe.execute()
    read = (_read(token_id, known) for token_id, known in found.items())
    return {token.id: token for token in read}, server.now_ms(now)


def _read(token_id: bytes, known: bytes) -> Token:
    try:
        return _decode(known)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # No secret has an empty digest.
        name = token_id.decode(errors="replace")
        return Token(id=name, digest="", roles=(), note="cannot be read by this release")


async def now_ms(server: Server) -> int:
    """Return the server's clock."""
    return server.now_ms(await server.ask("TIME"))


async def keep(server: Server, token: Token, by: Actor) -> str:
    """Keep a token: `ok`, `exists`, or `full`."""
    return await _run(server, token.id, _encode(token), by, "+".join(token.roles))


async def forget(server: Server, token_id: str, by: Actor) -> str:
    """Forget a token: `ok`, or `gone`."""
    return await _run(server, token_id, b"", by, "")


async def _run(server: Server, token_id: str, known: bytes, by: Actor, roles: str) -> str:
    keys = (server.keys.tokens, server.keys.audit)
    reply: Any = await server.run_on("token", keys, token_id, known, *as_args(by), roles)
    return str(reply.decode())
