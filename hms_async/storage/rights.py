"""What our user may do: tried where that does no harm, else asked."""

from contextlib import suppress
from typing import Any, NamedTuple, cast

from hms_async.errors import StoreProtocol, StoreRefused
from hms_async.storage.server import Server

_KEYS = {
    "~queue:*": "queue:hms-doctor",
    "~task:*": "task:hms-doctor",
    "~unique:*": "unique:hms-doctor:x",
    "~case:*": "case:hms-doctor",
    "~worker:*": "worker:hms-doctor",
    "~workers": "workers",
    "~queues": "queues",
    "~audit": "audit",
    "~operation*": "operations",
    "~tokens": "tokens",
}

_COMMANDS = {"+time": ["TIME"], "+info": ["INFO"], "+config|get": ["CONFIG", "GET", "save"]}


class Rights(NamedTuple):
    """What our user may do.

    Attributes:
        user: Its name.
        lacking: What it may not and should, as `ACL SETUSER` takes it.
        excess: What it may and need not, in words; `None` when nothing is known of that.
        nopass: Whether it needs no password; `None` when that is not known.
    """

    user: str
    lacking: list[str]
    excess: str | None
    nopass: bool | None


async def read_rights(server: Server) -> Rights:
    """Return what our user may do: tried where that does no harm, else asked."""
    lacking: list[str] = []
    front = server.keys.queues.removesuffix("queues")
    for pattern, key in _KEYS.items():
        try:
            await server.ask("EXISTS", front + key)
        except StoreRefused:
            lacking.append(f"~{front}{pattern[1:]}")
    for right, words in _COMMANDS.items():
        with suppress(StoreProtocol):  # not there at all: no right would help
            try:
                await server.ask(*words)
            except StoreRefused:
                lacking.append(right)
    try:
        refused = await server.run_on("probe", [f"{front}queue:hms-doctor:probe"])
        lacking += [f"+{_text(word).lower()}" for word in refused]
    except StoreRefused:
        lacking += ["+eval", "+evalsha"]
    user = "default"
    with suppress(StoreRefused, StoreProtocol):
        user = _text(await server.ask("ACL", "WHOAMI"))
    excess, nopass = None, None
    with suppress(StoreRefused, StoreProtocol):
        reply = await server.ask("ACL", "GETUSER", user)
        excess, nopass = _excess(reply)
    return Rights(user, lacking, excess, nopass)


def _excess(reply: Any) -> tuple[str, bool]:
    """Return what a user may do beyond need, and whether it needs no password."""
    fields = as_map(reply)
    flags = {_text(flag) for flag in fields.get("flags", ())}
    commands = _text(fields.get("commands", ""))
    keys = fields.get("keys", "")
    patterns = (
        _text(keys).split() if isinstance(keys, (str, bytes)) else [_text(one) for one in keys]
    )
    wide: list[str] = []
    if "+@all" in commands.split():
        wide.append("run every command (FLUSHALL, CONFIG SET)")
    if "~*" in patterns or "*" in patterns or "allkeys" in flags:
        wide.append("touch every key")
    return " and ".join(wide), "nopass" in flags


def as_map(reply: Any) -> dict[str, Any]:
    """Return a map, which RESP2 writes as a list."""
    if isinstance(reply, list):
        flat = cast("Any", reply)
        reply = dict(zip(flat[::2], flat[1::2], strict=True))
    return {_text(key): value for key, value in cast("dict[object, Any]", reply).items()}


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
