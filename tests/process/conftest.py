from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from hms_async import AsyncOMSClient
from tests.process.support import Workers
from tests.servers import Raw


@pytest.fixture
def url(embedded_url: str) -> str:
    """An empty real server."""
    raw = Raw(embedded_url)
    raw("FLUSHALL")
    raw.close()
    return embedded_url


@pytest.fixture
async def oms(url: str) -> AsyncGenerator[AsyncOMSClient]:
    """A client on it."""
    async with AsyncOMSClient(url) as client:
        yield client


@pytest.fixture
def workers(url: str, tmp_path: Path) -> Generator[Workers]:
    """Processes that are gone when the test is over."""
    workers = Workers(url, tmp_path)
    yield workers
    workers.close()
