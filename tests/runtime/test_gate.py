"""How often the gate asks the store, and what it does when the store is away."""

from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import anyio
import pytest

from hms_async import AsyncOMSClient
from hms_async.domain.token import Token
from hms_async.errors import HMSError, RateLimited, StoreUnavailable, TokenInvalid, Unauthenticated
from hms_async.runtime.gate import AGAIN_S, FRESH_S, GOOD_S, Gate
from hms_async.storage import tokens
from hms_async.storage.server import Server
from hms_async.storage.store import Store

CALLERS = 50


@dataclass
class Readings:
    """The table as it is read: how often, whether that fails, and by which clock."""

    now_s: float = 100.0
    begun: int = 0
    away: bool = False
    slow: anyio.Event = field(default_factory=anyio.Event)


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> Readings:
    told = Readings()
    read = tokens.read_table

    async def counted(server: Server) -> tuple[dict[str, Token], int]:
        told.begun += 1
        await told.slow.wait()
        if told.away:
            raise StoreUnavailable("no answer in time")
        return await read(server)

    monkeypatch.setattr(tokens, "read_table", counted)
    told.slow.set()
    return told


@pytest.fixture
async def gate(store_url: str, readings: Readings) -> AsyncGenerator[Gate]:
    async with Store(store_url) as store:
        yield Gate(store, clock=lambda: readings.now_s)


async def outcomes(gate: Gate, readings: Readings, said: str | None) -> Counter[str]:
    """What many callers hear who all come while the table is being read."""
    heard: Counter[str] = Counter()
    readings.slow = anyio.Event()

    async def ask() -> None:
        try:
            heard[(await gate.admit(said, loopback=True)).name.partition(":")[0]] += 1
        except HMSError as error:
            heard[type(error).__name__] += 1

    async with anyio.create_task_group() as group:
        for _ in range(CALLERS):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        readings.slow.set()
    return heard


async def bearer(oms: AsyncOMSClient, readings: Readings, **options: object) -> str:
    _, text = await oms.tokens.create(["viewer"], **options)  # type: ignore[arg-type]
    readings.begun = 0
    return f"Bearer {text}"


async def test_however_many_ask_the_table_is_read_once_in_two_seconds(
    oms: AsyncOMSClient, gate: Gate, readings: Readings
) -> None:
    said = await bearer(oms, readings)

    assert await outcomes(gate, readings, said) == {"token": CALLERS}
    readings.now_s += FRESH_S - 0.01
    assert await outcomes(gate, readings, said) == {"token": CALLERS}
    assert readings.begun == 1
    readings.now_s += 0.01
    assert await outcomes(gate, readings, said) == {"token": CALLERS}
    assert readings.begun == 2


async def test_callers_do_not_wait_for_an_absent_store_one_after_the_other(
    oms: AsyncOMSClient, gate: Gate, readings: Readings
) -> None:
    said = await bearer(oms, readings)
    readings.away = True

    assert await outcomes(gate, readings, said) == {"StoreUnavailable": CALLERS}
    assert readings.begun == 1
    readings.now_s += AGAIN_S
    readings.away = False
    assert await outcomes(gate, readings, said) == {"token": CALLERS}
    assert readings.begun == 2


async def test_the_last_table_serves_for_half_a_minute_and_is_not_asked_for_each_time(
    oms: AsyncOMSClient, gate: Gate, readings: Readings
) -> None:
    said = await bearer(oms, readings)
    await gate.admit(said, loopback=False)
    readings.away = True

    for _ in range(int(GOOD_S / AGAIN_S) - 1):
        readings.now_s += AGAIN_S
        await gate.admit(said, loopback=False)
        await gate.admit(said, loopback=False)
    with pytest.raises(Unauthenticated):
        await gate.admit(None, loopback=True)
    assert 0 < readings.begun < GOOD_S / AGAIN_S + 1

    readings.now_s += AGAIN_S
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="no answer in time"):
            await gate.admit(said, loopback=False)
    readings.away = False
    readings.now_s += AGAIN_S
    await gate.admit(said, loopback=False)


async def test_whether_a_caller_is_still_let_in_is_no_call_of_his(
    oms: AsyncOMSClient, gate: Gate, readings: Readings
) -> None:
    said = await bearer(oms, readings, rate=1)
    for _ in range(2):
        await gate.admit(said, loopback=False)
    for _ in range(10):
        await gate.check(said, loopback=False)
    with pytest.raises(RateLimited):
        await gate.admit(said, loopback=False)

    await oms.tokens.revoke(said.split("_")[1])
    await oms.tokens.create(["admin"])
    readings.now_s += FRESH_S
    with pytest.raises(TokenInvalid):
        await gate.check(said, loopback=True)
