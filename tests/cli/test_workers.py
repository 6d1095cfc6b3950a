"""`hms workers`."""

import json

import anyio
import pytest

from hms_async.storage.store import Store
from tests.cli.conftest import Hms


@pytest.fixture
def _cards(url: str) -> None:
    """A worker of this package and one that comes over HTTP."""

    async def write() -> None:
        async with Store(url) as store:
            card = {"host": "h1", "pid": "7", "queues": "kyc mail", "slots": "10", "running": "3"}
            await store.register_worker("clerk", card | {"version": "1.2"}, 60)
            await store.register_worker("go-1", {"via": "rest", "queues": "kyc"}, 60)

    anyio.run(write)


@pytest.mark.usefixtures("_cards")
def test_workers_are_listed_native_ones_and_those_over_rest(hms: Hms) -> None:
    lines = {line.split()[0]: line.split() for line in hms("workers", "ls").stdout.splitlines()}
    assert lines["clerk"][1:7] == ["native", "kyc,mail", "3/10", "h1", "7", "1.2"]
    assert lines["go-1"][1:7] == ["rest", "kyc", "-", "-", "-", "-"]

    listed = json.loads(hms("workers", "ls", "-o", "json").stdout)["workers"]
    assert {one["name"]: (one["via"], one["running"]) for one in listed} == {
        "clerk": ("native", 3),
        "go-1": ("rest", None),
    }


@pytest.mark.usefixtures("_cards")
def test_workers_of_one_queue(hms: Hms) -> None:
    listed = json.loads(hms("workers", "ls", "--queue", "mail", "-o", "json").stdout)["workers"]
    assert [one["name"] for one in listed] == ["clerk"]


@pytest.mark.usefixtures("url")
def test_nobody_is_at_work(hms: Hms) -> None:
    result = hms("workers", "ls")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "hms run" in result.stderr
