import pytest

from hms_async.storage.store import Store
from tests.servers import Raw
from tests.storage.driver import Driver


@pytest.fixture
async def driver(store: Store, raw: Raw) -> Driver:
    """A worker at the queue `q`, which has been created with its defaults."""
    driver = Driver(store, raw)
    await driver.create()
    return driver
