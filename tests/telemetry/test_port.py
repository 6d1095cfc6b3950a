"""The small server beside the event loop: what it answers, and what it bears."""

import socket
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPResponse

import pytest

from hms_async import AddressInUse, ConfigInvalid
from hms_async.telemetry.address import Bind
from hms_async.telemetry.port import LARGEST_HEAD, MOST_AT_ONCE, Page, Port

HERE = Bind("127.0.0.1", 0)


def broken() -> Page:
    raise ValueError("secret")


@pytest.fixture
def port() -> Generator[Port]:
    pages = {"/live": lambda: Page(200, "text/plain", b"yes"), "/broken": broken}
    with Port(HERE, pages) as port:
        yield port


def ask(port: Port, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    connection = HTTPConnection(port.bind.host, port.bind.port, timeout=5)
    try:
        connection.request(method, path, headers=headers)
        response: HTTPResponse = connection.getresponse()
        assert response.headers["cache-control"] == "no-store"
        return response.status, response.read()
    finally:
        connection.close()


def send(port: Port, data: bytes) -> socket.socket:
    opened = socket.create_connection((port.bind.host, port.bind.port), timeout=5)
    opened.sendall(data)
    return opened


def test_it_answers_what_there_is_and_says_clearly_what_there_is_not(port: Port) -> None:
    assert ask(port, "/live") == (200, b"yes")
    assert ask(port, "/live?verbose=1") == (200, b"yes")
    assert ask(port, "/live", "HEAD") == (200, b"")
    assert ask(port, "/live", "POST") == (405, b"only GET\n")
    assert ask(port, "/") == (404, b"there is /live, /broken\n")
    assert ask(port, "/live", cookie="x" * LARGEST_HEAD)[0] == 431
    assert ask(port, "/broken") == (500, b"the page failed: ValueError\n")


def test_what_is_no_http_is_told_so(port: Port) -> None:
    with send(port, b"PING\r\n\r\n") as opened:
        assert opened.recv(100).startswith(b"HTTP/1.1 400 ")


def test_clients_that_say_nothing_keep_nobody_out_and_no_thread(port: Port) -> None:
    before = threading.active_count()
    with ExitStack() as stack:
        for _ in range(3 * MOST_AT_ONCE):
            stack.enter_context(send(port, b"GET /live HT"))
        began = time.monotonic()
        assert ask(port, "/live") == (200, b"yes")
        assert time.monotonic() - began < 1
        assert threading.active_count() - before <= MOST_AT_ONCE + 1


def test_a_client_that_trickles_is_left_in_time(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hms_async.telemetry.port.LONGEST_S", 0.1)
    with send(port, b"GET /live HT") as opened:
        assert opened.recv(100) == b""


def test_a_port_that_is_taken_is_named(port: Port) -> None:
    where = f"cannot listen on 127.0.0.1:{port.bind.port}: .* with --metrics-port HOST:PORT"
    with (
        pytest.raises(AddressInUse, match=where),
        Port(port.bind, {}, option="--metrics-port"),
    ):
        pass


def test_it_lets_its_port_go() -> None:
    with Port(HERE, {}) as other:
        bind = other.bind
    with Port(bind, {}):
        assert "hms-port" in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("text", "bind"),
    [("9465", Bind("127.0.0.1", 9465)), (9465, Bind("127.0.0.1", 9465)), ("[::]:1", Bind("::", 1))],
)
def test_an_address_is_read_as_people_write_it(text: str | int, bind: Bind) -> None:
    assert Bind.parse(text) == bind


@pytest.mark.parametrize("text", ["", "x", "1.2.3.4", "70000", ":-1", "٣", True])
def test_what_is_no_address_is_refused(text: str | int) -> None:
    with pytest.raises(ConfigInvalid, match=r"--health-port .* write HOST:PORT, such as"):
        Bind.parse(text, option="--health-port", example=9465)
