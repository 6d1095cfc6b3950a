from collections.abc import AsyncGenerator, Generator, Sequence
from typing import Any

import pytest

from hms_async import AsyncOMSClient
from hms_async.runtime import bell
from hms_async.storage.replies import Exchanged
from hms_async.storage.store import Store
from hms_async.testing import memory_url
from tests.runtime.receiver import Receiver, receiving
from tests.runtime.support import Ears
from tests.servers import Raw


@pytest.fixture(params=["memory", "valkey"])
def store_url(request: pytest.FixtureRequest) -> Generator[str]:
    """An empty server: the runtime does not care which, the scripts are tested on all of them."""
    if request.param == "memory":
        with memory_url() as url:
            yield url
    else:
        url = str(request.getfixturevalue("embedded_url"))
        raw = Raw(url)
        raw("FLUSHALL")
        raw.close()
        yield url


@pytest.fixture
async def oms(store_url: str) -> AsyncGenerator[AsyncOMSClient]:
    """A client on `store_url`."""
    async with AsyncOMSClient(store_url) as client:
        yield client


@pytest.fixture
def ears(monkeypatch: pytest.MonkeyPatch) -> Ears:
    """The bell waits for an hour, and what is listened to is noted."""
    ears = Ears()
    original, exchange_now = Store.wait_for_bell, Store.exchange

    async def wait_for_bell(
        self: Store, queues: Sequence[str], timeout_s: float, **options: Any
    ) -> str | None:
        ears.note(queues)
        return await original(self, queues, timeout_s, **options)

    async def exchange(self: Store, queue: str, **options: Any) -> Exchanged | None:
        if options.get("at_bell_s") is not None:
            ears.note([queue])
        return await exchange_now(self, queue, **options)

    monkeypatch.setattr(Store, "wait_for_bell", wait_for_bell)
    monkeypatch.setattr(Store, "exchange", exchange)
    monkeypatch.setattr(bell, "WAIT_S", 3_600.0)
    monkeypatch.setattr(bell, "SUPERVISED_WAIT_S", 3_600.0)
    return ears


@pytest.fixture
def receiver() -> Generator[Receiver]:
    """Somebody outside who hears webhooks."""
    with receiving() as server:
        yield server
