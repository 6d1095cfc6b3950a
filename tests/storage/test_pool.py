"""The short way to the server: whatever happens to a call, the next one gets its own reply."""

import re
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import anyio
import pytest
from redis import exceptions
from redis.asyncio import connection as connections

from hms_async.storage import connect
from hms_async.storage.pool import Pool
from tests.scripted import Fault, Proxy, scripted
from tests.servers import Raw

PATIENCE_S = 10.0
COUNT = "return redis.call('INCR', 'count')"


@pytest.fixture
async def store_url(embedded_url: str) -> str:
    """One server of a kind is enough: the pool knows no command."""
    raw = Raw(embedded_url)
    raw("FLUSHALL")
    raw.close()
    return embedded_url


async def pool_at(url: str) -> AsyncGenerator[Pool]:
    client = connect.connect(url, blocking=True)
    pool = Pool(client)
    yield pool
    await pool.aclose()
    await client.aclose()


@pytest.fixture
async def pool(store_url: str) -> AsyncGenerator[Pool]:
    async for one in pool_at(store_url):
        yield one


@pytest.fixture
async def proxy(store_url: str) -> AsyncGenerator[Proxy]:
    async with scripted(store_url) as one:
        yield one


@pytest.fixture
async def cut(proxy: Proxy) -> AsyncGenerator[Pool]:
    """A pool behind the proxy, which does to its scripts what a test plans."""
    async for one in pool_at(proxy.url):
        yield one


async def still_works(pool: Pool) -> bool:
    """Whether the next calls get their own replies, on one connection."""
    first = await pool.call("CLIENT", "ID")
    return [await pool.call("ECHO", "own"), await pool.call("CLIENT", "ID")] == [b"own", first]


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (("PING",), b"PONG"),
        (("ECHO", b"\x00\r\n\xff"), b"\x00\r\n\xff"),
        (("ECHO", 1.5), b"1.5"),
        (("GET", "nothing"), None),
        (("EVAL", "return {1, 'two', {3, {4}}}", 0), [1, b"two", [3, [4]]]),
        (("EVAL", "return ARGV[1]", 0, "x" * 1_000_000), b"x" * 1_000_000),
    ],
)
async def test_a_reply_comes_as_it_is(pool: Pool, command: tuple[Any, ...], reply: object) -> None:
    assert await pool.call(*command) == reply


def connections_so_far(raw: Raw) -> int:
    return int(raw("INFO", "stats")["total_connections_received"])


async def test_calls_take_the_connections_that_were_made_before(pool: Pool, raw: Raw) -> None:
    await pool.open(3)
    made = connections_so_far(raw)
    ids = list[int]()

    async def ask() -> None:
        ids.append(await pool.call("CLIENT", "ID"))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(ask)
    assert len(set(ids)) == 3
    await pool.open(3)
    assert connections_so_far(raw) == made


async def test_connections_that_cannot_be_made_before_are_made_by_their_calls(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setattr(connections.AbstractConnection, "connect", refused)
        with pytest.raises(exceptions.ConnectionError):
            await pool.open(2)
    assert await still_works(pool)


async def test_the_time_that_a_connection_takes_is_not_that_of_its_first_command(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_time = 1.2
    original: Any = connections.AbstractConnection.connect

    async def slow(connection: object) -> None:
        await original(connection)
        await anyio.sleep(in_time)

    monkeypatch.setattr(connect, "COMMAND_TIMEOUT_S", 2.0)
    monkeypatch.setattr(connections.AbstractConnection, "connect", slow)
    assert await pool.call("BLPOP", "nothing", in_time) is None


async def refused(_: object) -> None:
    raise exceptions.ConnectionError("refused")


async def test_an_error_of_the_server_costs_no_connection(pool: Pool) -> None:
    before = await pool.call("CLIENT", "ID")
    with pytest.raises(exceptions.NoScriptError):
        await pool.call("EVALSHA", "0" * 40, 0)
    with pytest.raises(exceptions.ResponseError, match="unknown command"):
        await pool.call("NONSENSE")
    assert await pool.call("CLIENT", "ID") == before


async def test_a_command_goes_behind_one_that_waits(pool: Pool, raw: Raw) -> None:
    lengths: list[object] = []

    async def wait() -> None:
        lengths.append(await pool.call_after(("BLPOP", "bell", 0), "LLEN", "bell"))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert lengths == []
        raw("RPUSH", "bell", "1", "2", "3")
    assert lengths == [2]
    assert await still_works(pool)


@pytest.mark.parametrize("wait", [("PING",), ("NONSENSE",)])
@pytest.mark.parametrize("command", [("PING",), ("NONSENSE",)])
async def test_an_error_of_either_is_raised_when_both_have_been_read(
    pool: Pool, wait: tuple[str], command: tuple[str]
) -> None:
    before = await pool.call("CLIENT", "ID")
    if (wait, command) == (("PING",), ("PING",)):
        assert await pool.call_after(wait, *command) == b"PONG"
    else:
        with pytest.raises(exceptions.ResponseError, match="unknown command"):
            await pool.call_after(wait, *command)
    assert await still_works(pool)
    assert await pool.call("CLIENT", "ID") == before


async def test_in_turn_each_command_leaves_before_the_one_ahead_is_answered(
    pool: Pool, raw: Raw
) -> None:
    replies = list[Any]()

    def commands() -> Iterator[tuple[str | int, ...]]:
        yield ("BLPOP", "bell", 0)
        assert replies == []
        raw("RPUSH", "bell", "rung")
        yield ("ECHO", "second")
        assert replies == [[b"bell", b"rung"]]
        yield ("ECHO", "third")

    with anyio.fail_after(PATIENCE_S):
        await pool.call_in_turn(commands(), replies.append)
    assert replies == [[b"bell", b"rung"], b"second", b"third"]
    await pool.call_in_turn([], replies.append)
    assert len(replies) == 3
    assert await still_works(pool)


async def test_in_turn_no_command_leaves_after_one_that_was_refused(pool: Pool) -> None:
    asked, replies = list[str](), list[Any]()

    def commands() -> Iterator[tuple[str, str]]:
        for word in ("ECHO", "NONSENSE", "SADD", "ECHO"):
            asked.append(word)
            yield (word, "own")

    with pytest.raises(exceptions.ResponseError, match="unknown command"):
        await pool.call_in_turn(commands(), replies.append)
    assert asked == ["ECHO", "NONSENSE", "SADD"]
    assert replies == [b"own"]
    assert await still_works(pool)


async def test_in_turn_what_comes_of_a_look_at_a_reply_ends_it(pool: Pool) -> None:
    def refuse(reply: object) -> None:
        raise ValueError(reply)

    with pytest.raises(ValueError, match="first"):
        await pool.call_in_turn([("ECHO", "first"), ("ECHO", "second")], refuse)
    assert await still_works(pool)


@pytest.mark.parametrize(("fault", "count"), [(Fault.CLOSED_BEFORE, 1), (Fault.CLOSED_AFTER, 2)])
async def test_in_turn_a_connection_that_dies_ends_it(
    cut: Pool, proxy: Proxy, fault: Fault, count: int
) -> None:
    await cut.call("PING")
    proxy.plan.append(fault)
    replies = list[Any]()
    with pytest.raises(exceptions.ConnectionError):
        await cut.call_in_turn([("EVAL", COUNT, 0)] * 2, replies.append)
    assert (replies, await cut.call("EVAL", COUNT, 0)) == ([], count)
    assert await still_works(cut)


async def test_in_turn_silence_is_an_error_in_time(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies = list[Any]()
    with monkeypatch.context() as patience:
        patience.setattr(connect, "COMMAND_TIMEOUT_S", 0.05)
        with pytest.raises(exceptions.TimeoutError, match="did not answer in time"):
            await pool.call_in_turn([("PING",), ("BLPOP", "bell", 0)], replies.append)
    assert replies == [b"PONG"]
    assert await still_works(pool)


@pytest.mark.parametrize("turns", range(8))
async def test_wherever_calls_in_turn_are_cancelled_the_next_gets_its_own_reply(
    pool: Pool, turns: int
) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(pool.call_in_turn, [("ECHO", "of another")] * 5, list[Any]().append)
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert await still_works(pool)


def idle_connection(pool: Pool) -> Any:
    (connection,) = pool._free  # pyright: ignore[reportPrivateUsage]
    return connection


async def something_comes(connection: Any) -> None:
    with anyio.fail_after(PATIENCE_S):
        while not await connection.can_read():
            await anyio.lowlevel.checkpoint()


async def test_a_connection_that_died_between_two_calls_is_replaced(pool: Pool, raw: Raw) -> None:
    for _ in range(3):
        number = await pool.call("CLIENT", "ID")
        raw("CLIENT", "KILL", "ID", number)
        await something_comes(idle_connection(pool))
        assert await pool.call("CLIENT", "ID") > number
    assert await still_works(pool)


@pytest.mark.parametrize(("fault", "count"), [(Fault.CLOSED_BEFORE, 1), (Fault.CLOSED_AFTER, 2)])
async def test_one_that_dies_under_a_call_is_an_error_and_the_call_is_not_repeated(
    cut: Pool, proxy: Proxy, fault: Fault, count: int
) -> None:
    await cut.call("PING")
    proxy.plan.append(fault)
    with pytest.raises(exceptions.ConnectionError):
        await cut.call("EVAL", COUNT, 0)
    assert await cut.call("EVAL", COUNT, 0) == count
    assert await still_works(cut)


@pytest.mark.parametrize(("fault", "count"), [(Fault.SILENT_BEFORE, 1), (Fault.SILENT_AFTER, 2)])
async def test_silence_is_an_error_in_time(
    cut: Pool, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, fault: Fault, count: int
) -> None:
    await cut.call("PING")
    proxy.plan.append(fault)
    with monkeypatch.context() as patience:
        patience.setattr(connect, "COMMAND_TIMEOUT_S", 0.05)
        with pytest.raises(exceptions.TimeoutError, match="did not answer in time"):
            await cut.call("EVAL", COUNT, 0)
    assert await cut.call("EVAL", COUNT, 0) == count
    assert await still_works(cut)


async def test_a_server_that_cannot_be_reached_is_an_error_each_time() -> None:
    async for pool in pool_at("redis://127.0.0.1:1/0"):
        for _ in range(2):
            with pytest.raises(exceptions.ConnectionError):
                await pool.call("PING")


async def test_a_reply_that_nobody_awaits_any_more_is_not_the_next_ones(
    pool: Pool, raw: Raw
) -> None:
    for number in range(5):
        async with anyio.create_task_group() as group:
            group.start_soon(pool.call, "BLPOP", "bell", 0)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        raw("RPUSH", "bell", number)
        assert await still_works(pool)


@pytest.mark.parametrize("turns", range(12))
async def test_wherever_a_call_is_cancelled_the_next_gets_its_own_reply(
    pool: Pool, turns: int
) -> None:
    for warm in (False, True):
        if warm:
            await pool.call("PING")
        async with anyio.create_task_group() as group:
            group.start_soon(pool.call, "ECHO", "of another")
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        assert await still_works(pool)


async def test_a_connection_with_something_unread_is_not_used(pool: Pool) -> None:
    before = await pool.call("CLIENT", "ID")
    await idle_connection(pool).send_command("ECHO", "of another")
    await something_comes(idle_connection(pool))
    assert await pool.call("ECHO", "own") == b"own"
    assert await pool.call("CLIENT", "ID") > before


async def test_there_are_as_many_connections_as_calls_at_once(pool: Pool, raw: Raw) -> None:
    numbers: set[int] = set()

    async def call() -> None:
        numbers.add(await pool.call_after(("BLPOP", "bell", 0), "CLIENT", "ID"))

    for _ in range(3):
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(call)
            raw("RPUSH", "bell", *range(5))
    assert len(numbers) == 5
    for _ in range(10):
        assert await pool.call("CLIENT", "ID") in numbers


def connected(raw: Raw) -> set[int]:
    return {int(number) for number in re.findall(rb"\bid=(\d+)", raw("CLIENT", "LIST"))}


async def test_closing_closes_every_connection_also_one_that_waits(pool: Pool, raw: Raw) -> None:
    ended = anyio.Event()

    async def wait() -> None:
        with pytest.raises(exceptions.ConnectionError):
            await pool.call_after(("BLPOP", "bell", 0), "PING")
        ended.set()

    before = connected(raw)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await pool.call("PING")
        with anyio.fail_after(PATIENCE_S):
            await pool.aclose()
            await ended.wait()
    with anyio.fail_after(PATIENCE_S):
        while connected(raw) != before:
            await anyio.lowlevel.checkpoint()
