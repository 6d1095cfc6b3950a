"""A claim that the server makes when the bell rings, and its worth when it was given up."""

import anyio
import pytest

from hms_async.errors import StoreProtocol
from hms_async.storage.replies import Exchanged
from hms_async.storage.store import Store
from tests.servers import Raw
from tests.storage.driver import Driver

PATIENCE_S = 10.0


async def claim_at_bell(store: Store, wait_s: float = PATIENCE_S) -> Exchanged:
    reply = await store.exchange(
        "q", worker="w", incarnation="ab", lane=0, seq=1, want=1, at_bell_s=wait_s
    )
    assert reply is not None
    return reply


class Waiter:
    """Somebody at the bell, in a task of a group."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reply: Exchanged | None = None

    async def run(self) -> None:
        with anyio.fail_after(PATIENCE_S):
            self.reply = await claim_at_bell(self._store)

    @property
    def brought(self) -> list[str] | None:
        return None if self.reply is None else [claim.id for claim in self.reply.claims]


async def test_a_ring_claims(driver: Driver) -> None:
    waiter = Waiter(driver.store)
    async with anyio.create_task_group() as group:
        group.start_soon(waiter.run)
        await anyio.wait_all_tasks_blocked()
        assert waiter.reply is None
        await driver.push("a")

    assert waiter.brought == ["a"]
    assert driver.run("a")["state"] == "in_progress"


async def test_so_does_the_end_of_the_wait(driver: Driver, raw: Raw) -> None:
    await driver.push("a")
    raw("DEL", "queue:q:bell")

    reply = await claim_at_bell(driver.store, 0.01)

    assert [claim.id for claim in reply.claims] == ["a"]


async def test_r2_a_wait_that_was_given_up_claims_for_nobody(driver: Driver, raw: Raw) -> None:
    waiter = Waiter(driver.store)
    async with anyio.create_task_group() as group:
        group.start_soon(waiter.run)
        await anyio.wait_all_tasks_blocked()
        given_up = await driver.deliver(want=0, seq=1)
        assert given_up is not None
        await driver.push("a")

    assert waiter.reply is not None
    assert (waiter.reply.verdict, waiter.brought) == ("replayed", [])
    assert raw.entries("queue:q") == ["a"]


async def test_r2_giving_it_up_too_late_brings_what_it_has_claimed(driver: Driver) -> None:
    await driver.push("a")
    claimed = await claim_at_bell(driver.store)

    late = await driver.deliver(want=0, seq=1)

    assert late is not None
    assert [claim.token for claim in late.claims] == [claim.token for claim in claimed.claims]


@pytest.mark.parametrize("store_url", ["valkey", "redis"], indirect=True)
async def test_a_ring_is_not_waited_for_twice_when_the_server_has_forgotten_the_script(
    driver: Driver, raw: Raw
) -> None:
    await driver.push("a")
    raw("SCRIPT", "FLUSH")

    with anyio.fail_after(PATIENCE_S / 2):
        reply = await claim_at_bell(driver.store)

    assert [claim.id for claim in reply.claims] == ["a"]


async def test_a_bell_of_a_wrong_type_is_an_error(driver: Driver, raw: Raw) -> None:
    raw("SET", "queue:q:bell", "no list")

    with pytest.raises(StoreProtocol):
        await claim_at_bell(driver.store)
