"""R11: a server that refuses us is fatal at the start."""

from collections.abc import Generator
from typing import Any

import anyio
import pytest

from hms_async import AsyncOMSClient, AsyncWorker, StoreRefused, Task
from tests.runtime.support import PATIENCE_S
from tests.servers import Raw, server_of_version


async def echo(task: Task[Any]) -> object:
    return task.payload


@pytest.fixture
def clerk(store_url: str, raw: Raw) -> Generator[str]:
    """The server as the user `clerk` sees it, who has every right until a test takes some."""
    raw("ACL", "SETUSER", "clerk", "on", ">pass", "~*", "+@all")
    yield store_url.replace("//", "//clerk:pass@")
    raw("ACL", "DELUSER", "clerk")


async def test_r11_no_worker_starts_and_no_client_works_on_a_server_that_is_too_old() -> None:
    with server_of_version("redis", "6.0.16") as url:
        with pytest.raises(StoreRefused, match=r"redis 6\.0\.16"):
            await AsyncWorker(queue="q", handler=echo, url=url).run()
        async with AsyncOMSClient(url) as oms:
            with anyio.fail_after(PATIENCE_S), pytest.raises(StoreRefused, match=r"6\.0\.16"):
                await oms.enqueue("q", 1)


def test_r11_nor_does_one_in_a_process_of_its_own() -> None:
    with (
        server_of_version("redis", "6.0.16") as url,
        pytest.raises(StoreRefused, match=r"redis 6\.0\.16"),
    ):
        AsyncWorker(queue="q", handler=echo, url=url).run_forever()


@pytest.mark.parametrize("store_url", ["valkey"], indirect=True)
@pytest.mark.parametrize("missing", ["-evalsha", "-hmget", "-@read"])
async def test_r11_a_worker_without_a_right_does_not_start(
    oms: AsyncOMSClient, clerk: str, raw: Raw, missing: str
) -> None:
    await oms.create_queue("q")
    raw("ACL", "SETUSER", "clerk", missing)
    with anyio.fail_after(PATIENCE_S), pytest.raises(StoreRefused, match="lacks a right"):
        await AsyncWorker(queue="q", handler=echo, url=clerk).run()
