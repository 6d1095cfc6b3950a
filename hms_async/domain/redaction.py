"""What others see of tasks: the one place that says so, for the API, the pages and exports.

A key is cut into words as people write them (`apiKey`, `API_KEY`, `x-api-key`), and names of
secrets are sought among whole words: `access_token` is one, `tokenizer_count` and `monkey` are not.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, cast

import msgspec

from hms_async.domain.event import Event
from hms_async.domain.handoff import Handoff
from hms_async.domain.scrub import REDACTED, scrub
from hms_async.domain.task import Attempt, TaskRecord, TaskState
from hms_async.errors import ConfigInvalid, PayloadInvalid

DEEPEST: Final = 100
"""Levels of lists and objects that are looked into; what lies deeper is left out."""

NAMES: Final = (
    *("password", "passwd", "passphrase", "secret", "token", "api_key", "apikey", "authorization"),
    *("cookie", "ssn", "iban", "card_number", "cardnumber", "cvv", "private_key", "privatekey"),
)
"""What a key says whose value is a secret, singular or plural."""

_WORD = re.compile(r"[A-Z]{2,}s(?![a-z])|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+|\d+")
_MOST_KEYS, _LONGEST_KEY = 4_096, 128


class Redactor:
    """Leaves out what a key's name calls a secret.

    Args:
        names: Further names of secrets, in any spelling: `tax_id` is `taxId` and `Tax-ID`, too.

    Raises:
        ConfigInvalid: If a name has neither letters nor digits.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        wanted = [*NAMES, *map(_in_words, names)]
        if not all(wanted):
            raise ConfigInvalid(f"names to redact: {', '.join(names)!r}: one of them is no name")
        self._secret = re.compile(rf"(?:^|_)(?:{'|'.join(map(re.escape, wanted))})s?(?:_|$)")
        self._remembered = lru_cache(_MOST_KEYS)(self._look)

    def is_secret(self, key: str) -> bool:
        """Return whether the value of a key is a secret."""
        return self._remembered(key) if len(key) <= _LONGEST_KEY else self._look(key)

    def _look(self, key: str) -> bool:
        return self._secret.search(_in_words(key)) is not None

    def redact(self, value: Any) -> Any:
        """Return a copy of a JSON value without its secrets."""
        return self._copy(value, DEEPEST)

    def _copy(self, value: Any, levels: int) -> Any:
        if isinstance(value, dict):
            if not levels:
                return REDACTED
            return {
                key: REDACTED if self.is_secret(key) else self._copy(item, levels - 1)
                for key, item in cast("dict[str, Any]", value).items()
            }
        if isinstance(value, list | tuple):
            if not levels:
                return REDACTED
            return [self._copy(item, levels - 1) for item in cast("list[Any]", value)]
        return value

    def restore(self, changed: Any, original: Any) -> Any:
        """Return a value that somebody has changed, with the secrets that they were not shown.

        Args:
            changed: What they made of `redact(original)`.
            original: What it was, secrets included.

        Raises:
            PayloadInvalid: If something was left out where the original has nothing to put.
        """
        try:
            return _restored(changed, self.redact(original), original, "$")
        except RecursionError:
            raise PayloadInvalid("it is nested too deep") from None

    def redact_text(self, text: str) -> str:
        """Return a text for people, such as a traceback, without the secrets that can be told.

        Those are what stands behind a name and `=` or `:`, our own tokens, bearer tokens, private
        keys and the passwords of URLs. A secret that nothing announces stays.
        """
        return scrub(text, self.is_secret)

    def visible(self, record: TaskRecord, *, payload: bool, result: bool = False) -> TaskRecord:
        """Return what somebody may see of a task; its `hidden` names what they may not.

        Args:
            record: The task.
            payload: Whether they may see what was asked, and what came of it.
            result: Whether they may see at least what came of it, as its producer may.
        """
        hidden: list[str] = []

        def shown(name: str, *, allowed: bool, there: bool = True) -> Any:
            if allowed or not there:
                return self.redact(getattr(record, name))
            hidden.append(name)
            return None

        readable = record.raw is None
        return msgspec.structs.replace(
            record,
            payload=shown("payload", allowed=payload, there=readable),
            result=shown("result", allowed=payload or result, there=record.state is TaskState.DONE),
            handoff=self._handoff(record.handoff, hidden, allowed=payload),
            raw=self._raw(record.raw, hidden, allowed=payload),
            error=None if record.error is None else self._texts(record.error),
            attempts=tuple(map(self._attempt, record.attempts)),
            hidden=tuple(hidden),
        )

    def visible_event(self, event: Event, *, payload: bool, result: bool = False) -> Event:
        """Return what somebody may see of an event; the message of a done task is of its result."""
        message = event.message
        if event.type == TaskState.DONE and not (payload or result):
            message = None
        return msgspec.structs.replace(
            event,
            message=None if message is None else self.redact_text(message),
            handoff=self._handoff(event.handoff, [], allowed=payload),
        )

    def _handoff(
        self, handoff: Handoff | None, hidden: list[str], *, allowed: bool
    ) -> Handoff | None:
        if handoff is None:
            return None
        if allowed:
            return msgspec.structs.replace(handoff, payload=self.redact(handoff.payload))
        hidden.append("handoff.payload")
        return msgspec.structs.replace(handoff, payload=None)

    def _raw(self, raw: bytes | None, hidden: list[str], *, allowed: bool) -> bytes | None:
        if raw is None:
            return None
        if not allowed:
            hidden.append("raw")
            return None
        try:
            return msgspec.json.encode(self.redact(msgspec.json.decode(raw)))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return self.redact_text(raw.decode(errors="backslashreplace")).encode()

    def _attempt(self, attempt: Attempt) -> Attempt:
        return msgspec.structs.replace(
            attempt,
            error=self.redact_text(attempt.error),
            traceback=self.redact_text(attempt.traceback),
        )

    def _texts(self, texts: Any) -> dict[str, str]:
        return {name: self.redact_text(text) for name, text in texts.items()}


def _restored(changed: Any, shown: Any, original: Any, path: str) -> Any:
    if changed == REDACTED:
        if shown != REDACTED:
            raise PayloadInvalid(f"{REDACTED} stands for nothing here: write what it is", path=path)
        return original
    if isinstance(changed, dict):
        named, had = _named(shown), _named(original)
        return {
            key: _restored(item, named.get(key), had.get(key), f"{path}.{key}")
            for key, item in cast("dict[str, Any]", changed).items()
        }
    if isinstance(changed, list | tuple):
        items = cast("list[Any]", changed)
        was, of = _numbered(shown, len(items)), _numbered(original, len(items))
        return [
            _restored(item, was.get(n), of.get(n), f"{path}[{n}]") for n, item in enumerate(items)
        ]
    return changed


def _named(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _numbered(value: Any, length: int) -> dict[int, Any]:
    """Return the items of a list of that length; of another nobody knows which is which."""
    if not isinstance(value, list | tuple):
        return {}
    items = cast("list[Any]", value)
    return dict(enumerate(items)) if len(items) == length else {}


def _in_words(key: str) -> str:
    return "_".join(_WORD.findall(key)).lower()
