"""`hms config`: each setting of a process, and where it comes from."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final, NamedTuple, cast

import click
from click.core import ParameterSource

from hms_async import config as environment
from hms_async.cli import options, show
from hms_async.storage.connect import redact

_HOLDERS: Final = ("run:run", "dev:dev", "api:api")
"""Commands that between them have every setting."""
_DEFAULTS: Final = {
    "url": environment.DEFAULT_URL,
    "concurrency": "10",
    "shutdown_timeout": "25s",
    "name": "host and process id",
}
"""What holds where an option has no default of its own."""
_ORIGINS: Final = {ParameterSource.COMMANDLINE: "flag", ParameterSource.ENVIRONMENT: "env"}
_SECRET: Final = ("secret", "token", "password")


class Setting(NamedTuple):
    """A setting as it holds now."""

    name: str
    value: str | None
    origin: str
    variable: str
    flag: str


class _Every(options.Command):
    """A command that takes every setting of the others."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return its own parameters, and theirs, read from them when they are wanted."""
        own = super().get_params(ctx)
        taken = {param.name for param in own}
        return [*own, *(one for one in _settings() if one.name not in taken)]


def _settings() -> Iterator[click.Option]:
    seen: set[str | None] = set()
    for place in _HOLDERS:
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(import_module(f"hms_async.cli.{module}"), attribute)
        for one in command.params:
            if isinstance(one, click.Option) and one.envvar and one.name not in seen:
                seen.add(one.name)
                yield one


@click.command(cls=_Every)
@options.store
@options.output
@click.pass_context
def config(context: click.Context, /, *, output: options.Output, **values: Any) -> None:
    """Show each setting: its value, and whether a flag, the environment or nobody gave it.

    A flag goes before the environment, and that before the default. Passwords are hidden.
    """
    found = [
        _setting(context, one, {**values, "output": output}[one.name or ""])
        for one in context.command.get_params(context)
        if isinstance(one, click.Option) and one.envvar
    ]
    if output == "json":
        show.json("config", settings=[one._asdict() for one in found])
    else:
        show.table(
            ["SETTING", "VALUE", "FROM", "VARIABLE", "FLAG"],
            [[one.name, show.NONE if one.value is None else one.value, *one[2:]] for one in found],
        )


def _setting(context: click.Context, one: click.Option, value: Any) -> Setting:
    name = one.name or ""
    origin = _ORIGINS.get(context.get_parameter_source(name) or ParameterSource.DEFAULT, "default")
    return Setting(
        name=name.replace("_", "-"),
        value=_shown(name, value),
        origin=origin,
        variable=str(one.envvar),
        flag=max(one.opts, key=len),
    )


def _shown(name: str, value: Any) -> str | None:
    if value in (None, "", ()):
        return _DEFAULTS.get(name)
    if any(word in name for word in _SECRET):
        return "***"
    if isinstance(value, tuple):
        return ",".join(map(str, cast("tuple[object, ...]", value)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return redact(str(value))
