"""The demo's workers: real processes, started as a service would start them."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import anyio
from anyio.abc import Process

from hms_async.cli.passport import journal

SLOTS = 5
QUEUE = "passport.photo"

_TARGET = "hms_async.cli.passport.handler:validate_photo"
_STOP_S = 5.0
_TAIL_LINES = 12


class Clerk:
    """One worker process, and where its log is."""

    def __init__(self, name: str, process: Process, log: Path) -> None:
        self.name = name
        self.log = log
        self.dismissed = False
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def dead(self) -> bool:
        """Whether the process ended although nobody asked it to."""
        return self._process.returncode is not None and not self.dismissed

    async def kill(self) -> None:
        """End it as a power cut would, and wait until it is gone."""
        self.dismissed = True
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    async def stop(self) -> None:
        """Ask it to finish what it does and go; end it by force if it does not."""
        self.dismissed = True
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            with anyio.move_on_after(_STOP_S):
                await self._process.wait()
            if self._process.returncode is None:
                await self.kill()

    def tail(self) -> list[str]:
        """Return the last lines of its log."""
        return self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]


class Crew:
    """All worker processes of one run of the demo; only these are ever signalled.

    Args:
        folder: Where logs and journal go.
        url: The server.
        namespace: The namespace of the queue.
    """

    def __init__(self, folder: Path, url: str, namespace: str) -> None:
        self.clerks: list[Clerk] = []
        self.journal = folder / "journal.jsonl"
        self._folder = folder
        # By environment, as a command line can be read by everybody and a URL may have a password.
        mine = {name: value for name, value in os.environ.items() if not name.startswith("HMS_")}
        self._environ = mine | {
            "HMS_URL": url,
            "HMS_NAMESPACE": namespace,
            journal.VARIABLE: str(self.journal),
        }

    async def hire(self) -> Clerk:
        """Start another worker."""
        name = f"clerk-{len(self.clerks) + 1}"
        command = [sys.executable, "-m", "hms_async", "run", _TARGET]
        command += ["-Q", QUEUE, "-c", str(SLOTS), "-n", name]
        command += ["-l", "debug", "--log-format", "json"]  # data tell of a beginning at debug only
        log = self._folder / f"{name}.log"
        # Shielded, as a process that is started must be known; and in a session of its own, as
        # Ctrl-C on the terminal is for us, who then stop it.
        with log.open("wb") as output, anyio.CancelScope(shield=True):
            process = await anyio.open_process(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environ,
                start_new_session=True,
            )
            self.clerks.append(Clerk(name, process, log))
        return self.clerks[-1]

    async def stop(self) -> None:
        """Stop all of them at once."""
        async with anyio.create_task_group() as group:
            for clerk in self.clerks:
                group.start_soon(clerk.stop)

    def named(self, name: str | None) -> Clerk | None:
        """Return the one of that name, if it still works."""
        found = (one for one in self.clerks if one.name == name and not one.dismissed)
        return next(found, None)

    def fallen(self) -> Clerk | None:
        """Return one that ended by itself, which none should."""
        return next((clerk for clerk in self.clerks if clerk.dead), None)
