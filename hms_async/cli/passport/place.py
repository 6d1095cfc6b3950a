"""Where the demo takes place: a folder and a server of its own, and how both go away again."""

import os
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anyio import CancelScope, to_thread

from hms_async.errors import ConfigInvalid, HMSError, StoreError, StoreUnavailable
from hms_async.storage import embedded
from hms_async.storage.connect import check_url, connect_for_thread, is_memory, translated
from hms_async.storage.embedded import EmbeddedServer

_FORGET_S = 10.0


@dataclass(slots=True)
class Place:
    """A folder and a server.

    Attributes:
        folder: Photos, journal, logs, and the server's data if it is ours.
        url: The server.
        namespace: Keeps the demo apart from whatever else a server that is not ours holds.
        server: The server, if it is ours.
        keep_files: Leave the folder where it is.
        keep_server: Leave the server as it is.
    """

    folder: Path
    url: str
    namespace: str = ""
    server: EmbeddedServer | None = None
    keep_files: bool = False
    keep_server: bool = False


@asynccontextmanager
async def opened(url: str | None) -> AsyncGenerator[Place]:
    """Have a place for the length of a block; afterwards no trace of it is left.

    Args:
        url: A server to use instead of a private one.

    Raises:
        ConfigInvalid: If there is no server to start, or the url is of no use here.
        StoreError: If the server does not answer.
    """
    if url is not None and is_memory(check_url(url)):
        raise ConfigInvalid(
            "memory:// is one process, the demo is several: leave out -u, or give a redis:// URL"
        )
    place = Place(Path(tempfile.mkdtemp(prefix="hms-demo-")), url or "")
    try:
        with CancelScope(shield=True):  # what was started must be known, to be stopped
            await to_thread.run_sync(_start, place)
        yield place
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(_leave, place)


def _start(place: Place) -> None:
    if place.url:
        place.namespace = f"hms-demo-{os.urandom(4).hex()}"
        return
    data = place.folder / "server"
    try:
        place.server = embedded.start(data)
    except StoreUnavailable:
        # It may come up late, all the same; this waits for it, and stops it.
        with suppress(HMSError), embedded.running(data):
            pass
        raise
    place.url = place.server.url


def _leave(place: Place) -> None:
    if not place.keep_server:
        if place.server is not None:
            place.server.stop()
        elif place.namespace:
            with suppress(StoreError):
                _forget(place.url, place.namespace)
    if not place.keep_files:
        shutil.rmtree(place.folder, ignore_errors=True)


def _forget(url: str, namespace: str) -> None:
    """Remove every key of a namespace; what is left after ten seconds has time limits itself."""
    deadline = time.monotonic() + _FORGET_S
    with translated(), connect_for_thread(url) as connection:
        client: Any = connection
        cursor = -1
        while cursor and time.monotonic() < deadline:
            cursor, keys = client.scan(max(cursor, 0), match=f"{namespace}:*", count=1_000)
            if keys:
                client.unlink(*keys)
