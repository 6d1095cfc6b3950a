"""Between our lines and the standard library's `logging`, both ways.

Where we configure logging, what an application logs with `logging` comes out as our lines do. Where
it has configured `logging` and not structlog, our events are its records.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from hms_async.telemetry import text
from hms_async.telemetry.text import as_text

_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What a record has of itself: the rest is what was said with it."""

Line = Callable[[str, str, dict[str, Any]], None]
"""Writes a line: logger, level, fields with the message as `event`."""


class Records(logging.Handler):
    """Writes the records of an application as lines of ours.

    Args:
        write: Writes a line.
        context: Returns what all lines of the moment say.
    """

    def __init__(self, write: Line, context: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__()
        self._write = write
        self._context = context

    def createLock(self) -> None:  # noqa: N802  # the standard library's name
        """Need none: the writer has one."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; one whose arguments do not fit its text is no error here."""
        fields = {**self._context(), **_said(record), "event": _message(record)}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        if record.stack_info:
            fields["stack"] = record.stack_info
        self._write(record.name, record.levelname.lower(), fields)


class Bridge:
    """A logger for our events that makes records of them, with their fields as attributes.

    Args:
        name: The logger's name.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def is_enabled_for(self, level: int) -> bool:
        """Return whether a record of this level would be heard."""
        return self._logger.isEnabledFor(level)

    def tell(self, level: int, event: str, fields: Mapping[str, Any]) -> None:
        """Make a record of an event."""
        said = {name: value for name, value in fields.items() if name != "exc_info"}
        extra = {f"hms_{name}" if name in _OWN else name: said[name] for name in said}
        self._logger.log(
            level,
            text.plain(event, said),
            exc_info=fields.get("exc_info"),
            extra=extra | {"event": event},
            stacklevel=3,
        )


def _said(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _OWN}


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  # whatever formatting a foreign argument raises
        return as_text(record.msg)
