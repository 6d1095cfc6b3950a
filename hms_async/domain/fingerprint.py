"""What faults of one kind have in common: their type, and their words without what differs."""

import hashlib
import re
from functools import lru_cache
from typing import Final

from hms_async.errors import ConfigInvalid

_LONGEST_MESSAGE: Final = 2_000
_REMEMBERED: Final = 4_096
_LENGTH: Final = 8
_FINGERPRINT: Final = re.compile(rf"[0-9a-f]{{{_LENGTH}}}")

_DIFFERS: Final = (
    # What is quoted; an apostrophe inside a word quotes nothing.
    re.compile(r"""(?<!\w)(?:"[^"]*"|'[^']*'|`[^`]*`)(?!\w)"""),
    re.compile(r"(?<![\w.+-])[\w.+-]+@[\w.-]+"),
    # UUIDs, and words of hexadecimal letters alone.
    re.compile(r"\b[0-9a-fA-F]{8}(?:(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]*)\b"),
    # Ids, addresses, amounts and instants: words with a figure in them.
    re.compile(r"\b\w*\d\w*"),
    # The sign of a number that is gone.
    re.compile(r"(?<![\w#])[+-]#"),
)
_SEVERAL: Final = re.compile(r"#(?:[-+.:,;/_ ]{0,3}#)+")


def words(message: str) -> str:
    """Return the first line of a message, with `#` for what differs from task to task.

    That is whatever is quoted, e-mail addresses, hexadecimal words, and words with a figure in
    them, such as ids, amounts and instants; several side by side are one.
    """
    line = " ".join(message[:_LONGEST_MESSAGE].strip().partition("\n")[0].split())
    for pattern in _DIFFERS:
        line = pattern.sub("#", line)
    return _SEVERAL.sub("#", line)


@lru_cache(_REMEMBERED)
def fingerprint(error_type: str, message: str) -> str:
    """Return what is the same for all faults of one type and with the same words.

    Args:
        error_type: The exception's class, or a word of ours.
        message: For people.

    Returns:
        Eight hexadecimal digits.
    """
    told = f"{error_type}:{words(message)}"
    return hashlib.sha256(told.encode(errors="replace")).hexdigest()[:_LENGTH]


def check_fingerprint(given: object, *, name: str) -> str:
    """Return a fingerprint that can be one.

    Raises:
        ConfigInvalid: If it is none.
    """
    if isinstance(given, str) and _FINGERPRINT.fullmatch(given):
        return given
    raise ConfigInvalid(f"{name}: {given!r} is not a fingerprint such as 0badcafe")
