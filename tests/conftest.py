from collections.abc import AsyncGenerator, Generator

import pytest

from hms_async.storage.embedded import running
from hms_async.storage.store import Store
from hms_async.telemetry import logs
from hms_async.testing import ManualClock, memory_url
from tests.servers import EVERY_BACKEND, Raw, machines_redis


@pytest.fixture(autouse=True)
def logging_is_not_configured() -> Generator[None]:
    """Commands and `run_forever` configure logging for their process; tests share one."""
    yield
    logs.unconfigure()


@pytest.fixture(scope="session")
def embedded_url() -> Generator[str]:
    """One real Valkey for the whole session; each test finds it empty."""
    with running() as server:
        yield server.url


@pytest.fixture(scope="session")
def machines_redis_url() -> Generator[str]:
    """One real Redis of the machine for the whole session; skips when there is none."""
    with machines_redis() as url:
        yield url


@pytest.fixture(params=EVERY_BACKEND)
def store_url(request: pytest.FixtureRequest) -> Generator[str]:
    """An empty server of each kind: `memory`, `valkey`, `redis`."""
    match str(request.param):
        case "memory":
            with memory_url() as url:
                yield url
        case "valkey":
            yield _emptied(request.getfixturevalue("embedded_url"))
        case "redis":
            yield _emptied(request.getfixturevalue("machines_redis_url"))
        case other:
            raise ValueError(other)


def _emptied(url: str) -> str:
    raw = Raw(url)
    raw("FLUSHALL")
    raw.close()
    return url


@pytest.fixture
def raw(store_url: str) -> Generator[Raw]:
    """The server of `store_url`, past the store."""
    client = Raw(store_url)
    yield client
    client.close()


@pytest.fixture
def clock() -> ManualClock:
    """The time that `store` goes by."""
    return ManualClock()


@pytest.fixture
async def store(store_url: str, clock: ManualClock) -> AsyncGenerator[Store]:
    """A store on `store_url`, without a namespace, that goes by `clock`."""
    async with Store(store_url, clock=clock) as opened:
        yield opened
