import asyncio
from typing import Any

import pytest

from hms_async.errors import ConfigInvalid, StoreUnavailable
from hms_async.storage.connect import check_url, connect, connect_for_thread, redact, translated


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://:secret@10.0.0.5:6379/3",
        "rediss://redis.example.org:6380",
        "unix:///run/redis.sock",
        "memory://here",
    ],
)
def test_a_store_url_is_taken_as_it_is(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", "", "redis://host:abc/0"])
def test_what_is_no_store_url_is_refused_and_named(url: str) -> None:
    with pytest.raises(ConfigInvalid, match="is not a store URL"):
        check_url(url)


def test_a_password_is_not_shown() -> None:
    assert redact("redis://sam:secret@10.0.0.5:6379/0") == "redis://sam:***@10.0.0.5:6379/0"
    with pytest.raises(ConfigInvalid) as caught:
        check_url("http://sam:secret@10.0.0.5")
    assert "secret" not in str(caught.value)


def test_a_unix_socket_gets_no_options_that_only_a_network_has() -> None:
    # redis-py refuses them when it makes the connection, which is not before the first command.
    for client in (connect("unix:///run/redis.sock"), connect_for_thread("unix:///run/redis.sock")):
        pool: Any = client.connection_pool
        assert pool.make_connection().path == "/run/redis.sock"


def test_uvloop_s_word_for_a_closed_connection_says_that_the_server_is_away() -> None:
    uvloop = pytest.importorskip("uvloop", reason="uvloop is an extra")

    async def write_to_what_is_closed() -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            host, port = server.sockets[0].getsockname()
            reader, writer = await asyncio.open_connection(host, port)
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
            with pytest.raises(StoreUnavailable, match="closed"), translated():
                writer.write(b"PING\r\n")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(write_to_what_is_closed())


def test_another_runtime_error_is_nobody_s_but_its_own() -> None:
    with pytest.raises(RuntimeError, match="broken"), translated():
        raise RuntimeError("broken")
