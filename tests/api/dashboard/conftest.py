"""The pages over HTTP. What they show of a store is tested with the API, so one kind is enough."""

from collections.abc import Generator

import pytest

from hms_async.api.app import API, create_app
from hms_async.testing import memory_url


@pytest.fixture
def store_url() -> Generator[str]:
    """A store in this process."""
    with memory_url() as url:
        yield url


@pytest.fixture
def app(store_url: str) -> API:
    """The API with its pages."""
    return create_app(store_url, dashboard=True)
