"""The servers that tests run on, and a bare look into them."""

import os
import shutil
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from hms_async.storage.connect import connect_for_thread
from hms_async.storage.embedded import running

VALKEY = pytest.param("valkey")
REDIS = pytest.param("redis", marks=pytest.mark.redis_server)
EVERY_BACKEND = [pytest.param("memory"), VALKEY, REDIS]

# For tests whose subject fakeredis does not have, such as `maxmemory`.
on_real_servers = pytest.mark.parametrize("store_url", [VALKEY, REDIS], indirect=True)


@contextmanager
def machines_redis() -> Generator[str]:
    """Run the machine's redis-server without persistence, or skip and say why."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis_server: no redis-server on PATH; apt-get install redis-server")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with (
        # A replica writes what it was sent into its directory.
        tempfile.TemporaryDirectory(prefix="hms-") as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder) as server,  # noqa: S603
    ):
        try:
            assert server.stdout is not None
            if not any("Ready to accept connections" in line for line in server.stdout):
                raise RuntimeError("redis-server died at its start")
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()


@contextmanager
def server_that_says(hello: bytes) -> Generator[str]:
    """Run a server that answers `HELLO` with this, and all else with OK."""

    class Talk(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while head := self.rfile.readline():
                sizes = (self.rfile.readline() for _ in range(int(head[1:])))
                words = [self.rfile.read(int(size[1:]) + 2) for size in sizes]
                self.wfile.write(hello if words[0] == b"HELLO\r\n" else b"+OK\r\n")

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Talk) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"redis://127.0.0.1:{server.server_address[1]}/0"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def server_of_version(name: str, version: str) -> Generator[str]:
    """Run a server that says that it is of this kind and version."""
    words = [f"${len(word)}\r\n{word}\r\n" for word in ("server", name, "version", version)]
    with server_that_says(f"%3\r\n{''.join(words)}$5\r\nproto\r\n:3\r\n".encode()) as url:
        yield url


class Pair:
    """A primary and its replica.

    Attributes:
        primary: The primary's URL.
        replica: The replica's URL.
    """

    def __init__(self, primary: str, replica: str) -> None:
        self.primary, self.replica = primary, replica
        self._pids = [int(_ask(url, "INFO", "server")["process_id"]) for url in (primary, replica)]

    def join(self) -> None:
        """Make one the replica of the other."""
        parts = urlsplit(self.primary)
        _ask(self.primary, "CONFIG", "SET", "repl-diskless-sync-delay", "0")
        _ask(self.replica, "REPLICAOF", str(parts.hostname), str(parts.port))
        self.catch_up()

    def catch_up(self) -> None:
        """Wait until the replica has everything."""
        raw = Raw(self.primary)
        raw("SET", "caught-up", "1")
        deadline = time.monotonic() + 20
        while raw("WAIT", "1", "100") != 1:
            assert time.monotonic() < deadline
        raw.close()

    def freeze_replica(self) -> None:
        os.kill(self._pids[1], signal.SIGSTOP)

    def thaw_replica(self) -> None:
        os.kill(self._pids[1], signal.SIGCONT)

    def kill_primary(self) -> None:
        os.kill(self._pids[0], signal.SIGKILL)

    def promote_replica(self) -> None:
        _ask(self.replica, "REPLICAOF", "NO", "ONE")


def _ask(url: str, *command: str) -> Any:
    raw = Raw(url)
    try:
        return raw(*command)
    finally:
        raw.close()


@contextmanager
def pair_of(kind: str) -> Generator[Pair]:
    """Run a primary and a replica of it: `valkey` is the embedded one, `redis` the machine's."""
    server = machines_redis if kind == "redis" else _embedded
    with server() as primary, server() as replica:
        pair = Pair(primary, replica)
        pair.join()
        try:
            yield pair
        finally:
            pair.thaw_replica()


@contextmanager
def _embedded() -> Generator[str]:
    with running() as server:
        yield server.url


class Raw:
    """A server's keys as they are, past the store."""

    def __init__(self, url: str) -> None:
        self._client: Any = connect_for_thread(url)

    def __call__(self, *command: str | bytes | float) -> Any:
        return self._client.execute_command(*command)

    def watch(self, queue: str, now_ms: int) -> None:
        """Make as if a supervisor had looked at a queue until now: silence is death then (R16)."""
        self("SET", f"queue:{queue}:swept", f"{now_ms} 0")

    def pipeline(self) -> Any:
        """Many commands in one round trip."""
        return self._client.pipeline(transaction=False)

    def close(self) -> None:
        self._client.close()

    def names(self) -> set[str]:
        return {key.decode() for key in self._client.keys("*")}

    def kind(self, key: str) -> str:
        return str(self._client.type(key).decode())

    def fields(self, key: str) -> dict[str, str]:
        return {
            field.decode(): value.decode(errors="replace")
            for field, value in self._client.hgetall(key).items()
        }

    def entries(self, key: str) -> list[str]:
        return [entry.decode(errors="replace") for entry in self._client.lrange(key, 0, -1)]

    def scores(self, key: str) -> dict[str, int]:
        pairs = self._client.zrange(key, 0, -1, withscores=True)
        return {member.decode(): int(score) for member, score in pairs}

    def string(self, key: str) -> bytes | None:
        value: bytes | None = self._client.get(key)
        return value

    def stream(self, key: str) -> list[dict[str, str]]:
        return [
            {field.decode(): value.decode() for field, value in fields.items()}
            for _, fields in self._client.xrange(key)
        ]

    def snapshot(self) -> dict[str, object]:
        """Everything that is stored, comparable."""
        return {key: self.content(key) for key in sorted(self.names())}

    def content(self, key: str) -> object:
        kind = self.kind(key)
        readers: dict[str, Any] = {
            "hash": self.fields,
            "list": self.entries,
            "zset": self.scores,
            "string": self.string,
            "stream": self.stream,
        }
        if kind not in readers:
            return kind
        return kind, readers[kind](key)
