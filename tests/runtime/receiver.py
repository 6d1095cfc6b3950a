"""Somebody outside who hears webhooks: a real HTTP server on the loopback."""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast
from urllib.parse import unquote


class Receiver(ThreadingHTTPServer):
    """A server on the loopback whose paths say how it answers; it notes what it heard."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.heard: list[tuple[str, dict[str, str], bytes]] = []
        self.reached = threading.Event()
        self.cut = threading.Event()
        self.held: list[socket.socket] = []

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        receiver = cast("Receiver", self.server)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        receiver.heard.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        word, _, rest = self.path.partition("?")[0].strip("/").partition("/")
        match word:
            case "silent":
                self._hold()
            case "endless":
                self.send_response(200)
                self.end_headers()
                with suppress(OSError):
                    while True:
                        self.wfile.write(b"." * 65_536)
                receiver.cut.set()
            case "half":
                self.send_response(200)
                self.send_header("Content-Length", "100")
                self.end_headers()
                self._hold()
            case "babble":
                self.wfile.write(b"what do you want?\r\n\r\n")
                self.close_connection = True
            case "hangup":
                self.close_connection = True
            case status:
                self.send_response(int(status))
                if rest:
                    self.send_header(
                        "Location" if status == "302" else "Retry-After", unquote(rest)
                    )
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

    def _hold(self) -> None:
        """Say nothing more until the other side hangs up."""
        receiver = cast("Receiver", self.server)
        receiver.held.append(self.connection)
        receiver.reached.set()
        with suppress(OSError):
            self.rfile.read(1)
        receiver.cut.set()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
        pass


@contextmanager
def receiving() -> Generator[Receiver]:
    """A receiver for the length of a block; whoever still waits for it is let go at the end."""
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        for held in server.held:
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
        server.shutdown()
        thread.join()
