"""`hms api` or `hms web` in a process of its own, and what it tells of itself."""

import re

from benchmarks.faults.processes import Owned
from benchmarks.faults.workers import Workers as Processes
from tests.process.support import eventually


class Server:
    """`hms api` on a port of the loopback interface, which it keeps when it is started again.

    Args:
        processes: Which it is one of.
        command: `api`, or `web`, and its flags.
    """

    def __init__(self, processes: Processes, *command: str) -> None:
        self._processes = processes
        self._command = command or ("api",)
        self.url = ""
        self.process = self._start("127.0.0.1:0")

    def _start(self, bind: str) -> Owned:
        process = self._processes.hms(*self._command, "--bind", bind)
        eventually(lambda: "ready." in process.log.read_text(), "the API serves")
        self.url = re.findall(r"http://127\.0\.0\.1:\d+", process.log.read_text())[0]
        return process

    def kill_and_start_again(self) -> None:
        """End it as a power cut would, and start another one in its place."""
        self.process.kill()
        self.process = self._start(self.url.removeprefix("http://"))
