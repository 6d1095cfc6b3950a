"""R8 and R9: a key of a wrong type stops an operation before it writes, a full server does not."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest

from hms_async import AsyncOMSClient
from hms_async.domain.operation import Operation
from hms_async.errors import StoreFull, StoreProtocol
from hms_async.runtime.work import carry_on
from hms_async.storage import operations
from hms_async.storage.operations import Progress
from hms_async.storage.store import Store
from hms_async.testing import ManualClock
from tests.servers import on_real_servers
from tests.storage.driver import Driver


@pytest.fixture
async def oms(driver: Driver) -> Any:
    """A client of the same store."""
    async with AsyncOMSClient(store=driver.store) as client:
        yield client


async def _at_once(_: float) -> None:
    """Pause for no time at all."""


async def _work_off(store: Store, begun: Operation) -> Operation:
    done = await carry_on(store, begun.id, sleep=_at_once)
    assert done is not None
    return done


KEYS = ["operations", "operations:open", "audit", "operation:*"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("act", ["start", "take", "write", "end", "stop"])
async def test_r8_an_operation_with_a_key_of_a_wrong_type_writes_nothing(  # noqa: PLR0917  # fixtures
    oms: AsyncOMSClient, store: Store, driver: Driver, clock: ManualClock, key: str, act: str
) -> None:
    begun = await oms.purge("q")
    taken = await operations.take(store, begun.id)
    assert taken is not None
    clock.advance("16s")
    key = key.replace("*", begun.id)
    driver.raw("DEL", key)
    driver.raw("SET", key, "wrong")
    before = driver.raw.snapshot()

    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "start": lambda: operations.start(store, begun),
        "take": lambda: operations.take(store, begun.id),
        "write": lambda: operations.write(store, taken, Progress()),
        "end": lambda: operations.end(store, taken, Progress(), begun.state),
        "stop": lambda: operations.stop(store, begun.id, begun.by),
    }
    if (act, key) == ("take", "audit"):
        assert await calls[act]() is not None, "to take it is no act of an operator"
        return
    with pytest.raises(StoreProtocol):
        await calls[act]()

    assert driver.raw.snapshot() == before


@pytest.mark.parametrize(
    "part", ["config", "express", "suspects", "scheduled", "retry", "inflight"]
)
async def test_r8_a_queue_with_a_key_of_a_wrong_type_is_not_closed(
    oms: AsyncOMSClient, store: Store, driver: Driver, part: str
) -> None:
    begun = await oms.delete_queue("q")
    driver.raw("DEL", f"queue:q:{part}")
    driver.raw("SET", f"queue:q:{part}", "wrong")
    failed = await _work_off(store, begun)

    assert failed.state == "failed"
    assert driver.raw.string(f"queue:q:{part}") == b"wrong"
    assert part == "config" or "version" in driver.raw.fields("queue:q:config")


@pytest.fixture
async def full(driver: Driver) -> AsyncGenerator[Driver]:
    """A queue on a server at its `maxmemory`."""
    await driver.fail("failed")
    await driver.push(*[f"t{n}" for n in range(149)])
    driver.raw("CONFIG", "SET", "maxmemory", "1")
    yield driver
    driver.raw("CONFIG", "SET", "maxmemory", "0")  # the server is everybody's


@on_real_servers
async def test_r9_a_full_server_is_emptied(oms: AsyncOMSClient, store: Store, full: Driver) -> None:
    purged = await _work_off(store, await oms.purge("q"))
    removed = await _work_off(store, await oms.delete_queue("q", force=True))

    assert (purged.state, purged.done) == ("done", 149)
    assert (removed.state, removed.error) == ("done", "150 tasks forgotten")
    assert full.raw.kind("queue:q:config") == "none"


@on_real_servers
async def test_r9_what_a_full_server_refuses_is_done_when_there_is_room(
    oms: AsyncOMSClient, store: Store, clock: ManualClock, full: Driver
) -> None:
    begun = await oms.operations.start("requeue", "q")
    with pytest.raises(StoreFull):
        await _work_off(store, begun)
    full.raw("CONFIG", "SET", "maxmemory", "0")
    clock.advance("16s")

    done = await _work_off(store, begun)

    assert (done.state, done.done, done.refused) == ("done", 1, 0)


async def test_an_operation_on_a_queue_that_is_gone_fails_and_says_so(
    oms: AsyncOMSClient, store: Store, driver: Driver
) -> None:
    await driver.push("a")
    begun = await oms.purge("q")
    driver.raw("DEL", "queue:q:config")

    done = await _work_off(store, begun)

    assert (done.state, done.error, done.done) == ("failed", "the queue is gone", 0)
