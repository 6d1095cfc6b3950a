"""R11: a server that refuses us is fatal at the start, and waited for later."""

from collections.abc import Generator
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from benchmarks.faults.proxy import proxied
from hms_async import (
    AsyncOMSClient,
    AsyncWorker,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    Task,
)
from hms_async.runtime.exchange import Lanes
from hms_async.runtime.handlers import bind
from hms_async.storage.store import Store
from hms_async.testing import running
from tests.runtime.support import PATIENCE_S, worker
from tests.servers import Raw, server_of_version


async def echo(task: Task[Any]) -> object:
    return task.payload


@pytest.fixture
def clerk(store_url: str, raw: Raw) -> Generator[str]:
    """The server as the user `clerk` sees it, who has every right until a test takes some."""
    raw("ACL", "SETUSER", "clerk", "on", ">pass", "~*", "+@all")
    yield store_url.replace("//", "//clerk:pass@")
    raw("ACL", "DELUSER", "clerk")


async def test_r11_no_worker_starts_and_no_client_works_on_a_server_that_is_too_old() -> None:
    with server_of_version("redis", "6.0.16") as url:
        with pytest.raises(StoreRefused, match=r"redis 6\.0\.16"):
            await AsyncWorker(queue="q", handler=echo, url=url).run()
        async with AsyncOMSClient(url) as oms:
            with anyio.fail_after(PATIENCE_S), pytest.raises(StoreRefused, match=r"6\.0\.16"):
                await oms.enqueue("q", 1)


def test_r11_nor_does_one_in_a_process_of_its_own() -> None:
    with (
        server_of_version("redis", "6.0.16") as url,
        pytest.raises(StoreRefused, match=r"redis 6\.0\.16"),
    ):
        AsyncWorker(queue="q", handler=echo, url=url).run_forever()


@pytest.mark.parametrize("store_url", ["valkey"], indirect=True)
@pytest.mark.parametrize("missing", ["-evalsha", "-hmget", "-@read"])
async def test_r11_a_worker_without_a_right_does_not_start(
    oms: AsyncOMSClient, clerk: str, raw: Raw, missing: str
) -> None:
    await oms.create_queue("q")
    raw("ACL", "SETUSER", "clerk", missing)
    with anyio.fail_after(PATIENCE_S), pytest.raises(StoreRefused, match="lacks a right"):
        await AsyncWorker(queue="q", handler=echo, url=clerk).run()


# Every right, and the keys of every queue but `b`.
NOT_B = ("resetkeys", "~queue:a*", "~task:*", "~worker*", "~queues")


@pytest.mark.parametrize("store_url", ["valkey"], indirect=True)
async def test_r11_a_queue_that_is_refused_does_not_hold_up_the_others(
    oms: AsyncOMSClient, clerk: str, raw: Raw
) -> None:
    refused = anyio.Event()
    begun = anyio.Event()
    runs: list[object] = []

    async def work_on_b(task: Task[Any]) -> object:
        runs.append(task.payload)
        begun.set()
        await refused.wait()
        return task.payload

    await oms.create_queue("a")
    await oms.create_queue("b")
    handlers = [bind(echo, "a"), bind(work_on_b, "b")]
    with capture_logs() as logs:
        async with running(AsyncWorker(handlers=handlers, url=clerk)):
            late = (await oms.enqueue("b", "late")).id
            await begun.wait()
            raw("ACL", "SETUSER", "clerk", *NOT_B)
            refused.set()
            for number in range(20):
                one = await oms.enqueue("a", number)
                assert await oms.result(one.id, timeout=PATIENCE_S) == number
            with anyio.fail_after(PATIENCE_S):
                while "exchange.refused" not in {entry["event"] for entry in logs}:
                    await anyio.lowlevel.checkpoint()
            assert (await oms.get_task(late)).state == "in_progress"
            raw("ACL", "SETUSER", "clerk", "~*")
            assert await oms.result(late, timeout=PATIENCE_S) == "late"
            again = await oms.enqueue("b", "again")
            assert await oms.result(again.id, timeout=PATIENCE_S) == "again"

    assert runs == ["late", "again"]
    record = await oms.get_task(late)
    assert (record.attempt, record.crashes) == (1, 0)
    told = [(e["event"], e["queue"]) for e in logs if e["event"].startswith("exchange.")]
    assert told == [("exchange.refused", "b"), ("exchange.accepted", "b")]


@pytest.mark.parametrize("store_url", ["valkey"], indirect=True)
@pytest.mark.parametrize("supervise", [True, False])
async def test_r11_nor_does_it_make_a_worker_deaf_that_has_nothing_to_do(
    oms: AsyncOMSClient, clerk: str, raw: Raw, *, supervise: bool
) -> None:
    for name in ("b", "a"):
        await oms.create_queue(name)
    handlers = [bind(echo, name) for name in ("b", "a")]
    async with running(AsyncWorker(handlers=handlers, url=clerk, supervise=supervise)):
        raw("ACL", "SETUSER", "clerk", *NOT_B)
        raw("CLIENT", "KILL", "USER", "clerk")
        for number in range(3):
            one = await oms.enqueue("a", number)
            assert await oms.result(one.id, timeout=3) == number
        later = await oms.enqueue("a", "later", delay="10ms")
        assert await oms.result(later.id, timeout=3) == "later"


@pytest.mark.parametrize("store_url", ["valkey"], indirect=True)
async def test_r11_a_worker_lives_through_another_password(
    oms: AsyncOMSClient, clerk: str, raw: Raw
) -> None:
    changed, begun = anyio.Event(), anyio.Event()

    async def wait(task: Task[Any]) -> object:
        begun.set()
        await changed.wait()
        return task.payload

    await oms.create_queue("q")
    with capture_logs() as logs:
        async with worker(clerk, wait):
            one = await oms.enqueue("q", "one")
            await begun.wait()
            raw("ACL", "SETUSER", "clerk", "resetpass", ">other")
            raw("CLIENT", "KILL", "USER", "clerk")
            changed.set()
            with anyio.fail_after(PATIENCE_S):
                while "exchange.refused" not in {entry["event"] for entry in logs}:
                    await anyio.lowlevel.checkpoint()
            two = await oms.enqueue("q", "two")
            raw("ACL", "SETUSER", "clerk", ">pass")
            for task_id, result in ((one.id, "one"), (two.id, "two")):
                assert await oms.result(task_id, timeout=PATIENCE_S) == result


@pytest.mark.parametrize("store_url", ["valkey"], indirect=True)
async def test_r2_the_call_that_was_refused_is_repeated_under_its_number(
    oms: AsyncOMSClient, clerk: str, raw: Raw
) -> None:
    """Its first try is carried out, and nobody hears of it; the second is refused."""

    def taken_away(error: StoreError) -> int:
        assert isinstance(error, StoreUnavailable)
        raw("ACL", "SETUSER", "clerk", "resetkeys")
        return 1

    await oms.create_queue("q")
    ids = [one.id for one in await oms.enqueue_many("q", [1, 2])]
    async with proxied(clerk) as proxy, Store(proxy.url.replace("//", "//clerk:pass@")) as store:
        lane = Lanes(store, "w").make("q")
        await lane.exchange(unanswered=taken_away)
        proxy.lose_answers = 1
        with pytest.raises(StoreRefused):
            await lane.exchange(want=1, unanswered=taken_away)
        raw("ACL", "SETUSER", "clerk", "~*")
        answers = [await lane.exchange(want=1, unanswered=taken_away) for _ in range(2)]

    assert [answer.verdict for answer in answers] == ["replayed", "ok"]
    assert [claim.id for answer in answers for claim in answer.claims] == ids


@pytest.mark.parametrize("store_url", ["valkey"], indirect=True)
async def test_r11_pop_task_says_at_once_that_it_is_refused(
    oms: AsyncOMSClient, clerk: str, raw: Raw
) -> None:
    await oms.create_queue("q")
    await oms.enqueue("q", 1)
    async with AsyncOMSClient(clerk) as through:
        raw("ACL", "SETUSER", "clerk", "resetkeys")
        with anyio.fail_after(3), pytest.raises(StoreRefused):
            await through.pop_task("q", timeout="10s")
        raw("ACL", "SETUSER", "clerk", "~*")
        task = await through.pop_task("q", timeout="10s")
        assert task is not None
        raw("ACL", "SETUSER", "clerk", "resetkeys")
        with anyio.fail_after(3), pytest.raises(StoreRefused):
            await task.complete()
        raw("ACL", "SETUSER", "clerk", "~*")
    assert (await oms.stats("q")).in_progress == 1
