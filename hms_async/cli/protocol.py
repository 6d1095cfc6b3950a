"""`hms protocol`: what a program in another language needs of this package."""

from pathlib import Path

import click

from hms_async.cli import options, show
from hms_async.storage.scripts import load, names


@click.group(cls=options.Group)
def protocol() -> None:
    """Hand the Redis scripts to programs in other languages."""


@protocol.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@options.output
def export(*, directory: Path, output: options.Output) -> None:
    """Write the Lua scripts into a directory, each whole, and print their SHA1.

    A program ships them beside itself and needs no Python. The SHA1 is what EVALSHA calls a script
    by; it is that of the file, too. Export them again after an upgrade.

    \b
        hms protocol export scripts
    """  # noqa: D301  # click keeps lines after a real \b
    scripts = [load(name) for name in names()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for script in scripts:
            (directory / f"{script.name}.lua").write_bytes(script.text.encode())
    except OSError as error:
        raise click.BadParameter(f"cannot write {error.filename}: {error.strerror}") from error
    if output == "json":
        found = [
            {"name": script.name, "file": f"{script.name}.lua", "sha1": script.sha}
            for script in scripts
        ]
        show.json("protocol.export", directory=str(directory), scripts=found)
    else:
        show.table(["SCRIPT", "SHA1"], [[script.name, script.sha] for script in scripts])
