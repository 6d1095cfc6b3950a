"""Options that several commands share, spelled alike everywhere.

A setting of a process can come from the environment as well, as `HMS_` and the flag in capitals.
What belongs to one call only (a payload, an id, a reason) cannot: it would act on every call.
"""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import click

from hms_async.cli.errors import DEBUG
from hms_async.domain.duration import Duration, to_ms
from hms_async.errors import DurationInvalid
from hms_async.telemetry.logs import LEVELS

F = TypeVar("F", bound=Callable[..., Any])
Output = Literal["table", "json"]


def duration(value: str) -> Duration:
    """Read a duration as people write it; plain digits are seconds.

    Raises:
        click.BadParameter: If it is none.
    """
    try:
        read: Duration = float(value)
    except ValueError:
        read = value
    try:
        to_ms(read)
    except DurationInvalid:
        raise click.BadParameter(
            f'"{value}" is not a duration: write 90s, 15m, 2h, 1h30m, or a number of seconds'
        ) from None
    return read


def setting(*flags: str, **attributes: Any) -> Callable[[F], F]:
    """Return an option that the environment can give as well."""
    longest = max(flags, key=len)
    variable = "HMS_" + longest.removeprefix("--").replace("-", "_").upper()
    return click.option(*flags, envvar=variable, show_envvar=True, **attributes)


class Command(click.Command):
    """A command that can be asked for tracebacks."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.params.append(
            click.Option(
                ["--debug"],
                is_flag=True,
                expose_value=False,
                callback=_want_tracebacks,
                help="Show tracebacks of errors.",
            )
        )


class Group(click.Group):
    """A group of such commands."""

    command_class = Command


def _want_tracebacks(context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001  # click's signature
    if value:
        context.meta[DEBUG] = True


def store(function: F) -> F:
    """Add where the server is: `url` and `namespace`."""
    function = setting(
        "--namespace", default="", metavar="NAME", help="What stands in front of every key."
    )(function)
    return setting(
        "-u",
        "--url",
        metavar="URL",
        help="The server; redis://127.0.0.1:6379/0 if not given.",
    )(function)


def strict(function: F) -> F:
    """Add whether a server that may lose tasks is refused: `strict`."""
    return setting(
        "--strict", is_flag=True, help="Refuse a server that is set so that it loses tasks."
    )(function)


def output(function: F) -> F:
    """Add the form of what is printed: `output`."""
    return setting(
        "-o",
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        help="A table for people, or JSON for programs.",
    )(function)


def logging(function: F) -> F:
    """Add how the log is written: `log_level` and `log_format`."""
    function = setting(
        "--log-format",
        type=click.Choice(["auto", "text", "json"], case_sensitive=False),
        default="auto",
        help="Lines for people, or one JSON object a line; auto: text on a terminal.",
    )(function)
    return setting(
        "-l",
        "--log-level",
        type=click.Choice(LEVELS, case_sensitive=False),
        default="info",
        metavar="LEVEL",
        help=f"The least that is written: {', '.join(LEVELS)}.",
    )(function)


def ports(function: F) -> F:
    """Add where probes and scrapers are answered: `health_port` and `metrics_port`."""
    function = setting(
        "--metrics-port",
        metavar="[HOST:]PORT",
        help="Answer /metrics there; it may be the same.",
    )(function)
    return setting(
        "--health-port",
        metavar="[HOST:]PORT",
        help="Answer /live, /ready and /status there.",
    )(function)


def queues(help_text: str) -> Callable[[F], F]:
    """Add which queues: `queues`, as the user wrote them."""
    return setting("-Q", "--queue", "queues", multiple=True, metavar="NAME,...", help=help_text)


def _split(_: click.Context, __: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    names = (name.strip() for word in words for name in word.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def only_queues(function: F) -> F:
    """Add which queues to look at: `queues`, all of them if empty.

    Not from the environment, where the queues of a worker may stand.
    """
    return click.option(
        "-Q",
        "--queue",
        "queues",
        multiple=True,
        metavar="NAME,...",
        callback=_split,
        help="Only these queues.",
    )(function)
