"""A caller's own numbered calls, repeated and late, over several queues and processes (R2)."""

# Whether somebody waits is nobody else's business.
# pyright: reportPrivateUsage=false

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from hms_async import AsyncOMSClient
from hms_async.errors import CallSuperseded, ConfigInvalid, StoreUnavailable
from hms_async.runtime.calls import Call
from hms_async.runtime.remote import Popped, RemoteWorkers
from hms_async.runtime.verdicts import RemoteOutcome
from hms_async.storage.replies import Exchanged
from hms_async.storage.store import Store
from tests.runtime.support import until

CALLER = "caller-0123456789"


class Unsure(Store):
    """A store whose answers to exchanges are lost, or come when a gate opens."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.lost = 0
        self.gate: anyio.Event | None = None
        self.held = anyio.Event()
        self.numbers: list[tuple[str, int]] = []

    async def exchange(self, queue: str, **options: Any) -> Exchanged | None:
        reply = await super().exchange(queue, **options)
        self.numbers.append((queue, options["seq"]))
        if self.gate is not None:
            gate, self.gate = self.gate, None
            self.held.set()
            await gate.wait()
        if self.lost:
            self.lost -= 1
            raise StoreUnavailable("the answer was lost")
        return reply


@asynccontextmanager
async def process(url: str) -> AsyncGenerator[tuple[Unsure, RemoteWorkers]]:
    async with Unsure(url) as store, RemoteWorkers.open(store, "api") as workers:
        yield store, workers


@pytest.fixture
async def oms(oms: AsyncOMSClient) -> AsyncOMSClient:
    for queue in ("a", "b", "c"):
        await oms.create_queue(queue, lease="30s")
    return oms


async def held(oms: AsyncOMSClient) -> int:
    return sum([(await oms.stats(queue)).in_progress for queue in ("a", "b", "c")])


class Caller:
    """Makes a call in a task, and notes how it ends."""

    def __init__(self) -> None:
        self.popped: Popped | None = None
        self.error: Exception | None = None

    async def pop(self, workers: RemoteWorkers, call: Call, **options: Any) -> None:
        given: dict[str, Any] = {"queues": ["a", "b", "c"], "worker": "go"}
        try:
            self.popped = await workers.pop(**(given | options), call=call)
        except Exception as error:  # noqa: BLE001  # the test looks at it
            self.error = error

    async def wait(self, workers: RemoteWorkers, call: Call) -> None:
        await self.pop(workers, call, wait_s=20)

    @property
    def tokens(self) -> list[str]:
        return [task.token for task in self.popped.tasks] if self.popped else []


@pytest.mark.parametrize("queue", ["a", "b", "c"])
@pytest.mark.parametrize("lost", [1, 3])
async def test_r2_an_answer_that_was_lost_within_a_call_is_asked_for_again(
    oms: AsyncOMSClient, queue: str, lost: int
) -> None:
    await oms.enqueue_many(queue, [1, 2])
    async with process(oms.url) as (store, workers):
        store.lost = lost
        caller = Caller()
        await caller.pop(workers, Call(CALLER, 0, 1))
        assert len(caller.tokens) == 1
    assert await held(oms) == 1


@pytest.mark.parametrize("queue", ["a", "b", "c"])
async def test_r2_each_number_goes_to_one_queue(oms: AsyncOMSClient, queue: str) -> None:
    await oms.enqueue(queue, 1)
    async with process(oms.url) as (store, workers):
        for seq in (1, 2, 3):
            await Caller().pop(workers, Call(CALLER, 0, seq))
        numbers = [number for _, number in store.numbers]
        assert len(numbers) == len(set(numbers))
        assert numbers == sorted(numbers)


async def test_r2_a_call_whose_process_died_is_repeated_at_another(oms: AsyncOMSClient) -> None:
    await oms.enqueue_many("b", [1, 2, 3])
    first, again = Caller(), Caller()
    async with process(oms.url) as (store, one), process(oms.url) as (_, two):
        store.gate = gate = anyio.Event()
        store.lost = 1_000
        async with anyio.create_task_group() as group:
            group.start_soon(first.pop, one, Call(CALLER, 0, 1))
            await store.held.wait()
            group.cancel_scope.cancel()
            gate.set()
        await again.pop(two, Call(CALLER, 0, 1))
        assert len(again.tokens) == 1
    assert await held(oms) == 1


async def test_r2_a_cancelled_call_keeps_what_it_claimed_for_its_repeat(
    oms: AsyncOMSClient,
) -> None:
    await oms.enqueue_many("a", list(range(50)))
    async with process(oms.url) as (_, one):
        for moment in range(40):
            call = Call(CALLER, 0, moment + 1)
            with anyio.move_on_after(moment / 4_000):
                await one.pop(["a", "b"], worker="go", call=call)
            repeated = await one.pop(["a", "b"], worker="go", call=call)
            again = await one.pop(["a", "b"], worker="go", call=call)
            assert len(repeated.tasks) == 1
            assert repeated.tasks[0].token == again.tasks[0].token
            assert await held(oms) == 1
            await one.settle(
                [RemoteOutcome(id=task.id, token=task.token, word="done") for task in again.tasks]
            )
    stats = await oms.stats("a")
    assert (stats.done, stats.waiting, stats.balanced) == (40, 10, True)


async def test_r2_of_two_requests_for_one_call_in_a_process_the_later_goes_on(
    oms: AsyncOMSClient,
) -> None:
    first, again = Caller(), Caller()
    async with process(oms.url) as (_, one), anyio.create_task_group() as group:
        group.start_soon(first.wait, one, Call(CALLER, 0, 1))
        await until(lambda: len(one._waits) == 1)
        group.start_soon(again.wait, one, Call(CALLER, 0, 1))
        await until(lambda: first.error is not None and len(one._waits) == 1)
        await oms.enqueue_many("b", [1, 2])
    assert isinstance(first.error, CallSuperseded)
    assert len(again.tokens) == 1
    assert await held(oms) == 1


async def test_r2_a_late_request_for_an_earlier_call_does_not_end_a_later_one(
    oms: AsyncOMSClient,
) -> None:
    late, current = Caller(), Caller()
    async with process(oms.url) as (_, one), anyio.create_task_group() as group:
        group.start_soon(current.wait, one, Call(CALLER, 0, 2))
        await until(lambda: len(one._waits) == 1)
        await late.pop(one, Call(CALLER, 0, 1))
        await oms.enqueue("c", 1)
    assert isinstance(late.error, CallSuperseded)
    assert current.error is None
    assert len(current.tokens) == 1


async def test_r2_a_request_that_is_overtaken_in_the_middle_ends_in_peace(
    oms: AsyncOMSClient,
) -> None:
    slow, quick = Caller(), Caller()
    async with process(oms.url) as (store, one), anyio.create_task_group() as group:
        store.gate = gate = anyio.Event()
        group.start_soon(slow.pop, one, Call(CALLER, 0, 1))
        await store.held.wait()
        await quick.pop(one, Call(CALLER, 0, 2))
        gate.set()
    assert isinstance(slow.error, CallSuperseded)
    assert quick.popped == Popped([])
    assert one._walks == {}


async def test_r2_lanes_of_a_caller_are_apart(oms: AsyncOMSClient) -> None:
    await oms.enqueue_many("a", [1, 2])
    one, two = Caller(), Caller()
    async with process(oms.url) as (_, workers):
        await one.pop(workers, Call(CALLER, 0, 7))
        await two.pop(workers, Call(CALLER, 1, 1))
    assert len({*one.tokens, *two.tokens}) == 2


async def test_r2_a_call_that_has_claimed_stays_over_when_all_is_settled(
    oms: AsyncOMSClient,
) -> None:
    await oms.enqueue_many("a", [1, 2])
    caller, again = Caller(), Caller()
    async with process(oms.url) as (_, one), process(oms.url) as (_, two):
        await caller.pop(one, Call(CALLER, 0, 1))
        assert caller.popped is not None
        (task,) = caller.popped.tasks
        await one.settle([RemoteOutcome(id=task.id, token=task.token, word="done")])
        with anyio.fail_after(5):  # it does not wait: nothing can come any more
            await again.pop(two, Call(CALLER, 0, 1), wait_s=30)
    assert again.popped == Popped([])
    assert (await oms.stats("a")).waiting == 1


async def test_r2_a_call_waits_for_less_than_its_record_is_kept(oms: AsyncOMSClient) -> None:
    caller = Caller()
    async with process(oms.url) as (_, one):
        await caller.pop(one, Call(CALLER, 0, 1), wait_s=31)
    assert isinstance(caller.error, ConfigInvalid)


@pytest.mark.parametrize("seed", range(3))
async def test_r2_whatever_is_repeated_where_and_when_a_call_has_one_claim(
    oms: AsyncOMSClient, seed: int
) -> None:
    """Ten requests for each of ten calls, at two processes whose answers are lost at times."""
    async with process(oms.url) as (first, one), process(oms.url) as (second, two):
        for seq in range(1, 11):
            call = Call(CALLER, 0, seq)
            callers = [Caller() for _ in range(10)]
            first.lost = second.lost = (seed + seq) % 3
            async with anyio.create_task_group() as group:
                for number, caller in enumerate(callers):
                    workers = (one, two)[(number + seed) % 2]
                    group.start_soon(caller.wait, workers, call)
                    if number == 2 * seed:
                        await oms.enqueue_many("abc"[seq % 3], [1, 2, 3])
            tokens = {token for caller in callers for token in caller.tokens}
            errors = {type(caller.error) for caller in callers} - {type(None)}
            assert len(tokens) == 1
            assert errors <= {CallSuperseded}
            assert await held(oms) == seq
