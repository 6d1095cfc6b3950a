"""From an event to a line, and to where lines go."""

import functools
import sys
import traceback
from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, TextIO, cast

from hms_async.telemetry import text
from hms_async.telemetry.hiding import hide, hide_text


class Writer:
    """The end of the chain: writes whole lines, and never raises.

    A worker outlives the reader of its log: a closed pipe or a full disk costs the line only.
    """

    def __init__(
        self, stream: TextIO | None, lock: AbstractContextManager[bool], name: str | None = None
    ) -> None:
        self._stream = stream
        self._lock = lock
        self.name = name

    def msg(self, line: str) -> None:
        """Write a line."""
        stream = self._stream or sys.stdout
        with self._lock:
            try:
                self._write(stream, line + "\n")
            except (OSError, ValueError, RuntimeError, AttributeError):
                return

    debug = info = warning = error = critical = msg

    @staticmethod
    def _write(stream: TextIO, line: str) -> None:
        try:
            stream.write(line)
        except UnicodeEncodeError as error:
            stream.write(line.encode(error.encoding, "backslashreplace").decode(error.encoding))
        stream.flush()


def as_json(writer: object, level: str, fields: MutableMapping[str, Any]) -> str:
    """Return an event as JSON on one line: a structlog renderer."""
    event = prepare(fields)
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    head = {
        "ts": now.removesuffix("+00:00") + "Z",
        "level": level,
        "event": event,
        "logger": getattr(writer, "name", None),
        "hms": package_version(),
    }
    # Twice: first for the order, last so that a field cannot pass for one of these.
    return text.to_json(head | dict(fields) | head)


def as_text(
    verbose: bool,  # noqa: FBT001  # bound by `partial`
    _writer: object,
    level: str,
    fields: MutableMapping[str, Any],
) -> str:
    """Return an event as lines for people: a structlog renderer, once `verbose` is bound."""
    return text.render(prepare(fields), level, fields, verbose=verbose)


def prepare(fields: MutableMapping[str, Any]) -> str:
    """Take the event out of the fields, and bring these into their final form."""
    event = text.as_text(fields.pop("event", ""))
    if trace := _traceback(fields.pop("exc_info", None)):
        fields["exc"] = trace
    if "result" in fields:
        # Its short form: of one type for whoever indexes it, and never a megabyte.
        fields["result"] = text.summary(fields["result"])
    shown = hide(fields)
    fields.clear()
    fields.update(shown)
    return hide_text(event)


def _traceback(exc_info: object) -> str | None:
    """Return the traceback of what `exc_info` takes: `True`, an exception, or a triple."""
    if isinstance(exc_info, tuple):
        exc_info = cast("tuple[object, ...]", exc_info)[1]
    error = exc_info if isinstance(exc_info, BaseException) else None
    if error is None and exc_info:
        error = sys.exception()
    return None if error is None else "".join(traceback.format_exception(error)).rstrip()


@functools.cache
def package_version() -> str:
    """Return the version of this package, 0 when it is not installed."""
    # Here, because this import costs more than all of logging, and text needs none of it.
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        return version("hms-async")
    except PackageNotFoundError:
        return "0"
