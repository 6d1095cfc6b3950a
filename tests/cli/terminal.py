"""A command at a terminal of some size, as a person has it before them."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Generator
from contextlib import contextmanager

from tests.cli.conftest import ROOT

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_PATIENCE_S = 20.0


class Terminal:
    """What a command writes to its terminal, and the keys that it gets.

    Args:
        process: The command.
        fd: The other end of its terminal.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", fd: int) -> None:
        self.process = process
        self._fd = fd
        self._written = b""

    @property
    def text(self) -> str:
        """All that was written, without what only steers the terminal."""
        return _CONTROL.sub("", self.raw)

    @property
    def raw(self) -> str:
        """All that was written."""
        return self._written.decode(errors="replace")

    def press(self, keys: str) -> None:
        """Press keys; "\\x03" is Ctrl-C."""
        os.write(self._fd, keys.encode())

    def until(self, words: str) -> str:
        """Read on until something is written; returns what was written up to there, from now on."""
        begun = len(self._written)
        deadline = time.monotonic() + _PATIENCE_S
        while words not in (
            new := _CONTROL.sub("", self._written[begun:].decode(errors="replace"))
        ):
            if not self._read(deadline):
                raise AssertionError(f"{words!r} did not come, but {new!r}")
        return new

    def end(self) -> int:
        """Read on until the command ends; returns its exit code."""
        while self._read(time.monotonic() + _PATIENCE_S):
            pass
        return self.process.wait(_PATIENCE_S)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._fd], [], [], max(deadline - time.monotonic(), 0))
        try:
            data = os.read(self._fd, 65_536) if ready else b""
        except OSError:  # nobody has the other end any more
            data = b""
        self._written += data
        return bool(data)


@contextmanager
def at_terminal(*args: str, columns: int = 100, lines: int = 24) -> Generator[Terminal]:
    """Run `hms` at a terminal of this size."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    # Without its own session Ctrl-C would not be the command's.
    command = [sys.executable, "-c", _START, *args]
    with subprocess.Popen(  # noqa: S603  # our own command
        command,
        env=env | {"PYTHONPATH": ROOT, "TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        try:
            yield Terminal(process, ours)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
            os.close(ours)


_START = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from hms_async.cli.main import main
main()
"""
