"""What a command prints: a table, pairs or JSON on stdout, and talk on stderr.

On a terminal times are relative and words have colour; anywhere else columns are plain and times
are ISO 8601, so that a script finds the same text whatever the width and the hour. Every cell is
cleaned: an id or a reason from outside cannot steer the terminal.
"""

import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from math import floor
from typing import Any, NamedTuple

import click
import msgspec

from hms_async.domain.duration import ms_to_rfc3339, to_text
from hms_async.telemetry import text

NONE = "-"
_LONG = frozenset({"CORRELATION", "FORECAST", "INCIDENTS", "MESSAGE", "PAYLOAD", "WHAT", "STATE"})
"""Columns that go on in the next line where the terminal is narrow; no other is ever broken."""


class Marked(NamedTuple):
    """A cell that stands out on a terminal."""

    text: str
    style: str


Cell = str | int | Marked


def say(message: str) -> None:
    """Write a line of talk: what was done, what to do next."""
    click.echo("\n".join(map(text.clean, message.splitlines())), err=True)


def warn(message: str) -> None:
    """Write a line of talk that should not be missed."""
    say(f"warning: {message}")


def json(schema: str, **fields: Any) -> None:
    """Print a JSON document: indented on a terminal, one line for programs."""
    line = text.to_json({"schema": f"hms.{schema}/v1", **fields})
    click.echo(msgspec.json.format(line, indent=2) if is_terminal() else line)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, spare: Sequence[str] = ()
) -> None:
    """Print rows under their columns' names.

    Args:
        columns: The names.
        rows: A cell for each column.
        spare: Columns that a narrow terminal goes without, the first of them first.
    """
    if is_terminal():
        _rich_table(*fitting(columns, list(rows), spare, width()))
        return
    lines = [[*columns], *([_plain(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())


def fitting(
    columns: Sequence[str], rows: Sequence[Sequence[Cell]], spare: Sequence[str], room: int
) -> tuple[Sequence[str], Sequence[Sequence[Cell]]]:
    """Return a table without those of its spare columns that there is no room for."""
    texts = [columns, *([text_of(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    kept = list(range(len(columns)))
    for name in spare:
        if sum(widths[n] + 2 for n in kept) - 2 <= room:
            break
        kept.remove(columns.index(name))
    return [columns[n] for n in kept], [[row[n] for n in kept] for row in rows]


def pairs(fields: Iterable[tuple[str, Cell]]) -> None:
    """Print names and values, one pair a line; a value of several lines keeps its lines."""
    fields = list(fields)
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        lines = str(text_of(value)).splitlines() or [""]
        for number, line in enumerate(lines):
            label = name if number == 0 else ""
            styled = click.style(label.ljust(width), bold=True) if is_terminal() else None
            click.echo(f"{styled or label.ljust(width)}  {text.clean(line)}".rstrip())


def is_terminal() -> bool:
    """Return whether stdout is read by a person."""
    return sys.stdout.isatty()


def width() -> int:
    """Return how many characters a line of the terminal has."""
    return shutil.get_terminal_size().columns


def now_ms() -> int:
    """Return the moment that times are told from."""
    return time.time_ns() // 1_000_000


def moment(ms: int | None, now: int | None = None) -> str:
    """Return an instant: "3m 5s ago" or "in 2h" on a terminal, else ISO 8601."""
    if not ms:
        return NONE
    if not is_terminal():
        return ms_to_rfc3339(ms)
    left = ms - (now_ms() if now is None else now)
    return f"in {about(left)}" if left > 0 else f"{about(-left)} ago"


def clock_time(ms: int) -> str:
    """Return an instant for a line that stays: the time of day on a terminal, else ISO 8601."""
    if not is_terminal():
        return ms_to_rfc3339(ms)
    return time.strftime("%H:%M:%S", time.localtime(ms / 1_000))


def due(ms: int | None, now: int | None = None) -> Cell:
    """Return when a promise ends, marked when that has passed."""
    if ms is None:
        return NONE
    left = ms - (now_ms() if now is None else now)
    if left > 0 or not is_terminal():
        return moment(ms, now)
    return Marked(f"{about(-left)} late", "red")


def span(ms: int | None) -> str:
    """Return a length of time, such as "2h"."""
    return NONE if ms is None else to_text(ms).replace(" ", "")


def about(ms: int) -> str:
    """Return a length of time without what nobody reads: no tenths, no milliseconds."""
    return span(ms // 1_000 * 1_000) if ms >= 1_000 else "0s"  # noqa: PLR2004  # a second


def share(value: float | None, at_least: float) -> Cell:
    """Return a share as percent, marked when it is below what it is to be."""
    if value is None:
        return NONE
    # Rounded towards what is bad: 99.996 % is not all.
    told = f"{floor(value * 10_000) / 100:.2f}%"
    return told if value >= at_least else Marked(told, "red")


def short(value: object, limit: int = 48) -> str:
    """Return a value on one short line."""
    return text.short(value, limit)


def text_of(cell: Cell) -> str:
    """Return what a cell says."""
    return cell.text if isinstance(cell, Marked) else str(cell)


def _plain(cell: Cell) -> str:
    return text.clean(text_of(cell))


def _rich_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    # Here, because only a table on a terminal needs it, and it is slow to import.
    from rich.console import Console  # noqa: PLC0415

    Console(highlight=False).print(rich_table(columns, rows))


def rich_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Any:
    """Return a table as rich draws it."""
    from rich.table import Table  # noqa: PLC0415  # as above
    from rich.text import Text  # noqa: PLC0415

    built = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        built.add_column(column, no_wrap=column not in _LONG, overflow="fold")
    for row in rows:
        built.add_row(
            *(
                Text(_plain(cell), style=cell.style if isinstance(cell, Marked) else "")
                for cell in row
            )
        )
    return built
