"""A small HTTP server in a thread of its own: it answers while the event loop is blocked.

Probes and scrapers come here, now and then and one at a time. Whoever else comes must not hurt
the process: few connections at once, each short, small and for one request.
"""

import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Final, NamedTuple, Self

from hms_async.telemetry.address import Bind
from hms_async.telemetry.logs import get_logger

log = get_logger("hms_async.port")

MOST_AT_ONCE: Final = 8
LARGEST_HEAD: Final = 8_192
LONGEST_S: Final = 2.0
"""How long a connection may take, from its beginning to its end."""

_BACKLOG = 16
_PAUSE_S = 0.005  # between two connections: a flood costs us threads and the interpreter's lock
_CHUNK = 2_048
TEXT: Final = "text/plain; charset=utf-8"


class Page(NamedTuple):
    """What is answered."""

    status: int
    content_type: str
    body: bytes


class Port:
    """Serves a few pages while inside: `with Port(bind, pages) as port: ...`.

    Args:
        bind: Where to listen.
        pages: What makes each page, by its path. They are called in threads, and should answer
            at once: each that waits has one of the few places meanwhile.
        option: What gives the address, for the error.

    Raises:
        AddressInUse: At the entry, if nobody can listen there.
    """

    def __init__(
        self,
        bind: Bind,
        pages: Mapping[str, Callable[[], Page]],
        *,
        option: str = "--health-port",
    ) -> None:
        self.bind = bind
        self._pages = pages
        self._option = option
        self._open: dict[socket.socket, None] = {}  # the oldest first
        self._lock = threading.Lock()
        self._room = threading.Semaphore(MOST_AT_ONCE)

    def __enter__(self) -> Self:
        self._listening = self.bind.listen(option=self._option, backlog=_BACKLOG)
        # With port 0 the system has chosen one.
        self.bind = self.bind._replace(port=self._listening.getsockname()[1])
        self._heard, self._end = socket.socketpair()
        self._thread = threading.Thread(target=self._accept, name="hms-port", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.close()
        self._thread.join(LONGEST_S)
        self._listening.close()
        self._heard.close()

    def url(self, path: str = "") -> str:
        """Return where a page is."""
        return f"http://{self.bind.shown}{path}"

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ)
            selector.register(self._heard, selectors.EVENT_READ)
            while all(key.fileobj is not self._heard for key, _ in selector.select()):
                with suppress(OSError):  # it has gone already, or we have no more files for now
                    self._begin(self._listening.accept()[0])
                time.sleep(_PAUSE_S)

    def _begin(self, connection: socket.socket) -> None:
        if not self._make_room():
            connection.close()
            return
        with self._lock:
            self._open[connection] = None
        thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more threads for us now
            connection.close()
            self._leave(connection)

    def _make_room(self) -> bool:
        """Take a place; the one who has had his for longest goes when none is free."""
        if self._room.acquire(blocking=False):
            return True
        with self._lock:
            oldest = next(iter(self._open), None)
            if oldest is not None:
                with suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
        return self._room.acquire(timeout=_PAUSE_S * 10)

    def _serve(self, connection: socket.socket) -> None:
        deadline = time.monotonic() + LONGEST_S
        try:
            with connection, suppress(OSError):  # whoever hangs up does not want to know
                page, has_body = self._answer(_read_head(connection, deadline))
                connection.settimeout(max(deadline - time.monotonic(), 0.1))
                connection.sendall(_encode(page, has_body=has_body))
                connection.shutdown(socket.SHUT_WR)
                # What was sent and not read would make the system throw our answer away.
                connection.settimeout(0.1)
                connection.recv(LARGEST_HEAD)
        finally:
            self._leave(connection)

    def _leave(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.pop(connection, None)
        self._room.release()

    def _answer(self, head: bytes) -> tuple[Page, bool]:
        """Return the page for the head of a request, and whether its body is wanted."""
        if len(head) > LARGEST_HEAD:
            return _plain(431, f"at most {LARGEST_HEAD} bytes"), True
        words = head.partition(b"\n")[0].split()
        if len(words) != 3 or not words[2].startswith(b"HTTP/"):  # noqa: PLR2004  # as RFC 9112 says
            return _plain(400, "this is HTTP: GET /path HTTP/1.1"), True
        method, target, _ = (word.decode("latin-1") for word in words)
        if method not in ("GET", "HEAD"):
            return _plain(405, "only GET"), True
        make = self._pages.get(target.partition("?")[0])
        if make is None:
            return _plain(404, f"there is {', '.join(self._pages)}"), method == "GET"
        try:
            return make(), method == "GET"
        except Exception as error:  # noqa: BLE001  # one page's fault is nobody else's
            log.warning("port.page_failed", path=target[:100], error=repr(error))
            return _plain(500, f"the page failed: {type(error).__name__}"), method == "GET"


def _read_head(connection: socket.socket, deadline: float) -> bytes:
    """Return the head of a request, or what there is when it is too long.

    Raises:
        OSError: If it does not come in time, or not whole.
    """
    head = b""
    while b"\r\n\r\n" not in head and b"\n\n" not in head and len(head) <= LARGEST_HEAD:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        part = connection.recv(_CHUNK)
        if not part:
            raise ConnectionResetError
        head += part
    return head


def _plain(status: int, text: str) -> Page:
    return Page(status, TEXT, f"{text}\n".encode())


def _encode(page: Page, *, has_body: bool) -> bytes:
    head = (
        f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}\r\n"
        f"Content-Type: {page.content_type}\r\n"
        f"Content-Length: {len(page.body)}\r\n"
        "Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (page.body if has_body else b"")
