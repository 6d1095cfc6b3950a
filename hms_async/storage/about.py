"""What an event says beside who it is about: a message and a hand-off, as JSON.

Workers write it, scripts pass it on as text, readers decode it. So a reader may meet whatever a
foreign worker wrote, and takes what it cannot read as nothing said.
"""

from typing import Any

import msgspec

from hms_async.domain.event import LONGEST_MESSAGE
from hms_async.domain.handoff import Handoff
from hms_async.errors import PayloadInvalid, ResultInvalid
from hms_async.storage.codec import UNREADABLE, decode_handoff, encode_json

_encode = msgspec.json.Encoder().encode


def encode_handoff(handoff: Handoff) -> bytes:
    """Return a hand-off as JSON.

    Raises:
        ResultInvalid: If it is not JSON; the message says where.
    """
    try:
        return encode_json(msgspec.structs.asdict(handoff))
    except PayloadInvalid as error:
        where = error.path.removeprefix("$")
        raise ResultInvalid(f"handoff{where}{str(error).removeprefix(error.path)}") from error


def encode_about(message: str, handoff: bytes) -> bytes:
    """Return what an event is to say; nothing where there is neither.

    The hand-off comes last: the script cuts it out there.
    """
    if not (message or handoff):
        return b""
    parts: list[bytes] = []
    if message:
        parts.append(b'"message":' + _encode(message[:LONGEST_MESSAGE]))
    if handoff:
        parts.append(b'"handoff":' + handoff)
    return b"{" + b",".join(parts) + b"}"


class About(msgspec.Struct, frozen=True):
    """What one event says.

    Attributes:
        message: The handler's note, or why the task failed.
        handoff: What is to go on with the case.
    """

    message: str | None = None
    handoff: Handoff | None = None


NOTHING = About()


class _Read(msgspec.Struct, frozen=True):
    message: Any = None
    handoff: msgspec.Raw = msgspec.Raw(b"")


_decoder = msgspec.json.Decoder(_Read)
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def decode_about(text: str | bytes) -> About:
    """Return what an event says."""
    try:
        read = _decoder.decode(text)
    except UNREADABLE:
        return NOTHING
    message = read.message if isinstance(read.message, str) else ""
    return About(message[:LONGEST_MESSAGE] or None, decode_handoff(bytes(read.handoff)))


def decode_abouts(text: str, count: int) -> list[About]:
    """Return what the events of an entry say, one for each of so many tasks."""
    try:
        parts = _list_decoder.decode(text) if text else []
    except UNREADABLE:
        parts = []
    if len(parts) != count:  # one text that is broken may look like two: nobody knows whose
        return [NOTHING] * count
    return [decode_about(bytes(part)) for part in parts]
