"""The root of the command line: which commands there are, and how every one of them ends."""

from importlib import import_module
from typing import Any, Final

import click

from hms_async.cli import options
from hms_async.cli.errors import nearest, reported

# Name, where it is, what it does: here again so that `hms --help` imports none of them.
_COMMANDS: Final = (
    ("run", "run:run", "Run handlers on the tasks of their queues."),
    ("dev", "dev:dev", "Start a server where none is, watch all queues, and run a target."),
    ("act", "act:act", "Watch the clocks of the queues, and act."),
    ("api", "api:api", "Serve queues and tasks over HTTP, for any language."),
    ("web", "api:web", "The same; the dashboard will be served here, too."),
    ("token", "tokens:token", "Make access tokens for the API, list and revoke them."),
    ("queue", "queues:queue", "Create and change queues, look at them, pause and resume them."),
    ("job", "jobs:job", "Put tasks in, look at them, and act on one."),
    ("op", "operations:op", "Act on many tasks at once, and see how far that is."),
    ("case", "cases:case", "Look at a case: the tasks of one correlation id."),
    ("sla", "sla:sla", "See how promises stand and were kept, acknowledge, waive and pause."),
    ("stats", "stats:stats", "Show all queues at a glance, the one nearest to harm first."),
    ("top", "top:top", "The same on one screen, as it changes."),
    ("tail", "tail:tail", "Print what happens, one event a line."),
    ("metrics", "metrics:metrics", "Print metrics, alert rules and a dashboard for them."),
    ("workers", "workers:workers", "Show which workers are about, here and over HTTP."),
    (
        "doctor",
        "doctor:doctor",
        "Say what is wrong with the server and the queues, and what to do.",
    ),
    ("audit", "audit:audit", "Show who changed what, and why."),
    ("config", "config:config", "Show each setting, and where it comes from."),
    ("protocol", "protocol:protocol", "Hand the Redis scripts to programs in other languages."),
    ("demo", "demo:demo", "Show the whole thing at work, in under a minute."),
    ("version", "version:version", "Show what is installed."),
)


class Root(options.Group):
    """The root group: imports a command when it is called, and reports how it failed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the names in the order in which one meets them."""
        return [name for name, _, _ in _COMMANDS]

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  # click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Return a command, imported now."""
        for name, place, _ in _COMMANDS:
            if name == cmd_name:
                module, _, attribute = place.partition(":")
                found: Any = getattr(import_module(f"hms_async.cli.{module}"), attribute)
                return found if isinstance(found, click.Command) else None
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is meant; a mistyped one is refused with the nearest name."""
        names = self.list_commands(ctx)
        if args[0] not in names and not args[0].startswith("-"):
            ctx.fail(f'No such command "{args[0]}". {nearest(args[0], names)}'.rstrip())
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002  # click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, _, text in _COMMANDS])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with reported(ctx):
            return super().invoke(ctx)


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
def hms() -> None:
    """Queues that keep their promise.

    First steps: `hms demo` shows it at work, `hms dev` starts what a service needs beside it.
    """


def main() -> None:
    """Run the command line."""
    hms(prog_name="hms")
