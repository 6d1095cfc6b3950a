"""Secrets in free text, such as an error's message or a traceback: found by what stands before."""

import re
from collections.abc import Callable
from typing import Final

from hms_async.domain.token import TEXT as TOKEN

REDACTED: Final = "[redacted]"

_WHEREVER: Final = (
    (re.compile(TOKEN.pattern.replace("_([A-Za-z0-9_-]{43})", "_[A-Za-z0-9_-]+")), r"hms_\1_"),
    (re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)(?s:.*?)(?:(?=-----END)|\Z)"), r"\1"),
    (re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), ""),
    (re.compile(r"(?i:\b(bearer)\s+)[A-Za-z0-9._~+/=-]{8,}"), r"\1 "),
    (re.compile(r"\b(Basic)\s+(?=[A-Za-z0-9+/]*[0-9A-Z=])[A-Za-z0-9+/=]{8,}"), r"\1 "),
    (re.compile(r"(?<![\w+.-])([a-zA-Z][\w+.-]{0,31}://[^\s/?#:@]*):[^\s/?#]*(?=@)"), r"\1:"),
)
"""What is a secret whatever stands before it, and what stays of it: our tokens, private keys, JSON
web tokens, credentials of HTTP, passwords of URLs."""

_PERHAPS = re.compile(r"[=:]|--|eyJ|Basic|hms_|(?i:bearer)")
"""What every text has that a secret could be told in: most have none of it."""

_KEY = re.compile(
    r"""(?<!\w)(?P<flag>(?<=--))?
    (?P<key>[^\W\d][\w-]{0,127}(?:[ ](?i:key|number)s?)?)
    (?: (?P<quote>\\*["']\]?)? \s* (?:=>|:=|[=:]) \s*  # password = , "password": , ['password'] =
      | (?(flag)[ ]+(?=[^\s-])|(?!)) )                   # --password hunter2""",
    re.VERBOSE,
)
_NO_KEY = re.compile(r"(?:Error|Exception|Warning)$")
_GOES_ON = re.compile(r"(?i:authorization|cookie)")

_OPENS = re.compile(r"""\\+["']|["'\[{(]""")
_QUOTED = {'"': re.compile(r'(?s:(?:[^"\\]|\\.)*)"?'), "'": re.compile(r"(?s:(?:[^'\\]|\\.)*)'?")}
_BRACKETS = re.compile(r"""["'\[\]{}()]""")
_LINE = re.compile(r"[^\r\n]*")
_IN_JSON = re.compile(r"[^\s,}\]]*")
_WORD = re.compile(r"(?:[^\s&]|&(?!\w+=))*")


def scrub(text: str, is_secret: Callable[[str], bool]) -> str:
    """Return a text without the secrets that can be told by their looks or by their names.

    Args:
        text: For people.
        is_secret: Whether what stands under a name is one.
    """
    if not _PERHAPS.search(text):
        return text
    for pattern, stays in _WHEREVER:
        text = pattern.sub(stays + REDACTED, text)
    parts: list[str] = []
    kept = at = 0
    while found := _KEY.search(text, at):
        at = found.end()
        if _NO_KEY.search(found["key"]) or not is_secret(found["key"]):
            continue
        end = _end_of_value(text, found)
        if end > at:
            parts += (text[kept:at], REDACTED)
            kept = at = end
    return "".join((*parts, text[kept:]))


def _end_of_value(text: str, found: re.Match[str]) -> int:
    at = found.end()
    opens = _OPENS.match(text, at)
    if opens is not None:
        return _end_of_enclosed(text, opens)
    if _GOES_ON.search(found["key"]):
        return _end(_LINE, text, at)
    return _end(_IN_JSON if found["quote"] else _WORD, text, at)


def _end_of_enclosed(text: str, opens: re.Match[str]) -> int:
    mark = opens[0]
    if mark in _QUOTED:
        return _end(_QUOTED[mark], text, opens.end())
    if mark[0] == "\\":
        # One with more backslashes stands inside.
        closes = re.compile(rf"(?<!\\){re.escape(mark)}").search(text, opens.end())
        return len(text) if closes is None else closes.end()
    depth, at = 1, opens.end()
    while depth and (bracket := _BRACKETS.search(text, at)):
        at = bracket.end()
        if bracket[0] in _QUOTED:
            at = _end(_QUOTED[bracket[0]], text, at)
        else:
            depth += 1 if bracket[0] in "[{(" else -1
    return len(text) if depth else at


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return at if match is None else match.end()
