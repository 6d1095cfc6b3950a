"""R11: what a failed call means, and that it is never repeated behind the caller's back."""

import socket

import pytest
from redis import exceptions

from hms_async.errors import (
    StoreError,
    StoreFull,
    StoreProtocol,
    StoreRefused,
    StoreUnavailable,
)
from hms_async.storage import connect
from hms_async.storage.connect import is_ambiguous, translate
from hms_async.storage.store import Store
from tests.scripted import Fault, scripted
from tests.servers import VALKEY, on_real_servers
from tests.storage.driver import Driver

on_valkey = pytest.mark.parametrize("store_url", [VALKEY], indirect=True)

NOT_NOW = [
    "READONLY You can't write against a read only replica.",
    "LOADING Redis is loading the dataset in memory",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "CLUSTERDOWN The cluster is down",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist",
    "NOREPLICAS Not enough good replicas to write.",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
]
NEVER = [
    "NOAUTH Authentication required.",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "NOPERM this user has no permissions to run the 'evalsha' command",
]


async def _refused(driver: Driver, answer: str) -> tuple[StoreError, int]:
    """The error that this answer to an exchange becomes, and how many calls were sent."""
    await driver.push("a")
    await driver.exchange()
    before = driver.raw.snapshot()
    async with scripted(driver.store.url) as proxy, Store(proxy.url) as store:
        proxy.plan.append(answer)
        with pytest.raises(StoreError) as caught:
            await Driver(store, driver.raw).exchange(want=1)
        calls = proxy.calls
    assert driver.raw.snapshot() == before
    return caught.value, calls


@on_valkey
@pytest.mark.parametrize("answer", NOT_NOW, ids=lambda answer: answer.split()[0])
async def test_r11_a_server_that_cannot_now_has_done_nothing(driver: Driver, answer: str) -> None:
    error, calls = await _refused(driver, answer)

    assert type(error) is StoreUnavailable
    assert not is_ambiguous(error)
    assert calls == 1


@on_valkey
async def test_r11_a_full_server_has_a_word_of_its_own(driver: Driver) -> None:
    error, calls = await _refused(driver, "OOM command not allowed when used memory > 'maxmemory'.")

    assert (type(error), calls) == (StoreFull, 1)


@on_valkey
@pytest.mark.parametrize("answer", NEVER, ids=lambda answer: answer.split()[0])
async def test_r11_a_server_that_refuses_us_says_so(driver: Driver, answer: str) -> None:
    error, calls = await _refused(driver, answer)

    assert (type(error), calls) == (StoreRefused, 1)


@on_valkey
@pytest.mark.parametrize("answer", ["ERR user_script:3: boom", "WRONGTYPE Operation against"])
async def test_r11_any_other_script_error_is_a_protocol_error(driver: Driver, answer: str) -> None:
    error, calls = await _refused(driver, answer)

    assert (type(error), calls) == (StoreProtocol, 1)


@on_valkey
async def test_r11_a_script_that_the_server_does_not_know_is_loaded_once(driver: Driver) -> None:
    await driver.push("a")
    async with scripted(driver.store.url) as proxy, Store(proxy.url) as store:
        proxy.plan.append("NOSCRIPT No matching script. Please use EVAL.")
        through = Driver(store, driver.raw)

        assert [claim.id for claim in await through.claim()] == ["a"]
        assert proxy.calls == 2
        await through.exchange()
        assert proxy.calls == 3


@on_real_servers
async def test_r11_a_server_that_lost_its_scripts_gets_them_again(driver: Driver) -> None:
    await driver.push("a")
    driver.raw("SCRIPT", "FLUSH")

    assert [claim.id for claim in await driver.claim()] == ["a"]


@on_valkey
@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name.lower())
async def test_r11_no_answer_is_ambiguous_and_the_same_number_again_is_safe(
    driver: Driver, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "COMMAND_TIMEOUT_S", 0.2)
    await driver.push("a", "b")
    await driver.exchange()
    carried_out = fault in (Fault.CLOSED_AFTER, Fault.SILENT_AFTER)
    async with scripted(driver.store.url) as proxy, Store(proxy.url) as store:
        through = Driver(store, driver.raw, incarnation="cd")
        proxy.plan.append(fault)

        with pytest.raises(StoreUnavailable) as caught:
            await through.exchange(want=1)
        assert is_ambiguous(caught.value)
        assert proxy.calls == 1

        again = await through.deliver(want=1, seq=through.seq)
    assert again is not None
    assert again.verdict == ("replayed" if carried_out else "ok")
    assert [claim.id for claim in again.claims] == ["a"]
    assert driver.lane_of() == ["b"]
    await driver.stats()


@on_valkey
@pytest.mark.parametrize("fault", [Fault.CLOSED_BEFORE, Fault.CLOSED_AFTER])
async def test_r11_an_enqueue_without_an_answer_may_be_sent_again(
    driver: Driver, fault: Fault
) -> None:
    await driver.push("first")
    async with scripted(driver.store.url) as proxy, Store(proxy.url) as store:
        through = Driver(store, driver.raw)
        proxy.plan.append(fault)
        with pytest.raises(StoreUnavailable):
            await through.push("a")

        again = await through.push("a")

    assert again == ["exists" if fault is Fault.CLOSED_AFTER else "created"]
    assert driver.lane_of() == ["first", "a"]
    assert (await driver.stats()).totals["accepted"] == 2


async def test_r11_a_server_that_is_not_there_has_done_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        url = f"redis://127.0.0.1:{probe.getsockname()[1]}/0"
    async with Store(url) as store:
        with pytest.raises(StoreUnavailable) as caught:
            await store.stats("q")

    assert not is_ambiguous(caught.value)


@on_real_servers
@pytest.mark.parametrize("setting", ["replica", "min-replicas-to-write"])
async def test_r11_a_real_server_that_takes_no_writes_has_done_nothing(
    driver: Driver, setting: str
) -> None:
    await driver.push("a")
    before = driver.raw.snapshot()
    replica = setting == "replica"
    driver.raw(*(("REPLICAOF", "127.0.0.1", "1") if replica else ("CONFIG", "SET", setting, "1")))
    try:
        for call in (driver.push("b"), driver.exchange(want=1), driver.store.cancel("q", "a")):
            with pytest.raises(StoreUnavailable) as caught:
                await call
            assert not is_ambiguous(caught.value)
    finally:
        driver.raw(*(("REPLICAOF", "NO", "ONE") if replica else ("CONFIG", "SET", setting, "0")))

    assert driver.raw.snapshot() == before


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("-OOM command not allowed when used memory > 'maxmemory'.", StoreFull),
        ("-READONLY You can't write against a read only replica.", StoreUnavailable),
        ("-MISCONF Redis is configured to save RDB snapshots", StoreUnavailable),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", StoreProtocol),
    ],
)
def test_r11_redis_6_puts_the_word_into_the_text_of_a_script_error(
    text: str, meaning: type[StoreError]
) -> None:
    whole = f"Error running script (call to f_0a1b): @user_script:12: {text}"

    assert type(translate(exceptions.ResponseError(whole))) is meaning
