"""Stores in this process's memory that nobody else has, and that leave nothing behind."""

from collections.abc import Generator
from contextlib import contextmanager
from itertools import count

from hms_async.storage.connect import forget_memory

_numbers = count(1)


@contextmanager
def memory_url() -> Generator[str]:
    """Give the URL of an empty store in memory, and forget the store afterwards."""
    url = f"memory://testing-{next(_numbers)}"
    try:
        yield url
    finally:
        forget_memory(url)
