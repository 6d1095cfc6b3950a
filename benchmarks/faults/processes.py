"""Processes that the campaign owns: started, frozen, killed, and seen to die."""

import fcntl
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
_END_S = 10.0


class Owned:
    """A process of ours. Only these are ever signalled, by their id, and only while they live.

    Args:
        command: What to run.
        log: Where its output is appended.
        environ: Its environment; ours if not given.
        terminal: The terminal that controls it; it has none if not given.
        folder: Where it works.

    Attributes:
        died: When it was seen dead, in nanoseconds of the monotonic clock.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environ: Mapping[str, str] | None = None,
        terminal: int | None = None,
        folder: Path = ROOT,
    ) -> None:
        self.command = list(command)
        self.log = log
        self.died: int | None = None

        def take_terminal() -> None:
            if terminal is not None:
                fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

        # A session of its own, as a Ctrl-C on our terminal is for us, who then end it.
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603
                self.command,
                stdin=subprocess.DEVNULL if terminal is None else terminal,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environ,
                cwd=folder,
                start_new_session=True,
                preexec_fn=take_terminal if terminal else None,  # noqa: PLW1509  # one ioctl
            )
        self._ended = threading.Thread(target=self._watch, daemon=True)
        self._ended.start()

    def _watch(self) -> None:
        self._process.wait()
        self.died = time.monotonic_ns()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """What it ended with, as `subprocess` tells it; None while it lives."""
        return None if self.died is None else self._process.returncode

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it is dead."""
        self._process.send_signal(number)

    def freeze(self) -> None:
        """Stop it as a machine that is suspended, or swaps, would."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    def terminate(self) -> None:
        """Ask it to stop."""
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would, and return when it is gone."""
        self.signal(signal.SIGKILL)
        self.join(_END_S)

    def join(self, seconds: float) -> int:
        """Wait for its end and return its code.

        Raises:
            TimeoutError: If it does not end in time.
        """
        self._ended.join(seconds)
        if self.died is None:
            raise TimeoutError(f"process {self.pid} has not ended in {seconds:g} s: {self.command}")
        return self._process.returncode
