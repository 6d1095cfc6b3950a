"""A queue's settings: as options, as the arguments of `create_queue`, and as lines."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, NamedTuple, TypeVar, cast

import click

from hms_async.cli import options, show
from hms_async.domain.objective import DEFAULT_GOAL, percent
from hms_async.domain.queue import MEBIBYTE, QueueSettings
from hms_async.domain.retry import RetryPolicy
from hms_async.domain.sla import LATE

F = TypeVar("F", bound=Callable[..., Any])


class _Away(Enum):
    """What `none` on the command line stands for."""

    AWAY = "none"


class _Setting(NamedTuple):
    """One setting of a queue.

    Attributes:
        flag: Its option.
        type: What is read.
        default: What a new queue has.
        help: What it means.
        optional: Whether a queue may be without it.
        multiple: Whether it is a list, one option for each item.
        metavar: What stands for its value in the help, if not the type.
    """

    flag: str
    type: Any
    default: Any
    help: str
    optional: bool = False
    multiple: bool = False
    metavar: str | None = None


_SETTINGS: Final = (
    _Setting(
        "--sla", options.duration, None, "The promise: how long a task may take.", optional=True
    ),
    _Setting(
        "--goal", str, percent(DEFAULT_GOAL), "The share of promises to be kept.", metavar="PERCENT"
    ),
    _Setting(
        "--ladder",
        str,
        None,
        'When to speak up and what to do, one option a rung: "80% warn,bump", "100%+15m page".',
        optional=True,
        multiple=True,
        metavar="RUNG",
    ),
    _Setting(
        "--late",
        click.Choice(sorted(LATE)),
        "after_others",
        "What becomes of a task that is past due and has not begun.",
    ),
    _Setting(
        "--max-wait", options.duration, None, "A task that waits for longer fails.", optional=True
    ),
    _Setting(
        "--run-timeout",
        options.duration,
        None,
        "An attempt that runs longer fails.",
        optional=True,
    ),
    _Setting(
        "--webhook",
        str,
        None,
        "Hears of incidents, as signed JSON.",
        optional=True,
        metavar="URL",
    ),
    _Setting("--webhook-secret", str, None, "What it is signed with.", metavar="SECRET"),
    _Setting(
        "--notify",
        str,
        None,
        "A pager, chat or mailbox (apprise).",
        optional=True,
        multiple=True,
        metavar="URL",
    ),
    _Setting("--max-attempts", int, 5, "The first included."),
    _Setting("--retry-base", options.duration, "1s", "The longest wait after the first failure."),
    _Setting("--retry-cap", options.duration, "5m", "The longest wait of all."),
    _Setting(
        "--lease",
        options.duration,
        "30s",
        "How long a worker may be silent before its tasks are rescued.",
    ),
    _Setting("--max-crashes", int, 3, "Lost leases after which a task fails."),
    _Setting(
        "--max-depth",
        int,
        None,
        "How many tasks may wait; any number without it.",
        optional=True,
    ),
    _Setting("--max-payload-bytes", int, MEBIBYTE, "The largest payload, and result."),
    _Setting(
        "--idempotency-window", options.duration, "24h", "How long a key is remembered, at least."
    ),
)


def new(function: F) -> F:
    """Add every setting, with what a new queue has."""
    for one in reversed(_SETTINGS):
        function = click.option(
            one.flag,
            type=one.type,
            multiple=one.multiple,
            metavar=one.metavar,
            default=one.default,
            show_default=one.default is not None,
            help=one.help,
        )(function)
    return click.option(
        "--pause-stops-clock", is_flag=True, help="Promises stand still in a pause."
    )(function)


def changes(function: F) -> F:
    """Add every setting, none of them given; `none` takes an optional one away."""
    for one in reversed(_SETTINGS):
        function = click.option(
            one.flag,
            type=_or_none(one.type) if one.optional else one.type,
            multiple=one.multiple,
            metavar=one.metavar,
            help=f"{one.help.removesuffix('.')}; `none` for none." if one.optional else one.help,
        )(function)
    return click.option(
        "--pause-stops-clock/--pause-runs-clock",
        default=None,
        help="Whether promises stand still in a pause.",
    )(function)


def _or_none(of: Any) -> Callable[[str], Any]:
    """Return what reads a value of a type, or the word `none`."""
    kind = cast("Any", click.types.convert_type(of))

    def value(text: str) -> Any:
        return _Away.AWAY if text == "none" else kind.convert(text, None, None)

    value.__name__ = kind.name
    return value


def asked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `create_queue` for the options of `new`."""
    arguments = {**given, "ladder": given["ladder"] or None}
    return _with_policy(arguments, RetryPolicy())


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of `changes` that were given."""
    return {name: value for name, value in options.items() if value is not None and value != ()}


def changed(before: QueueSettings, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `create_queue` for a queue's settings with some changes."""
    arguments = before.arguments()
    lists = {one.flag.removeprefix("--") for one in _SETTINGS if one.multiple}
    for name, value in changes.items():
        if name in lists:
            arguments[name] = [item for item in value if item is not _Away.AWAY]
        else:
            arguments[name] = None if value is _Away.AWAY else value
    if changes.get("webhook") is _Away.AWAY:
        arguments["webhook_secret"] = None
    return _with_policy(arguments, before.retry)


def _with_policy(arguments: dict[str, Any], before: RetryPolicy) -> dict[str, Any]:
    policy = RetryPolicy(
        max_attempts=arguments.pop("max_attempts", before.max_attempts),
        base=arguments.pop("retry_base", before.base),
        cap=arguments.pop("retry_cap", before.cap),
    )
    return {**arguments, "retry": policy}


def differences(before: QueueSettings, after: QueueSettings) -> list[str]:
    """Return what has changed, for people."""
    old = dict(lines(before))
    return [f"{name} {old[name]} -> {value}" for name, value in lines(after) if value != old[name]]


def lines(settings: QueueSettings) -> list[tuple[str, str]]:
    """Return each setting by its name for people."""
    return [
        ("promise", "none" if settings.sla_ms is None else show.span(settings.sla_ms)),
        ("goal", percent(settings.goal)),
        ("ladder", "; ".join(map(str, settings.ladder)) or "none"),
        ("late", settings.late.replace("_", " ")),
        ("clock in a pause", "stands still" if settings.pause_stops_clock else "runs on"),
        ("max wait", show.span(settings.max_wait_ms)),
        ("run time-out", show.span(settings.run_timeout_ms)),
        ("receivers", ", ".join(settings.receivers.words()) or "none"),
        ("lease", show.span(settings.lease_ms)),
        ("attempts", str(settings.retry.max_attempts)),
        ("retry base", show.span(settings.retry.base_ms)),
        ("retry cap", show.span(settings.retry.cap_ms)),
        ("crashes", str(settings.max_crashes)),
        ("max depth", str(settings.max_depth or "none")),
        ("max payload", f"{settings.max_payload_bytes} bytes"),
        ("idempotency", show.span(settings.window_ms)),
        ("keep done", f"{show.span(settings.keep_done_ms)}, {settings.keep_done_max}"),
        ("keep failed", f"{show.span(settings.keep_failed_ms)}, {settings.keep_failed_max}"),
    ]
