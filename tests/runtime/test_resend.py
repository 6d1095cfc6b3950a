"""Answers that never came (R2, R7): the same request again, and nothing twice."""

from contextlib import suppress
from typing import Any

import anyio
import pytest

from benchmarks.faults.proxy import proxied
from hms_async import (
    AsyncOMSClient,
    ClientClosed,
    Enqueued,
    EnqueueManyError,
    EnqueueUnknown,
    QueueNotFound,
    StoreUnavailable,
    Task,
    TaskState,
)
from hms_async.runtime import submit
from hms_async.storage import connect
from hms_async.storage.store import Store
from tests.runtime.support import PATIENCE_S, until, worker
from tests.scripted import scripted
from tests.servers import Raw

pytestmark = pytest.mark.parametrize("store_url", ["valkey"], indirect=True)


@pytest.fixture(autouse=True)
async def _queue(oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch) -> None:
    await oms.create_queue("q")
    monkeypatch.setattr(connect, "COMMAND_TIMEOUT_S", 0.2)
    monkeypatch.setattr(submit, "ENQUEUE_TIMEOUT_S", 0.5)


async def test_an_enqueue_whose_answer_was_lost_is_one_task_and_reads_as_created(
    oms: AsyncOMSClient,
) -> None:
    async with proxied(oms.url) as proxy, AsyncOMSClient(proxy.url) as through:
        proxy.lose_answers = 2
        plain = await through.enqueue("q", 1)
        proxy.lose_answers = 1
        keyed = await through.enqueue("q", 2, idempotency_key="k")

    assert (plain.created, keyed.created) == (True, True)
    assert (await oms.stats("q")).waiting == 2


async def test_many_whose_answers_were_lost_are_each_one_task_and_in_order(
    oms: AsyncOMSClient, raw: Raw
) -> None:
    async with proxied(oms.url) as proxy, AsyncOMSClient(proxy.url) as through:
        proxy.lose_answers = 2
        accepted = await through.enqueue_many("q", range(600))

    assert all(one.created for one in accepted)
    assert raw.entries("queue:q") == [one.id for one in accepted]


async def test_with_an_id_of_the_callers_own_the_same_reads_as_there_already(
    oms: AsyncOMSClient,
) -> None:
    async with proxied(oms.url) as proxy, AsyncOMSClient(proxy.url) as through:
        proxy.lose_answers = 1
        enqueued = await through.enqueue("q", 1, id="mine")

    assert (enqueued.id, enqueued.created) == ("mine", False)
    assert (await oms.stats("q")).waiting == 1


async def test_a_silent_server_is_unknown_and_repeating_with_the_id_is_safe(
    oms: AsyncOMSClient,
) -> None:
    async with proxied(oms.url) as proxy, AsyncOMSClient(proxy.url) as through:
        await through.list_queues()
        proxy.silent = True
        with anyio.fail_after(3), pytest.raises(EnqueueUnknown, match="enqueue it again") as error:
            await through.enqueue("q", 1)
        with pytest.raises(StoreUnavailable):
            await through.stats("q")
        proxy.silent = False
        again = await through.enqueue("q", 1, id=error.value.task_id)

    assert again.id == error.value.task_id
    assert (await oms.stats("q")).waiting == 1


async def test_no_connection_is_not_unknown_since_nothing_was_sent() -> None:
    async with AsyncOMSClient("redis://127.0.0.1:1/0") as oms:
        with anyio.fail_after(3), pytest.raises(StoreUnavailable):
            await oms.enqueue("q", 1)


async def test_many_without_a_connection_are_not_unknown_either() -> None:
    async with AsyncOMSClient("redis://127.0.0.1:1/0") as oms:
        with anyio.fail_after(3), pytest.raises(EnqueueManyError) as refused:
            await oms.enqueue_many("q", range(600))

    assert [type(one) for one in refused.value.results] == [StoreUnavailable] * 600


async def test_of_many_those_that_left_before_the_server_fell_silent_are_unknown(
    oms: AsyncOMSClient,
) -> None:
    async with proxied(oms.url) as proxy, AsyncOMSClient(proxy.url) as through:
        await through.list_queues()
        proxy.silent = True
        with anyio.fail_after(3), pytest.raises(EnqueueManyError) as refused:
            await through.enqueue_many("q", range(1_000))

    kinds = [type(one) for one in refused.value.results]
    assert kinds == [EnqueueUnknown] * 500 + [StoreUnavailable] * 500


async def test_calls_behind_a_silent_one_do_not_wait_for_ever(oms: AsyncOMSClient) -> None:
    ended: list[str] = []

    async def enqueue(through: AsyncOMSClient, queue: str) -> None:
        with pytest.raises((EnqueueUnknown, StoreUnavailable)):
            await through.enqueue(queue, 1)
        ended.append(queue)

    async with proxied(oms.url) as proxy, AsyncOMSClient(proxy.url) as through:
        await through.list_queues()
        proxy.silent = True
        with anyio.fail_after(3):
            async with anyio.create_task_group() as group:
                for number in range(30):
                    group.start_soon(enqueue, through, f"q{number}")

    assert len(ended) == 30


async def test_r7_an_enqueue_does_not_wait_beyond_its_time_for_a_send_under_way(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "COMMAND_TIMEOUT_S", 1.5)
    monkeypatch.setattr(submit, "ENQUEUE_TIMEOUT_S", 0.3)
    async with proxied(oms.url) as proxy, AsyncOMSClient(proxy.url) as through:
        await through.enqueue("q", "first")
        proxy.silent = True
        with anyio.fail_after(1), pytest.raises(EnqueueUnknown) as error:
            await through.enqueue("q", "sent")
        with anyio.fail_after(1), pytest.raises(StoreUnavailable):
            await through.enqueue("q", "not sent")
        with anyio.fail_after(1), pytest.raises(EnqueueManyError) as refused:
            await through.enqueue_many("q", ["not sent", "either"])
        assert [type(one) for one in refused.value.results] == [StoreUnavailable] * 2
        proxy.silent = False

        async def repeat() -> None:
            with suppress(StoreUnavailable):
                again.append(await through.enqueue("q", "sent", id=error.value.task_id))

        again: list[Enqueued] = []
        with anyio.fail_after(PATIENCE_S):
            while not again:
                await repeat()

    waiting = (await oms.list_tasks("q", "waiting")).tasks
    assert [task.payload for task in waiting] == ["first", "sent"]


async def test_a_large_number_has_more_time_than_one_part_of_it(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Store.enqueue

    async def slowly(self: Store, queue: str, items: Any) -> Any:
        await anyio.sleep(0.1)
        return await original(self, queue, items)

    monkeypatch.setattr(submit, "ENQUEUE_TIMEOUT_S", 0.3)
    monkeypatch.setattr(submit, "_ITEMS_A_TIMEOUT", 5)
    monkeypatch.setattr(Store, "enqueue", slowly)

    assert len(await oms.enqueue_many("q", range(30))) == 30


async def test_after_a_part_without_an_answer_the_rest_is_not_sent(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "COMMAND_TIMEOUT_S", 0.2)
    monkeypatch.setattr(submit, "ENQUEUE_TIMEOUT_S", 0.3)
    monkeypatch.setattr(submit, "_ITEMS_A_TIMEOUT", 2)
    async with proxied(oms.url) as proxy, AsyncOMSClient(proxy.url) as through:
        proxy.silent = True
        with anyio.fail_after(1), pytest.raises(EnqueueManyError) as error:
            await through.enqueue_many("q", range(10))

    unsent = [one for one in error.value.results if isinstance(one, StoreUnavailable)]
    assert len(error.value.results) == 10
    assert [str(one) for one in unsent[-8:]] == [
        "not sent, as the server did not answer those before"
    ] * 8


async def test_who_waits_when_the_client_closes_is_told(oms: AsyncOMSClient) -> None:
    told: list[ClientClosed] = []

    async def enqueue(through: AsyncOMSClient) -> None:
        with pytest.raises(ClientClosed, match="accepted or not") as error:
            await through.enqueue("q", 1)
        told.append(error.value)

    async with proxied(oms.url) as proxy, anyio.create_task_group() as group:
        proxy.silent = True
        async with AsyncOMSClient(proxy.url) as through:
            group.start_soon(enqueue, through)
            await anyio.wait_all_tasks_blocked()

    assert len(told) == 1


async def test_a_popped_task_whose_answer_was_lost_comes_with_the_next_one(
    oms: AsyncOMSClient,
) -> None:
    ids = [one.id for one in await oms.enqueue_many("q", [1, 2])]
    async with proxied(oms.url) as proxy, AsyncOMSClient(proxy.url) as through:
        proxy.lose_answers = 1
        task = await through.pop_task("q", timeout=PATIENCE_S)
        assert task is not None
        proxy.lose_answers = 1
        await task.complete("once")

    assert task.id == ids[0]
    assert await oms.result(ids[0], timeout=0) == "once"
    stats = await oms.stats("q")
    assert (stats.done, stats.waiting, stats.in_progress) == (1, 1, 0)


async def test_an_outcome_is_sent_again_until_it_is_heard(oms: AsyncOMSClient) -> None:
    async with proxied(oms.url) as proxy:

        async def handle(task: Task[Any]) -> None:
            task.complete("heard")
            proxy.lose_answers = 3

        async with worker(proxy.url, handle, supervise=False):
            enqueued = await oms.enqueue("q", 1)
            assert await oms.result(enqueued.id, timeout=PATIENCE_S) == "heard"
            with anyio.fail_after(PATIENCE_S):
                await proxy.lost.wait()

    record = await oms.get_task(enqueued.id)
    assert (record.attempt, record.crashes, record.state) == (1, 0, TaskState.DONE)


async def test_a_missing_queue_is_told_at_once_even_after_a_lost_answer(
    oms: AsyncOMSClient,
) -> None:
    async with proxied(oms.url) as proxy, AsyncOMSClient(proxy.url) as through:
        proxy.lose_answers = 1
        with pytest.raises(QueueNotFound):
            await through.enqueue("nowhere", 1)


async def test_many_whose_time_is_over_while_a_connection_is_made_may_arrive_afterwards(
    oms: AsyncOMSClient, raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "COMMAND_TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(submit, "ENQUEUE_TIMEOUT_S", 0.1)
    async with proxied(oms.url) as proxy, AsyncOMSClient(proxy.url) as through:
        proxy.late_s = 0.3
        with anyio.fail_after(PATIENCE_S), pytest.raises(EnqueueManyError) as refused:
            await through.enqueue_many("q", range(600))
        await until(lambda: bool(raw.entries("queue:q")))

    kinds = [type(one) for one in refused.value.results]
    assert kinds == [EnqueueUnknown] * 250 + [StoreUnavailable] * 350


@pytest.mark.parametrize("answer", ["OOM command not allowed", "LOADING the dataset in memory"])
async def test_many_of_which_a_part_is_not_done_are_each_one_task_and_read_as_created(
    oms: AsyncOMSClient, raw: Raw, answer: str
) -> None:
    first = await oms.enqueue("q", "leaves the script with the server")
    async with scripted(oms.url) as proxy, AsyncOMSClient(proxy.url) as through:
        await through.list_queues()
        # The part behind it is on its way then, and arrives.
        proxy.plan.append(answer)
        accepted = await through.enqueue_many("q", range(600))

    assert all(one.created for one in accepted)
    assert sorted(raw.entries("queue:q")) == sorted(one.id for one in [first, *accepted])


async def test_what_was_sent_behind_a_part_that_came_too_early_may_have_arrived(
    oms: AsyncOMSClient, raw: Raw
) -> None:
    await oms.enqueue("q", "leaves the script with the server")
    loading = "LOADING the dataset in memory"
    async with scripted(oms.url) as proxy, AsyncOMSClient(proxy.url) as through:
        await through.list_queues()
        proxy.plan += [loading, None, *[loading] * 100]
        with anyio.fail_after(3), pytest.raises(EnqueueManyError) as refused:
            await through.enqueue_many("q", range(600))

    assert len(raw.entries("queue:q")) == 1 + 250
    kinds = [type(one) for one in refused.value.results]
    assert kinds == [EnqueueUnknown] * 500 + [StoreUnavailable] * 100


async def test_many_to_a_queue_that_nobody_created_are_refused(oms: AsyncOMSClient) -> None:
    with pytest.raises(QueueNotFound):
        await oms.enqueue_many("nowhere", range(600))


async def test_many_do_not_keep_another_queue_waiting(oms: AsyncOMSClient, raw: Raw) -> None:
    await oms.create_queue("other")
    async with anyio.create_task_group() as group:
        group.start_soon(oms.enqueue_many, "q", range(10_000))
        while not raw.entries("queue:q"):
            await anyio.lowlevel.checkpoint()
        await oms.enqueue("other", 1)
        assert len(raw.entries("queue:q")) < 5_000
