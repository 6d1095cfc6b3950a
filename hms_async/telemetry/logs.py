"""Logging: structlog events with constant dotted names, as JSON or as lines for people.

Modules take a logger with `get_logger`; only the command line and `run_forever()` call
`configure`, because a library that configures logging takes it away from its application. Without
it our events go to structlog where the application has configured that, else to `logging`, which
drops or writes them as the application says.

structlog is imported with the first line that is written, or at `configure`: with its development
tools it takes longer than all of this package, and a service that only enqueues writes none.
"""

import functools
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import Context, ContextVar
from types import MethodType
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO, cast, get_args

from hms_async.errors import ConfigInvalid
from hms_async.telemetry import lines, stdlib, text
from hms_async.telemetry.hiding import hide
from hms_async.telemetry.lines import package_version

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = [
    "LEVELS",
    "Format",
    "configure",
    "from_env",
    "get_logger",
    "how_to_narrate",
    "is_configured",
    "package_version",
    "say_in",
    "unconfigure",
    "writes",
]

Format = Literal["auto", "text", "json"]

LEVELS: Final = ("debug", "info", "warning", "error", "critical")

_LEVEL_OF: Final = {word: logging.getLevelNamesMapping()[word.upper()] for word in LEVELS}
_NAMES: Final = ("queue", "task_id", "corr_id", "attempt", "trace_id", "span_id")
_loggers: dict[str, "_Logger"] = {}


class _Ours:
    """What `configure` has given to structlog last."""

    wrapper: Any = None
    level = logging.NOTSET
    text = False
    records: logging.Handler | None = None
    root_level = logging.WARNING

    def hold(self) -> bool:
        """Return whether structlog is as `configure` has left it."""
        structlog = sys.modules.get("structlog")
        return structlog is not None and structlog.get_config()["wrapper_class"] is self.wrapper


_ours = _Ours()


def configure(*, fmt: Format, level: str, stream: TextIO | None = None) -> None:
    """Configure logging for this process: structlog, and the root of the standard library's.

    Args:
        fmt: `auto` is text on a terminal, else JSON.
        level: The least level that is written, such as "info".
        stream: Where to; by default whatever `sys.stdout` is when a line is written.

    Raises:
        ConfigInvalid: If the format or the level is not one of ours.
    """
    import structlog  # noqa: PLC0415  # slow, see above

    fmt, level = _checked(fmt, level, "log format", "log level")
    if fmt == "auto":
        fmt = "text" if _is_terminal(stream or sys.stdout) else "json"
    as_text = functools.partial(lines.as_text, level == "debug")
    # Re-entrant, because a finaliser may log while this very thread is writing.
    lock = threading.RLock()
    _ours.wrapper = structlog.make_filtering_bound_logger(level)
    _ours.level = _LEVEL_OF[level]
    _ours.text = fmt == "text"
    structlog.configure(
        processors=[_merge, lines.as_json if fmt == "json" else as_text],
        wrapper_class=_ours.wrapper,
        context_class=dict,
        logger_factory=lambda *args: lines.Writer(stream, lock, *args[:1]),
        cache_logger_on_first_use=True,
    )
    _forget_first_use()

    def write(name: str, word: str, fields: dict[str, Any]) -> None:
        writer = lines.Writer(stream, lock, name)
        writer.msg(
            lines.as_json(writer, word, fields)
            if fmt == "json"
            else text.message(name, word, lines.prepare(fields), fields)
        )

    _take_records(stdlib.Records(write, _said_in_all))


def _take_records(records: logging.Handler) -> None:
    root = logging.getLogger()
    _leave_records()
    _ours.records, _ours.root_level = records, root.level
    root.addHandler(records)
    root.setLevel(_ours.level)


def _leave_records() -> None:
    if _ours.records is not None:
        logging.getLogger().removeHandler(_ours.records)
        logging.getLogger().setLevel(_ours.root_level)
        _ours.records = None


def unconfigure() -> None:
    """Take a configuration back, for tests that share a process with others."""
    if structlog := sys.modules.get("structlog"):
        structlog.reset_defaults()
    _leave_records()
    _forget_first_use()


def _forget_first_use() -> None:
    # structlog keeps what a logger was first used with; without this a second configuration would
    # reach only some of the loggers.
    for logger in _loggers.values():
        logger.forget_first_use()


def writes(logger: "FilteringBoundLogger", level: int) -> bool:
    """Return whether a line of this level would be written, before its fields are made.

    An application's own structlog configuration may have a logger that cannot tell.
    """
    if _ours.hold():
        return level >= _ours.level  # without a logger being made: a worker asks at each task
    tells = getattr(logger, "is_enabled_for", None)
    # structlog's generic wrapper has whatever it is asked for, and would write a line.
    return not isinstance(tells, MethodType) or bool(tells(level))


def how_to_narrate(logger: "FilteringBoundLogger") -> Callable[..., Any] | None:
    """Return what tells of a beginning whose end has a line of its own; `None` if nobody listens.

    People who look on hear of it at info, all others at debug.
    """
    if _ours.hold():
        least = logging.INFO if _ours.text else logging.DEBUG
        if least < _ours.level:
            return None
        return logger.info if _ours.text else logger.debug
    return logger.debug if writes(logger, logging.DEBUG) else None


def from_env(environ: Mapping[str, str] = os.environ) -> tuple[Format, str]:
    """Return format and level from `HMS_LOG_FORMAT` (auto) and `HMS_LOG_LEVEL` (info).

    Raises:
        ConfigInvalid: If one of them holds another word.
    """
    return _checked(
        environ.get("HMS_LOG_FORMAT") or "auto",
        environ.get("HMS_LOG_LEVEL") or "info",
        "HMS_LOG_FORMAT",
        "HMS_LOG_LEVEL",
    )


def is_configured() -> bool:
    """Return whether somebody has configured logging, be it structlog or the standard library."""
    structlog = sys.modules.get("structlog")
    if structlog is not None and structlog.is_configured():
        return True
    return bool(logging.getLogger().handlers)


def get_logger(name: str) -> "FilteringBoundLogger":
    """Return the logger of that name; it looks at the configuration when it is first used.

    The name travels as the factory's argument, so that an application which has configured
    structlog upon `logging` finds our events under that name there.
    """
    logger = _loggers.setdefault(name, _Logger(name))
    return cast("FilteringBoundLogger", logger)


class _Logger:
    """A logger that finds out where its lines go when there is one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bridge = stdlib.Bridge(name)
        self._bound: Any = None

    def __getattr__(self, word: str) -> Any:
        bound = self._structlogs()
        return getattr(self._bridge if bound is None else bound, word)

    def _structlogs(self) -> Any:
        """Return structlog's logger; `None` if the application has not configured that."""
        structlog = sys.modules.get("structlog")
        if structlog is None or not structlog.is_configured():
            return None
        if self._bound is None:
            self._bound = structlog.get_logger(self._name)
        return self._bound

    def _tell(self, word: str, event: str, /, **fields: Any) -> None:
        if _ours.hold():
            getattr(self._structlogs(), word)(event, **fields)  # our renderer hides what it must
            return
        level = _LEVEL_OF[word]
        if not writes(cast("FilteringBoundLogger", self), level):
            return
        shown = hide(fields)
        bound = self._structlogs()
        if bound is None:
            self._bridge.tell(level, event, shown)
        else:
            getattr(bound, word)(event, **shown)

    debug = functools.partialmethod(_tell, "debug")
    info = functools.partialmethod(_tell, "info")
    warning = functools.partialmethod(_tell, "warning")
    error = functools.partialmethod(_tell, "error")
    critical = functools.partialmethod(_tell, "critical")

    def forget_first_use(self) -> None:
        """Look at the configuration again."""
        self._bound = None


def _said_in_all() -> dict[str, Any]:
    """Return what all lines of this context say, what names an attempt first."""
    from structlog.contextvars import get_contextvars  # noqa: PLC0415  # slow, see above

    said = get_contextvars()
    return {name: said[name] for name in (*_NAMES, *said) if name in said}


def _merge(
    _writer: object, _level: str, fields: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for name, value in _said_in_all().items():
        fields.setdefault(name, value)
    return fields


def say_in(context: Context, fields: Mapping[str, object]) -> None:
    """Add these fields, which name an attempt, to all lines written in that context from now on."""
    context.run(_set, fields)


def _set(fields: Mapping[str, object]) -> None:
    variables = _variables()
    for name, value in fields.items():
        variables[name].set(value)


@functools.cache
def _variables() -> dict[str, ContextVar[object]]:
    """Return structlog's own variables of these names: setting them is five times as fast."""
    from structlog.contextvars import bind_contextvars  # noqa: PLC0415  # slow, see above

    empty = Context()
    empty.run(bind_contextvars, **dict.fromkeys(_NAMES))
    return {name: one for name in _NAMES for one in empty if one.name.endswith(f"_{name}")}


def _checked(fmt: str, level: str, fmt_name: str, level_name: str) -> tuple[Format, str]:
    if fmt.lower() not in get_args(Format):
        raise ConfigInvalid(f'{fmt_name}="{fmt}" is not a format: give auto, text or json')
    if level.lower() not in LEVELS:
        raise ConfigInvalid(f'{level_name}="{level}" is not a level: give {", ".join(LEVELS)}')
    return cast("Format", fmt.lower()), level.lower()


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False
