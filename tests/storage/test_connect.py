from typing import Any

import pytest

from hms_async.errors import ConfigInvalid
from hms_async.storage.connect import check_url, connect, connect_for_thread, redact


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
