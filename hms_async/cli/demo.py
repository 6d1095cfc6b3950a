"""`hms demo`: one night at the passport office, a worker killed in the middle of it."""

import click

from hms_async.cli.options import Command
from hms_async.cli.passport.play import run


@click.command(cls=Command)
@click.option(
    "--tasks",
    type=click.IntRange(1, 10_000),
    default=300,
    show_default=True,
    help="How many photos to validate.",
)
@click.option("--keep", is_flag=True, help="Leave server and files there, to look around.")
@click.option(
    "-u",
    "--url",
    help="Use this server, under a namespace of its own, instead of starting a private one.",
)
@click.pass_context
def demo(context: click.Context, tasks: int, url: str | None, *, keep: bool) -> None:
    """Show the main job at work: photos, two workers, one of them killed, nothing lost."""
    context.exit(run(tasks, keep=keep, url=url))
