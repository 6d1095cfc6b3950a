"""The Lua scripts: read from files, joined with what they include, addressed by their hash.

Old and new releases run side by side: a changed script is another script.
"""

import hashlib
import re
from functools import cache
from importlib.resources import files

import msgspec

_INCLUDE = re.compile(r"^ *-- include (.+)$", re.MULTILINE)


class Script(msgspec.Struct, frozen=True):
    """One operation.

    Attributes:
        name: Its file's name.
        text: The whole script.
        sha: What the server knows it by.
    """

    name: str
    text: str
    sha: str

    @classmethod
    def of(cls, name: str, text: str) -> "Script":
        """Return the script of a text."""
        return cls(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


@cache
def load(name: str) -> Script:
    """Return the script of that name, with its includes in place."""
    lua = files("hms_async.storage").joinpath("lua")
    text = lua.joinpath(f"{name}.lua").read_text("utf-8")

    def included(wanted: re.Match[str]) -> str:
        parts = [lua.joinpath("include", f"{part}.lua") for part in wanted[1].split()]
        return "\n".join(part.read_text("utf-8") for part in parts)

    return Script.of(name, _INCLUDE.sub(included, text))


def names() -> list[str]:
    """Return the names of all operations, sorted."""
    lua = files("hms_async.storage").joinpath("lua")
    found = (entry.name for entry in lua.iterdir())
    return sorted(name.removesuffix(".lua") for name in found if name.endswith(".lua"))
