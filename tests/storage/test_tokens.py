"""Access tokens, and the gate that they open."""

import logging

import anyio
import pytest

from hms_async.client import AsyncOMSClient
from hms_async.domain.access import ON_LOOPBACK, Permission
from hms_async.domain.audit import Actor
from hms_async.domain.token import Token
from hms_async.errors import (
    ConfigInvalid,
    RateLimited,
    StoreProtocol,
    StoreUnavailable,
    TokenInvalid,
    TokenNotFound,
    Unauthenticated,
)
from hms_async.runtime.gate import Gate
from hms_async.runtime.tokens import Tokens
from hms_async.storage import tokens as kept
from hms_async.storage.server import Server
from hms_async.storage.store import Store
from hms_async.testing import ManualClock
from tests.servers import Raw

ANN = Actor("ann", "cli")


@pytest.fixture
def tokens(store: Store) -> Tokens:
    return Tokens(store, lambda by, reason: (by or ANN).saying(reason))


class Seconds:
    """A clock of our own process that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def gate(store: Store, seconds: Seconds) -> Gate:
    return Gate(store, clock=seconds)


async def test_a_token_is_made_listed_and_revoked(store: Store, tokens: Tokens, raw: Raw) -> None:
    made, text = await tokens.create(
        ["worker"], queues=["passport.*"], expires_in="90d", rate=10, note="photos"
    )
    secret = text[17:]

    assert await tokens.list() == [made]
    assert (made.created_by, made.note, made.rate) == ("ann", "photos", 10)
    assert secret not in repr(made)
    assert secret.encode() not in raw("HGET", "tokens", made.id)
    await tokens.revoke(made.id, reason="lost")
    assert await tokens.list() == []
    with pytest.raises(TokenNotFound):
        await tokens.revoke(made.id)

    async with AsyncOMSClient(store=store) as oms:
        entries = (await oms.audit()).entries
    acts = [(one.act, one.who, one.reason, one.fields.get("token")) for one in entries]
    assert acts == [
        ("token.revoke", "ann", "lost", made.id),
        ("token.create", "ann", "", made.id),
    ]


async def test_there_is_an_end_to_tokens(tokens: Tokens, raw: Raw) -> None:
    made, _ = await tokens.create(["viewer"])
    known = raw("HGET", "tokens", made.id)
    for number in range(999):
        raw("HSET", "tokens", f"{number:012}", known)
    with pytest.raises(ConfigInvalid, match="revoke some first"):
        await tokens.create(["viewer"])


@pytest.mark.parametrize("options", [{"queues": []}, {"rate": 0}, {"note": "x" * 201}])
async def test_what_makes_no_sense_is_refused(tokens: Tokens, options: dict[str, object]) -> None:
    with pytest.raises(ConfigInvalid):
        await tokens.create(["viewer"], **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigInvalid):
        await tokens.create([])


async def test_without_a_token_this_machine_may_do_all(gate: Gate) -> None:
    assert await gate.admit(None, loopback=True) == ON_LOOPBACK
    with pytest.raises(Unauthenticated):
        await gate.admit(None, loopback=False)


async def test_the_first_token_closes_the_door_and_a_revoked_one_opens_nothing(
    gate: Gate, tokens: Tokens, seconds: Seconds
) -> None:
    await gate.admit(None, loopback=True)
    made, text = await tokens.create(["viewer"], queues=["a*"])
    seconds.now += 2.0

    with pytest.raises(Unauthenticated):
        await gate.admit(None, loopback=True)
    caller = await gate.admit(f"Bearer {text}", loopback=False)
    assert caller.name == f"token:{made.id}"
    assert caller.may(Permission.VIEW, "ab")
    assert not caller.may(Permission.VIEW, "b")

    await tokens.create(["admin"])
    await tokens.revoke(made.id)
    seconds.now += 2.0
    with pytest.raises(TokenInvalid):
        await gate.admit(f"Bearer {text}", loopback=True)


async def test_a_token_expires_by_the_servers_clock(
    gate: Gate, tokens: Tokens, seconds: Seconds, clock: ManualClock
) -> None:
    _, text = await tokens.create(["viewer"], expires_in="10s")
    await gate.admit(f"bearer {text}", loopback=False)
    clock.advance("11s")
    seconds.now += 2.0

    with pytest.raises(TokenInvalid, match="expired"):
        await gate.admit(f"Bearer {text}", loopback=False)


@pytest.mark.parametrize("said", ["", "Bearer", "Bearer x", "Basic dXNlcjpwYXNz", "hms_a_b"])
async def test_what_is_no_token_is_refused(gate: Gate, tokens: Tokens, said: str) -> None:
    await tokens.create(["viewer"])
    with pytest.raises(Unauthenticated):
        await gate.admit(said, loopback=True)


async def test_a_token_makes_so_many_calls_a_second(
    gate: Gate, tokens: Tokens, seconds: Seconds
) -> None:
    _, text = await tokens.create(["viewer"], rate=2)
    for _ in range(4):
        await gate.admit(f"Bearer {text}", loopback=False)
    with pytest.raises(RateLimited) as refused:
        await gate.admit(f"Bearer {text}", loopback=False)
    assert 0 < refused.value.after_s <= 0.5
    seconds.now += 0.5
    await gate.admit(f"Bearer {text}", loopback=False)


async def test_the_last_table_serves_for_a_while_when_the_store_is_away(
    gate: Gate, tokens: Tokens, seconds: Seconds, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, text = await tokens.create(["viewer"])
    await gate.admit(f"Bearer {text}", loopback=False)

    def gone(_: Store) -> object:
        raise StoreUnavailable("away")

    monkeypatch.setattr(Store, "pipeline", gone)
    seconds.now += 29.0
    await gate.admit(f"Bearer {text}", loopback=False)
    seconds.now += 2.0
    with pytest.raises(StoreUnavailable):
        await gate.admit(f"Bearer {text}", loopback=False)
    assert store is not None


async def test_while_the_store_is_away_one_try_a_second_is_made_however_many_ask(
    gate: Gate, tokens: Tokens, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, text = await tokens.create(["viewer"])
    await gate.admit(f"Bearer {text}", loopback=False)
    tries: list[float] = []

    def gone(_: Store) -> object:
        tries.append(seconds.now)
        raise StoreUnavailable("away")

    monkeypatch.setattr(Store, "pipeline", gone)
    seconds.now += 2.0
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(lambda: gate.admit(f"Bearer {text}", loopback=False))
    assert tries == [102.0]
    seconds.now += 28.0
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="away"):
            await gate.admit(f"Bearer {text}", loopback=False)
    assert tries == [102.0, 130.0]


async def test_however_many_ask_the_table_is_read_once_in_two_seconds(
    gate: Gate, tokens: Tokens, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, text = await tokens.create(["viewer"])
    reads: list[float] = []
    read_table = kept.read_table

    async def slowly(server: Server) -> tuple[dict[str, Token], int]:
        reads.append(seconds.now)
        table = await read_table(server)
        seconds.now += 1.5
        return table

    monkeypatch.setattr(kept, "read_table", slowly)
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(lambda: gate.admit(f"Bearer {text}", loopback=False))
    assert reads == [100.0]
    # The answer took a second and a half, so it is good for half a second.
    seconds.now += 0.5
    await gate.admit(f"Bearer {text}", loopback=False)
    assert reads == [100.0, 102.0]


async def test_the_last_table_does_not_serve_when_the_server_refuses_us(
    gate: Gate, tokens: Tokens, seconds: Seconds, raw: Raw
) -> None:
    _, text = await tokens.create(["viewer"])
    await gate.admit(f"Bearer {text}", loopback=False)
    raw("DEL", "tokens")
    raw("SET", "tokens", "x")
    seconds.now += 2.0
    with pytest.raises(StoreProtocol):
        await gate.admit(f"Bearer {text}", loopback=False)


@pytest.mark.parametrize(
    "known",
    [b"{broken", b"\xff", b'{"id":"000000000000","digest":"' + b"0" * 64 + b'","roles":["later"]}'],
)
async def test_a_token_that_cannot_be_read_closes_the_door_and_no_other_token(
    gate: Gate, tokens: Tokens, seconds: Seconds, raw: Raw, known: bytes
) -> None:
    raw("HSET", "tokens", "0" * 12, known)
    with pytest.raises(Unauthenticated):
        await gate.admit(None, loopback=True)
    with pytest.raises(TokenInvalid):
        await gate.admit(f"Bearer hms_{'0' * 12}_{'A' * 43}", loopback=True)

    _, text = await tokens.create(["viewer"])
    seconds.now += 2.0
    await gate.admit(f"Bearer {text}", loopback=False)
    (unreadable,) = [one for one in await tokens.list() if not one.roles]
    assert (unreadable.id, unreadable.note) == ("0" * 12, "cannot be read by this release")
    await tokens.revoke(unreadable.id)


async def test_no_secret_is_logged(
    gate: Gate, tokens: Tokens, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    _, text = await tokens.create(["viewer"])
    await gate.admit(f"Bearer {text}", loopback=False)
    assert text[17:] not in caplog.text
