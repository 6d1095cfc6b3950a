"""Leases for workers that are not in this process."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from hms_async import AsyncOMSClient, RetryPolicy
from hms_async.domain.outcome import Fault
from hms_async.errors import (
    CallSuperseded,
    ConfigInvalid,
    NameInvalid,
    QueueNotFound,
    StoreProtocol,
)
from hms_async.runtime import doorbell, guests
from hms_async.runtime.calls import Call
from hms_async.runtime.claims import Claims
from hms_async.runtime.remote import Leased, Popped, RemoteWorkers
from hms_async.runtime.verdicts import RemoteOutcome
from hms_async.storage.server import Server
from hms_async.storage.store import Store
from tests.runtime.support import PATIENCE_S, burst, lose_leases, until, waiting
from tests.servers import Raw

CALLER = "caller-0123456789"


@asynccontextmanager
async def another(url: str) -> AsyncGenerator[RemoteWorkers]:
    """Another process that serves the same queues."""
    async with Store(url) as store, RemoteWorkers.open(store, "api") as workers:
        yield workers


@pytest.fixture
async def oms(oms: AsyncOMSClient) -> AsyncOMSClient:
    await oms.create_queue("q", lease="3s")
    return oms


async def settle(workers: RemoteWorkers, task: Leased, word: Any, **said: Any) -> str:
    told = await workers.settle([RemoteOutcome(id=task.id, token=task.token, word=word, **said)])
    return told[0].answer


async def test_tasks_are_popped_and_settled(oms: AsyncOMSClient) -> None:
    # Jitter may make a short pause one of a millisecond, which is over before it is looked at.
    await oms.create_queue("q", lease="3s", retry=RetryPolicy(base="1h", cap="1h"))
    await oms.enqueue_many("q", [{"n": n} for n in range(5)])
    async with another(oms.url) as workers:
        popped = await workers.pop(["q"], worker="go-1", most=5)
        assert [task.payload for task in popped.tasks] == [{"n": n} for n in range(5)]
        done, failed, error, retry, release = popped.tasks

        assert await settle(workers, done, "done", result={"note": "ok"}) == "ok"
        assert await settle(workers, done, "done", result={"note": "ok"}) == "already"
        assert await settle(workers, failed, "fail", fault=Fault("NotAJpeg", "PNG")) == "ok"
        assert await settle(workers, error, "error", fault=Fault("Timeout", "slow")) == "ok"
        assert await settle(workers, retry, "retry", delay_ms=60_000) == "ok"
        assert await settle(workers, release, "release") == "ok"
        stale = RemoteOutcome(id=release.id, token="other-0-1.1", word="done")  # noqa: S106  # a lease's
        gone = RemoteOutcome(id="unknown", token="other-0-1.1", word="done")  # noqa: S106
        assert [one.answer for one in await workers.settle([stale, gone])] == ["stale", "gone"]

    assert await oms.result(done.id, timeout=1) == {"note": "ok"}
    assert (await oms.get_task(failed.id)).reason == "NotAJpeg: PNG"
    states = [(await oms.get_task(task.id)).state for task in (error, retry, release)]
    assert states == ["retrying", "retrying", "waiting"]
    assert (await oms.get_task(release.id)).attempt == 0
    assert (await oms.get_task(done.id)).worker == "go-1"


async def test_others_queues_are_none_to_a_caller_that_may_not(oms: AsyncOMSClient) -> None:
    await oms.enqueue("q", 1)
    async with another(oms.url) as workers:
        task = (await workers.pop(["q"], worker="go-1")).tasks[0]
        outcome = RemoteOutcome(id=task.id, token=task.token, word="done")

        told = await workers.settle([outcome], may=lambda _: False)
        assert told[0].answer == "gone"
        assert await workers.heartbeat([(task.id, task.token)], may=lambda _: False) == ["lost"]
    assert (await oms.get_task(task.id)).state == "in_progress"


async def test_heartbeats_answer_for_each(oms: AsyncOMSClient) -> None:
    await oms.enqueue_many("q", [1, 2])
    async with another(oms.url) as workers:
        kept, cancelled = (await workers.pop(["q"], worker="go-1", most=2)).tasks
        await oms.cancel(cancelled.id)
        leases = [(kept.id, kept.token), (cancelled.id, cancelled.token), ("unknown", "x-0-1.1")]

        assert await workers.heartbeat(leases) == ["continue", "cancel", "lost"]
        workers.drain()
        assert await workers.heartbeat(leases) == ["drain", "cancel", "lost"]
        assert await workers.pop(["q"], worker="go-1", wait_s=60) == Popped([], drain=True)


async def test_a_pop_waits_and_is_woken(oms: AsyncOMSClient) -> None:
    got: list[Popped] = []

    async def pop(workers: RemoteWorkers) -> None:
        got.append(await workers.pop(["q", "r"], worker="go-1", wait_s=30))

    await oms.create_queue("r")
    async with another(oms.url) as workers, anyio.create_task_group() as group:
        group.start_soon(pop, workers)
        await oms.enqueue("r", 1, delay="200ms")
    assert [task.queue for task in got[0].tasks] == ["r"]


async def test_many_wait_for_little(oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of 200 gets its task, and all of them together wait on one connection."""
    waits = 0
    ask, wait_for_bell = Server.run, Store.wait_for_bell
    exchanges = 0

    async def counted(self: Server, name: str, queue: str, *args: Any) -> Any:
        nonlocal exchanges
        exchanges += name == "exchange"
        return await ask(self, name, queue, *args)

    async def counted_wait(self: Store, *args: Any, **options: Any) -> Any:
        nonlocal waits
        waits += 1
        return await wait_for_bell(self, *args, **options)

    queues = [f"q{n}" for n in range(10)]
    for queue in queues:
        await oms.create_queue(queue)
    taken: list[str] = []

    async def pop(workers: RemoteWorkers, number: int) -> None:
        popped = await workers.pop([queues[number % 10]], worker=f"w{number}", wait_s=50)
        taken.extend(task.id for task in popped.tasks)

    async with another(oms.url) as workers, anyio.create_task_group() as group:
        for number in range(200):
            group.start_soon(pop, workers, number)
        await until(lambda: workers.waiting == 200)
        monkeypatch.setattr(Server, "run", counted)
        monkeypatch.setattr(Store, "wait_for_bell", counted_wait)
        began = anyio.current_time()
        await anyio.sleep(1.5)  # what this is about: how much is asked while nothing comes
        elapsed = anyio.current_time() - began
        assert waits <= 2 + elapsed
        assert exchanges <= 10 * (1 + elapsed)
        for queue in queues:
            await oms.enqueue_many(queue, list(range(20)))
    assert len(taken) == len(set(taken)) == 200


async def test_a_caller_that_is_cancelled_at_any_moment_loses_nothing(oms: AsyncOMSClient) -> None:
    await oms.enqueue_many("q", list(range(20)))
    async with another(oms.url) as workers:
        for moment in range(40):
            popped: Popped | None = None
            with anyio.move_on_after(moment / 4_000):
                popped = await workers.pop(["q"], worker="go-1")
            for task in popped.tasks if popped else ():
                await settle(workers, task, "release")
    stats = await oms.stats("q")
    assert (stats.waiting, stats.in_progress, stats.balanced) == (20, 0, True)
    assert sorted(await waiting(oms), key=str) == sorted(range(20), key=str)


class TestCalls:
    """A caller numbers its calls, and repeats one when the answer was lost."""

    async def test_the_same_number_gets_the_same_tasks(self, oms: AsyncOMSClient) -> None:
        await oms.enqueue_many("q", [1, 2, 3])
        call = Call(CALLER, 0, 1)
        async with another(oms.url) as one, another(oms.url) as two:
            first = await one.pop(["q"], worker="go", most=2, call=call)
            again = await two.pop(["q"], worker="go", most=2, call=call)
            assert [task.token for task in again.tasks] == [task.token for task in first.tasks]

            await settle(one, first.tasks[0], "done")
            third = await two.pop(["q"], worker="go", most=2, call=call)
            assert [task.id for task in third.tasks] == [first.tasks[1].id]

            following = await one.pop(["q"], worker="go", most=2, call=Call(CALLER, 0, 2))
            assert [task.payload for task in following.tasks] == [3]
            with pytest.raises(CallSuperseded):
                await two.pop(["q"], worker="go", call=call)

    async def test_a_call_that_got_nothing_may_get_something_when_repeated(
        self, oms: AsyncOMSClient
    ) -> None:
        call = Call(CALLER, 0, 1)
        async with another(oms.url) as one, another(oms.url) as two:
            assert (await one.pop(["q"], worker="go", call=call)).tasks == []
            await oms.enqueue("q", 1)
            first = await two.pop(["q"], worker="go", call=call)
            again = await one.pop(["q"], worker="go", call=call)
            assert [task.token for task in again.tasks] == [task.token for task in first.tasks]

    async def test_repeated_while_the_first_still_waits_it_claims_once(
        self, oms: AsyncOMSClient
    ) -> None:
        call = Call(CALLER, 0, 1)
        got: list[Leased] = []

        async def pop(workers: RemoteWorkers) -> None:
            try:
                popped = await workers.pop(["q"], worker="go", wait_s=20, call=call)
            except CallSuperseded:
                return
            got.extend(popped.tasks)

        async with (
            another(oms.url) as one,
            another(oms.url) as two,
            anyio.create_task_group() as group,
        ):
            group.start_soon(pop, one)
            await until(lambda: one.waiting == 1)
            group.start_soon(pop, two)
            await until(lambda: two.waiting == 1)
            await oms.enqueue_many("q", [1, 2])
        assert {task.payload for task in got} == {1}
        assert (await oms.stats("q")).in_progress == 1

    async def test_several_queues_in_one_call(self, oms: AsyncOMSClient) -> None:
        await oms.create_queue("r")
        call = Call(CALLER, 3, 1)
        await oms.enqueue("r", 1)
        async with another(oms.url) as one, another(oms.url) as two:
            first = await one.pop(["q", "r"], worker="go", most=2, call=call)
            await oms.enqueue("q", 2)
            again = await two.pop(["q", "r"], worker="go", most=2, call=call)
        assert [task.queue for task in first.tasks] == ["r"]
        assert [task.token for task in again.tasks] == [task.token for task in first.tasks]
        assert (await oms.stats("q")).waiting == 1

    @pytest.mark.parametrize(
        "parts", [("short", 0, 1), (CALLER, -1, 1), (CALLER, 0, 0), ("no spaces in here", 0, 1)]
    )
    def test_a_number_that_makes_no_sense(self, parts: tuple[str, int, int]) -> None:
        with pytest.raises(ConfigInvalid):
            Call(*parts)


async def test_an_envelope_that_cannot_be_read_fails_alone(oms: AsyncOMSClient) -> None:
    bad = await oms.enqueue("q", 1)
    await oms.enqueue("q", 2)
    async with Store(oms.url) as store:
        await store.ask("SET", f"task:{bad.id}", "{broken")
    async with another(oms.url) as workers:
        popped = await workers.pop(["q"], worker="go-1")
    assert [task.payload for task in popped.tasks] == [2]
    record = await oms.get_task(bad.id)
    assert (record.state, record.reason.partition(":")[0]) == ("failed", "EnvelopeInvalid")


async def test_a_worker_holds_one_suspect_at_a_time(oms: AsyncOMSClient) -> None:
    await oms.create_queue("q", lease="3s", max_crashes=2)
    ids = [(await oms.enqueue("q", n)).id for n in range(2)]
    async with Store(oms.url) as store:
        for task_id in ids:
            await store.ask("HSET", f"task:{task_id}:run", "crashes", 1, "lane", "suspects")
            await store.ask("RPUSH", "queue:q:suspects", task_id)
        await store.ask("DEL", "queue:q")
    async with another(oms.url) as workers:
        first = await workers.pop(["q"], worker="go-1", most=5)
        assert len(first.tasks) == 1
        assert (await workers.pop(["q"], worker="go-1", most=5)).tasks == []
        assert len((await workers.pop(["q"], worker="go-2", most=5)).tasks) == 1
        await settle(workers, first.tasks[0], "release")


async def test_workers_over_rest_are_listed(oms: AsyncOMSClient) -> None:
    async with another(oms.url) as workers:
        await workers.pop(["q"], worker="go-1")
        cards = await oms.workers()
        while not cards:  # written by nobody who is waited for
            await anyio.sleep(0.01)
            cards = await oms.workers()
    assert [(card.name, card.via, card.queues) for card in cards] == [("go-1", "rest", ("q",))]


async def test_native_workers_take_from_the_same_queue(oms: AsyncOMSClient) -> None:
    await oms.enqueue_many("q", list(range(10)))
    async with another(oms.url) as workers:
        popped = await workers.pop(["q"], worker="go-1", most=4)
        await burst(oms.url, lambda _: None)
        for task in popped.tasks:
            await settle(workers, task, "done")
    stats = await oms.stats("q")
    assert (stats.done, stats.balanced) == (10, True)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"queues": []}, ConfigInvalid),
        ({"queues": ["no spaces"]}, NameInvalid),
        ({"queues": ["nowhere"]}, QueueNotFound),
        ({"most": 0}, ConfigInvalid),
        ({"most": 251}, ConfigInvalid),
        ({"worker": "no spaces"}, NameInvalid),
        ({"lease_ms": 10}, ConfigInvalid),
    ],
)
async def test_what_makes_no_sense_is_refused(
    oms: AsyncOMSClient, said: dict[str, Any], error: type[Exception]
) -> None:
    async with another(oms.url) as workers:
        given: dict[str, Any] = {"queues": ["q"], "worker": "go-1"}
        with pytest.raises(error):
            await workers.pop(**(given | said))


async def test_nobody_waits_for_what_cannot_be_read(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller that is cancelled meanwhile would lose the tasks beside it."""

    async def never(*_: Any, **__: Any) -> None:
        await anyio.sleep_forever()

    bad = await oms.enqueue("q", 1)
    await oms.enqueue("q", 2)
    async with Store(oms.url) as store:
        await store.ask("SET", f"task:{bad.id}", "{broken")
    async with another(oms.url) as workers:
        monkeypatch.setattr(Claims, "settle", never)
        with anyio.fail_after(PATIENCE_S):
            popped = await workers.pop(["q"], worker="go-1", most=2)
    assert [task.payload for task in popped.tasks] == [2]


async def test_r13_who_is_woken_and_let_go_at_once_passes_it_on(
    oms: AsyncOMSClient, raw: Raw
) -> None:
    async with another(oms.url) as workers, anyio.create_task_group() as group:
        group.start_soon(lambda: workers.pop(["q"], worker="go-1", wait_s=30))
        await until(lambda: workers.waiting == 1)
        workers._doorbell.pass_on("q")  # pyright: ignore[reportPrivateUsage]
        workers.drain()
        await until(lambda: bool(raw("LLEN", "queue:q:bell")))


async def test_r13_who_is_woken_and_cancelled_at_once_passes_it_on(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any moment: nobody looks by itself, so a token that is lost would leave the task there."""
    monkeypatch.setattr(doorbell, "LOOK_EVERY_S", 3_600.0)
    got: list[Leased] = []

    async def patient(workers: RemoteWorkers) -> None:
        got.extend((await workers.pop(["q"], worker="patient", wait_s=60)).tasks)

    async def hasty(workers: RemoteWorkers, scope: anyio.CancelScope) -> None:
        popped = Popped([])
        with scope:
            popped = await workers.pop(["q"], worker="hasty", wait_s=60)
        if popped.tasks:
            got.extend(popped.tasks)
            await oms.enqueue("q", "for the other")

    async with another(oms.url) as workers:
        for moment in range(25):
            scope = anyio.CancelScope()
            async with anyio.create_task_group() as group:
                group.start_soon(hasty, workers, scope)
                await until(lambda: workers.waiting == 1)
                group.start_soon(patient, workers)
                await until(lambda: workers.waiting == 2)
                group.start_soon(oms.enqueue, "q", moment)
                await anyio.sleep(moment / 4_000)  # any moment will do
                scope.cancel()
            for task in got:
                await settle(workers, task, "done")
            got.clear()
    stats = await oms.stats("q")
    assert (stats.open, stats.balanced) == (0, True)


async def test_a_batch_settles_each_by_itself(oms: AsyncOMSClient) -> None:
    """Every word and every answer, of two queues, in one call."""
    await oms.create_queue("r", max_payload_bytes=100)
    await oms.enqueue_many("q", list(range(6)))
    await oms.enqueue_many("r", list(range(2)))
    async with another(oms.url) as workers:
        tasks = (await workers.pop(["q"], worker="go-1", most=6)).tasks
        tasks += (await workers.pop(["r"], worker="go-2", most=2)).tasks
        await settle(workers, tasks[5], "done")

        def say(number: int, word: Any, **said: Any) -> RemoteOutcome:
            task = tasks[number]
            given: dict[str, Any] = {"id": task.id, "token": task.token, "word": word}
            return RemoteOutcome(**(given | said))

        told = await workers.settle(
            [
                say(0, "done", result=1),
                say(6, "done", result="x" * 200),
                say(1, "fail", fault=Fault("Bad", "bad")),
                RemoteOutcome(id="unknown", token="x", word="done"),  # noqa: S106  # a lease's
                say(2, "error"),
                say(3, "retry", delay_ms=1_000),
                say(7, "release"),
                say(4, "done", token="other-0-1.1"),  # noqa: S106  # a lease's
                say(5, "done"),
                say(0, "done", result=1),
                say(1, "done", result=object()),
            ]
        )
    assert [one.id for one in told][0:2] == [tasks[0].id, tasks[6].id]
    assert [(one.answer, one.state) for one in told] == [
        ("ok", "done"),
        ("ok", "failed"),
        ("ok", "failed"),
        ("gone", ""),
        ("ok", "retrying"),
        ("ok", "retrying"),
        ("ok", "waiting"),
        ("stale", "in_progress"),
        ("already", "done"),
        ("already", "done"),
        ("already", "failed"),
    ]
    assert (await oms.get_task(tasks[6].id)).state == "failed"


async def test_a_queue_that_cannot_be_settled_leaves_the_others_alone(
    oms: AsyncOMSClient, raw: Raw
) -> None:
    await oms.create_queue("r")
    await oms.enqueue("q", 1)
    await oms.enqueue("r", 1)
    async with another(oms.url) as workers:
        tasks = [(await workers.pop([queue], worker="go-1")).tasks[0] for queue in ("q", "r")]
        raw("DEL", "queue:r:inflight")
        raw("SET", "queue:r:inflight", "a foreign hand's")
        outcomes = [RemoteOutcome(id=task.id, token=task.token, word="done") for task in tasks]
        fine, broken = await workers.settle(outcomes)
        assert (fine.answer, broken.answer) == ("ok", "error")
        assert isinstance(broken.error, StoreProtocol)
        raw("DEL", "queue:r:inflight")
        assert [one.answer for one in await workers.settle(outcomes)] == ["already", "ok"]


async def test_too_much_for_one_call_is_refused_before_anything_is_done(
    oms: AsyncOMSClient,
) -> None:
    await oms.enqueue("q", 1)
    async with another(oms.url) as workers:
        task = (await workers.pop(["q"], worker="go-1")).tasks[0]
        outcome = RemoteOutcome(id=task.id, token=task.token, word="done")
        with pytest.raises(ConfigInvalid, match="251 tasks"):
            await workers.settle([outcome] * 251)
        with pytest.raises(ConfigInvalid, match="251 tasks"):
            await workers.heartbeat([(task.id, task.token)] * 251)
        assert await workers.settle([]) == []
        assert await workers.heartbeat([]) == []
    assert (await oms.get_task(task.id)).state == "in_progress"


async def test_a_suspect_is_its_workers_until_its_lease_ends_or_it_is_settled(
    oms: AsyncOMSClient, raw: Raw
) -> None:
    """R15, over several calls: its heartbeats keep the next one away, its outcome lets it come."""
    await oms.create_queue("q", lease="3s", max_crashes=3)
    for number in range(3):
        task_id = (await oms.enqueue("q", number)).id
        raw("HSET", f"task:{task_id}:run", "crashes", 2)
    async with another(oms.url) as workers:
        (first,) = (await workers.pop(["q"], worker="go-1", most=3)).tasks
        assert await workers.heartbeat([(first.id, first.token)], worker="go-1") == ["continue"]
        assert (await workers.pop(["q"], worker="go-1", most=3)).tasks == []
        await settle(workers, first, "done")
        (second,) = (await workers.pop(["q"], worker="go-1", most=3)).tasks
        await lose_leases(oms)
        assert await workers.heartbeat([(second.id, second.token)]) == ["lost"]
        assert len((await workers.pop(["q"], worker="go-1", most=3)).tasks) == 1


async def test_of_two_calls_of_a_worker_at_once_one_may_have_a_suspect(
    oms: AsyncOMSClient, raw: Raw
) -> None:
    await oms.create_queue("q", lease="3s", max_crashes=3)
    for number in range(4):
        task_id = (await oms.enqueue("q", number)).id
        raw("HSET", f"task:{task_id}:run", "crashes", 2)
    got: list[Leased] = []

    async def pop(workers: RemoteWorkers) -> None:
        got.extend((await workers.pop(["q"], worker="go-1")).tasks)

    async with another(oms.url) as workers, anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(pop, workers)
    assert len(got) == 1


async def test_of_very_many_workers_the_longest_unheard_are_forgotten(
    monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    monkeypatch.setattr(guests, "MOST_GUESTS", 3)
    async with anyio.create_task_group() as group:
        known = guests.Guests(store, group)
        for number in range(5):
            known.seen(f"w{number}", ["q"])
            known.took("w0", "a-0-1.1", 60_000)
        with known.asking("w0") as may:
            assert not may
        assert len(known) == 3
    cards = await store.workers()
    assert {card.name for card in cards} == {f"w{number}" for number in range(5)}
    assert {card.queues for card in cards} == {("q",)}
