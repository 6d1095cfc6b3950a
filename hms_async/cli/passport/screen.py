"""How the demo tells its story: with a bar that moves on a terminal, in plain lines elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

_PLAIN_EVERY_S = 1.0


class Screen:
    """Standard output, as a story.

    Args:
        console: Where to write.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self._told = 0.0
        self._bar = Progress(
            TextColumn(" "),
            BarColumn(bar_width=30, style="dim", complete_style="green"),
            TextColumn("{task.completed:.0f} of {task.total:.0f}  [dim]{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, visible=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    @property
    def elapsed(self) -> float:
        """Seconds since the story began."""
        return time.monotonic() - self._started

    def say(self, text: str = "", style: str = "") -> None:
        """Write a line."""
        self._print(Text(text, style=style))

    def fact(self, label: str, text: str, style: str = "") -> None:
        """Write a line with a name in front."""
        self._print(Text.assemble((f"  {label:<10} ", "dim"), (text, style)))

    def row(self, label: str, number: str, remark: str, style: str = "") -> None:
        """Write a line with a number and a remark."""
        parts = (f"  {label:<10} ", "dim"), (f"{number:>5}", style or "bold"), f"   {remark}"
        self._print(Text.assemble(*parts))

    def event(self, text: str, style: str = "", *, at: float | None = None) -> None:
        """Write down what happens, with the time."""
        seconds = self.elapsed if at is None else at
        self._print(Text.assemble((f"  {seconds:6.1f} s   ", "dim"), (text, style)))

    def progress(self, ended: int, total: int, rest: str) -> None:
        """Show how far it is; as lines only now and then."""
        if self._console.is_terminal:
            self._bar.update(
                self._task, completed=ended, total=total, description=rest, visible=True
            )
        elif self.elapsed - self._told >= _PLAIN_EVERY_S:
            self._told = self.elapsed
            self.event(f"{ended} of {total} ended, {rest}")

    def _print(self, text: Text) -> None:
        text.rstrip()
        self._console.print(text, soft_wrap=True, highlight=False)
        self._console.file.flush()
