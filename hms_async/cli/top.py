"""`hms top`: all queues on one screen, as they change."""

import os
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import anyio
import click

from hms_async.cli import glance, options, show
from hms_async.cli.session import ask, until_interrupted
from hms_async.cli.stats import stats
from hms_async.client import AsyncOMSClient
from hms_async.domain.duration import Duration, to_ms
from hms_async.errors import QueueNotFound, StoreError
from hms_async.runtime.board import Board, Standing
from hms_async.storage.connect import redact
from hms_async.telemetry import text

_LINES_AROUND = 4
_ORDERS: Final[dict[str, tuple[str, Callable[[Standing], Any]]]] = {
    "1": ("harm", lambda one: (one.harm, one.name)),
    "2": ("waiting", lambda one: (-one.stats.waiting, one.name)),
    "3": ("failed", lambda one: (-one.failed, one.name)),
    "4": ("name", lambda one: one.name),
}


@click.command(cls=options.Command)
@click.option(
    "-i",
    "--interval",
    type=options.duration,
    default="1s",
    show_default=True,
    help="How often to look.",
)
@options.only_queues
@options.store
@click.pass_context
def top(
    context: click.Context,
    *,
    interval: Duration,
    queues: tuple[str, ...],
    url: str | None,
    namespace: str,
) -> None:
    """Show all queues on one screen, the one nearest to harm first.

    Keys: q ends it, p holds the screen and lets it go on, 1 to 4 sort by harm, waiting, failed and
    name. Where stdout is no terminal it prints one look, as `hms stats` does.
    """
    if not show.is_terminal():
        context.invoke(
            stats, queues=queues, watch=None, url=url, namespace=namespace, output="table"
        )
        return
    every_s = max(to_ms(interval), 100) / 1_000

    async def work(oms: AsyncOMSClient) -> None:
        await Screen(oms.board(), queues, redact(oms.url)).run(every_s)

    with until_interrupted(), _single_keys():
        ask(url, namespace, work)


class Screen:
    """What is on the screen, and what keys do to it.

    Args:
        board: Looks at the queues.
        queues: Which; all if empty.
        where: What to call the server.
    """

    def __init__(self, board: Board, queues: Sequence[str], where: str) -> None:
        self._board = board
        self._queues = queues
        self._where = where
        self._found: list[Standing] = []
        self._order = "1"
        self._held = False
        self._trouble = ""
        self._pressed = anyio.Event()

    async def run(self, every_s: float) -> None:
        """Look and draw until somebody presses q."""
        from rich.console import Console  # noqa: PLC0415  # slow to import
        from rich.live import Live  # noqa: PLC0415

        self._found = await self._board.look(self._queues)
        console = Console(highlight=False)
        with Live(console=console, screen=True, auto_refresh=False) as live:
            async with anyio.create_task_group() as group:
                group.start_soon(self._listen, group.cancel_scope, name="top-keys")
                while True:
                    self._pressed = anyio.Event()
                    live.update(self._drawn(console.width, console.height), refresh=True)
                    with anyio.move_on_after(every_s):
                        await self._pressed.wait()
                        continue
                    if not self._held:
                        await self._look()

    async def _look(self) -> None:
        try:
            self._found = await self._board.look(self._queues)
            self._trouble = ""
        except (StoreError, QueueNotFound) as error:
            # Whoever watches a server that went away wants to see when it is back.
            self._trouble = str(error)

    def press(self, key: str) -> bool:
        """Do what a key stands for; returns whether to go on."""
        if key == "p":
            self._held = not self._held
        elif key in _ORDERS:
            self._order = key
        return key not in ("q", "Q")

    async def _listen(self, scope: anyio.CancelScope) -> None:
        if not sys.stdin.isatty():
            return
        while True:
            await anyio.wait_readable(sys.stdin)
            keys = os.read(sys.stdin.fileno(), 64).decode(errors="replace")
            for key in keys or "q":  # it was closed
                if not self.press(key):
                    scope.cancel()
            self._pressed.set()

    def _drawn(self, width: int, height: int) -> Any:
        """Return the screen: a line on how things are, the table, and the keys."""
        from rich.console import Group  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        word, key = _ORDERS[self._order]
        found = sorted(self._found, key=key)
        room = max(height - _LINES_AROUND, 1)
        columns, rows = show.fitting(glance.COLUMNS, glance.rows(found), glance.SPARE, width)
        left = len(found) - room
        below = f"{text.number(left, 'more queue')}" if left > 0 else ""
        keys = f"q quit  p {'go on' if self._held else 'hold'}  sort: "
        keys += "  ".join(f"{one} {name}" for one, (name, _) in _ORDERS.items())
        return Group(
            Text(self._state(word), style="red" if self._trouble else "", no_wrap=True),
            Text(""),
            show.rich_table(columns, rows[:room]),
            Text("  ".join(filter(None, (below, keys))), style="dim", no_wrap=True),
        )

    def _state(self, order: str) -> str:
        at = time.strftime("%H:%M:%S")
        if self._trouble:
            return text.clean(f"{at}  no answer: {self._trouble}")
        bad = sum(one.clock in ("breached", "at_risk") for one in self._found)
        parts = [at, self._where, text.number(len(self._found), "queue")]
        parts += [f"{bad} late or at risk"] if bad else []
        parts += [f"by {order}", *(["held"] if self._held else [])]
        return "  ".join(parts)


@contextmanager
def _single_keys() -> Generator[None]:
    """Let keys come one by one and unseen, as long as this lasts; Ctrl-C still interrupts."""
    if not sys.stdin.isatty():
        yield
        return
    import termios  # noqa: PLC0415  # not everywhere
    import tty  # noqa: PLC0415

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
