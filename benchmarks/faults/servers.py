"""Servers to be hurt: killed, frozen, restarted on their data and their port."""

import shutil
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from benchmarks.faults.processes import Owned
from hms_async.errors import ConfigInvalid, StoreError
from hms_async.storage.embedded import find_binary, server_name
from hms_async.storage.store import Store

_HOST = "127.0.0.1"

Fsync = Literal["everysec", "always"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A server and how it keeps its data.

    Attributes:
        name: `valkey` or `redis`.
        binary: What to start.
        fsync: When its append-only file goes to the disk; None for no such file.
    """

    name: str
    binary: Path
    fsync: Fsync | None = "everysec"

    def __str__(self) -> str:
        return f"{self.name} {self.fsync or 'no aof'}"

    def with_fsync(self, fsync: Fsync | None) -> "Kind":
        """Return the same server with another way to keep its data."""
        return replace(self, fsync=fsync)


def found() -> dict[str, Kind]:
    """Return the servers that this machine has: the embedded Valkey and Debian's Redis."""
    kinds: dict[str, Kind] = {}
    with suppress(ConfigInvalid):
        kinds["valkey"] = Kind("valkey", find_binary())
    if binary := shutil.which("redis-server"):
        kinds["redis"] = Kind("redis", Path(binary))
    return kinds


class Server:
    """A server on one port and one folder, whatever happens to its process.

    Args:
        kind: Which one.
        folder: Where its data and log go.
    """

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind = kind
        self._folder = folder
        folder.mkdir()
        with socket.create_server((_HOST, 0)) as probe:
            self.port = int(probe.getsockname()[1])
        self.process: Owned | None = None
        self._password = ""

    @property
    def url(self) -> str:
        """The address for clients; always on the loopback interface."""
        secret = f":{self._password}@" if self._password else ""
        return f"redis://{secret}{_HOST}:{self.port}/0"

    def start(self, extra: Sequence[str] = ()) -> Owned:
        """Start it on its folder and its port; it may be loading for a while."""
        command = [str(self.kind.binary), "--port", str(self.port), "--bind", _HOST]
        command += ["--dir", str(self._folder), "--save", "", "--daemonize", "no"]
        command += ["--appendonly", "yes" if self.kind.fsync else "no"]
        if self.kind.fsync:
            command += ["--appendfsync", self.kind.fsync]
        self.process = Owned([*command, *extra], self._folder / "server.log")
        return self.process

    def protect(self, password: str) -> list[str]:
        """Ask for a password from the next start on; returns the arguments for it."""
        self._password = password
        return ["--requirepass", password]

    @property
    def running(self) -> Owned:
        """Its process.

        Raises:
            RuntimeError: If it has not been started.
        """
        if self.process is None:
            raise RuntimeError("the server was not started")
        return self.process

    async def answers(self) -> bool:
        """Tell whether it answers, with all its data."""
        async with Store(self.url) as store:
            try:
                await store.ping()
            except StoreError:
                return False
        return True

    def name(self) -> str:
        """Return its name and version, such as `redis 7.0.15`."""
        return server_name(self.url)

    def close(self) -> None:
        """End it, frozen or not."""
        if self.process is not None and self.process.died is None:
            self.process.kill()
