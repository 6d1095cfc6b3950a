"""R11: a server that is too old is refused at the first word on a connection."""

from typing import Any

import pytest

from hms_async.errors import StoreRefused
from hms_async.storage.connect import connect_for_thread, translated
from hms_async.storage.renewal import LeaseRenewer
from hms_async.storage.store import Store
from tests.servers import Raw, on_real_servers, server_of_version, server_that_says

NEEDED = "hms_async needs Redis 6.2, Valkey 7.2 or newer"
OLD = [("redis", "6.0.16"), ("redis", "6.1.240"), ("valkey", "7.1.9")]
GOOD = [("redis", "6.2.0"), ("redis", "7.0.15"), ("redis", "10.0.0"), ("valkey", "7.2.5")]
FOREIGN = [("keydb", "6.0.1"), ("redis", "unstable")]  # what we do not know, we do not judge


@pytest.mark.parametrize(("name", "version"), OLD)
async def test_r11_a_server_that_is_too_old_is_refused(name: str, version: str) -> None:
    with server_of_version(name, version) as url:
        async with Store(url) as store:
            for _ in range(2):
                with pytest.raises(StoreRefused) as caught:
                    await store.ping()
                assert str(caught.value) == f"the server is {name} {version}: {NEEDED}"
        with pytest.raises(StoreRefused, match=version):
            LeaseRenewer(url).extend("q", [("a", "token")])


@pytest.mark.parametrize(("name", "version"), [*GOOD, *FOREIGN])
async def test_r11_a_server_that_is_new_enough_or_of_another_kind_is_not(
    name: str, version: str
) -> None:
    with server_of_version(name, version) as url:
        async with Store(url) as store:
            assert await store.ask("ECHO", "a") == b"OK"
        client: Any = connect_for_thread(url)
        with translated(), client:
            assert client.execute_command("ECHO", "a") == b"OK"


@pytest.mark.parametrize("url_options", ["", "?protocol=2"])
async def test_r11_one_that_does_not_know_the_greeting_is_older_still(url_options: str) -> None:
    unknown = b"-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n"
    with server_that_says(unknown) as url:
        async with Store(url + url_options) as store:
            with pytest.raises(StoreRefused) as caught:
                await store.ping()
    assert str(caught.value) == f"the server is older than Redis 6.0: {NEEDED}"


async def test_r11_another_fault_at_the_greeting_is_not_taken_for_age() -> None:
    with server_that_says(b"-NOPROTO unsupported protocol version\r\n") as url:
        async with Store(url) as store:
            with pytest.raises(Exception, match="unsupported protocol"):
                await store.ping()


@on_real_servers
@pytest.mark.parametrize("url_options", ["", "?protocol=2"])
async def test_r11_a_user_without_any_other_right_can_be_greeted(
    store_url: str, raw: Raw, url_options: str
) -> None:
    raw("ACL", "SETUSER", "clerk", "on", ">pass", "-@all", "+get", "~a")
    try:
        async with Store(store_url.replace("//", "//clerk:pass@") + url_options) as store:
            assert await store.ask("GET", "a") is None
            with pytest.raises(StoreRefused, match=r"lacks a right: .*'ping'"):
                await store.ping()
    finally:
        raw("ACL", "DELUSER", "clerk")
