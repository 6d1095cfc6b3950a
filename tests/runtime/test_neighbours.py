"""What is wrong with one queue, one setting or one task does not reach the others."""

import queue
from collections.abc import Callable, Sequence
from typing import Any, cast

import anyio
import pytest
from structlog.testing import capture_logs

from hms_async import (
    AsyncOMSClient,
    AsyncWorker,
    QueueNotFound,
    StoreProtocol,
    Supervisor,
    Task,
    TaskState,
    handler,
)
from hms_async.runtime import carrier, heartbeat, sweeps
from hms_async.runtime.heartbeat import Heartbeat
from hms_async.runtime.leases import Held
from hms_async.runtime.loop import ExchangeLoop
from hms_async.runtime.slots import Slots
from hms_async.runtime.task import Attempt
from hms_async.storage.replies import Claim, Exchanged, Extended
from hms_async.storage.store import Store
from hms_async.testing import ManualClock
from tests.runtime.support import PATIENCE_S, burst, worker
from tests.servers import Raw


async def echo(task: Task[Any]) -> object:
    return task.payload


class Renewals:
    """Stands for the renewer: notes each renewal, and refuses those of broken queues."""

    def __init__(self, *broken: str) -> None:
        self._broken = broken
        self._noted = queue.SimpleQueue[str]()

    def extend(self, name: str, _leases: Sequence[tuple[str, str]]) -> Extended:
        self._noted.put(name)
        if name in self._broken:
            raise StoreProtocol("WRONGTYPE")
        return Extended(frozenset(), frozenset())

    def close(self) -> None: ...

    async def next(self) -> str:
        """Wait for the next renewal; returns its queue."""
        return await anyio.to_thread.run_sync(lambda: self._noted.get(timeout=PATIENCE_S))


def held_in(*queues: str) -> Held:
    """A lease in each of these queues."""
    held = Held()
    for name in queues:
        claim = Claim(name, f"token-{name}", 1, 0, 0, None, 0, b"{}")
        held.add(Attempt(claim, name, server_ms=0, max_result_bytes=100))
    return held


def break_queue(raw: Raw, name: str) -> None:
    """Put something of a wrong type where a queue has its leases."""
    raw("DEL", f"queue:{name}:inflight")
    raw("SET", f"queue:{name}:inflight", "not ours")


async def test_a_broken_queue_does_not_keep_a_sweep_from_the_others(
    store: Store, raw: Raw, clock: ManualClock
) -> None:
    async with AsyncOMSClient(store=store) as oms:
        for name in ("a", "b", "c"):
            await oms.create_queue(name, lease="3s")
            await oms.enqueue(name, 1)
            await oms.pop_task(name, timeout=0)
            raw.watch(name, clock() + 10_000)
        break_queue(raw, "b")
        clock.advance("10s")
        supervisor = Supervisor(store=store)
        with capture_logs() as logs:
            first = await supervisor.check_sla()
            second = await supervisor.check_sla()
        raw("DEL", "queue:b:inflight")
        mended = await supervisor.check_sla()
        break_queue(raw, "b")
        with capture_logs() as again:
            await supervisor.check_sla()

    assert sorted(task.queue for task in first.rescued) == ["a", "c"]
    assert [list(report.broken) for report in (first, second, mended)] == [["b"], ["b"], []]
    assert isinstance(first.broken["b"], StoreProtocol)
    for told in (logs, again):
        broken = [one for one in told if one["event"] == "supervisor.queue_broken"]
        assert [(one["queue"], one["step"]) for one in broken] == [("b", "sweep")]


async def test_a_broken_queue_does_not_keep_a_tidying_from_the_others(
    store: Store, raw: Raw, clock: ManualClock
) -> None:
    async with AsyncOMSClient(store=store) as oms:
        for name in ("a", "b"):
            await oms.create_queue(name, keep_done="1s")
            await oms.cancel((await oms.enqueue(name, 1)).id)
        break_queue(raw, "a")
        clock.advance("1h")
        report = await sweeps.tidy(store, ["a", "nowhere", "b"])

    assert (report.pruned, list(report.broken)) == (1, ["a"])


async def test_what_is_no_text_among_the_names_of_queues_does_not_end_a_sweep(
    store: Store, raw: Raw, clock: ManualClock
) -> None:
    async with AsyncOMSClient(store=store) as oms:
        await oms.create_queue("q", lease="3s")
        await oms.enqueue("q", 1)
        await oms.pop_task("q", timeout=0)
    raw("SADD", "queues", b"\xff")
    raw.watch("q", clock.advance("10s"))

    assert len((await Supervisor(store=store).check_sla()).rescued) == 1


def beating(renewals: Any, held: Held, lease_s: Callable[[], float]) -> Heartbeat:
    slots = Slots(0, cast("Any", None))
    return Heartbeat(renewals, held, slots, lease_s=lease_s, worker_id="w", stall_limit_s=60)


async def test_the_leases_of_one_queue_are_renewed_though_another_is_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heartbeat, "_PULSE_S", 0.005)
    renewals, seen = Renewals("broken"), list[str]()
    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            group.start_soon(beating(renewals, held_in("broken", "sound"), lambda: 0.03).run)
            seen += [await renewals.next() for _ in range(4)]
            group.cancel_scope.cancel()

    assert seen == ["broken", "sound"] * 2
    failed = [one for one in logs if one["event"] == "heartbeat.failed"]
    assert {one["queue"] for one in failed} == {"broken"}


async def test_the_heartbeat_asks_for_its_pause_at_each_pulse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heartbeat, "_PULSE_S", 0.005)
    renewals, leases_s = Renewals(), [3_600.0]
    async with anyio.create_task_group() as group:
        group.start_soon(beating(renewals, held_in("q"), lambda: leases_s[-1]).run)
        await renewals.next()
        leases_s.append(0.03)
        await renewals.next()
        group.cancel_scope.cancel()


async def test_a_lease_that_was_lowered_unnoticed_is_renewed_for_as_long_as_the_pause_needs(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an exchange a worker does not learn of it, so its pause is that of the old lease."""
    begun, go_on = anyio.Event(), anyio.Event()

    async def handle(_task: Task[Any]) -> None:
        begun.set()
        await go_on.wait()

    def quickly(_: ExchangeLoop) -> float:
        return 0.03

    monkeypatch.setattr(heartbeat, "_PULSE_S", 0.005)
    monkeypatch.setattr(ExchangeLoop, "shortest_lease_s", quickly)
    await oms.create_queue("q", lease="10m")
    enqueued = await oms.enqueue("q", 1)
    async with worker(oms.url, handle, concurrency=1):
        await begun.wait()
        await oms.create_queue("q", lease="3s")
        seen = [0]
        with anyio.fail_after(PATIENCE_S):
            while len(seen) < 4:
                expires_ms = (await oms.get_task(enqueued.id)).lease_expires_ms or 0
                seen += [expires_ms] if expires_ms != seen[-1] else []
        left_ms = seen[-1] - (await oms.stats("q")).now_ms
        go_on.set()

    assert left_ms > 500_000


async def test_a_ladder_of_a_newer_release_is_read_and_worked_by(
    oms: AsyncOMSClient, raw: Raw
) -> None:
    await oms.create_queue("q", sla="2h")
    async with worker(oms.url, echo):
        raw("HSET", "queue:q:config", "ladder", '[[80,0,"warn","bump"]]', "version", "2")
        first = await oms.enqueue("q", 1)
        assert await oms.result(first.id, timeout=PATIENCE_S) == 1
        second = await oms.enqueue("q", 2)
        assert await oms.result(second.id, timeout=PATIENCE_S) == 2

    ladder = (await oms.get_queue("q")).settings.ladder
    assert [(rung.percent, rung.plus_ms, rung.name) for rung in ladder] == [(80, 0, "warn")]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_depth", "many"),
        ("lease_ms", ""),
        ("ladder", "{broken"),
        ("ladder", "[1]"),
        ("ladder", '[[80,"warn"]]'),
    ],
)
async def test_settings_that_cannot_be_read_are_said_so_and_end_no_worker(
    oms: AsyncOMSClient, raw: Raw, monkeypatch: pytest.MonkeyPatch, field: str, value: str
) -> None:
    monkeypatch.setattr(carrier, "_FAULT_REST_S", 0.005)
    await oms.create_queue("q", sla="2h")
    fine = raw.fields("queue:q:config")[field]
    async with worker(oms.url, echo, supervise=False):
        raw("HSET", "queue:q:config", field, value, "version", "2")
        with pytest.raises(StoreProtocol, match='settings of queue "q" cannot be read'):
            await oms.get_queue("q")
        raw("RPUSH", "queue:q", b'{"id":"first","payload":1}')
        raw("RPUSH", "queue:q:bell", "1")
        raw("HSET", "queue:q:config", field, fine, "version", "3")
        second = await oms.enqueue("q", 2)
        assert await oms.result(second.id, timeout=PATIENCE_S) == 2
        assert await oms.result("first", timeout=PATIENCE_S) == 1


@pytest.mark.parametrize("store_url", ["valkey"], indirect=True)
async def test_a_correlation_id_that_is_no_text_is_rescued_and_its_promise_kept(
    store: Store, raw: Raw, clock: ManualClock
) -> None:
    async with AsyncOMSClient(store=store) as oms:
        await oms.create_queue("q", sla="10s", lease="3s")
        raw("RPUSH", "queue:q", b'{"id":"t1","correlation_id":"\xff\xfe","payload":1}')
        await store.exchange("q", worker="w", incarnation="a", lane=0, seq=1, want=1)
        raw.watch("q", clock.advance("9s"))
        report = await Supervisor(store=store).check_sla()
        state = (await oms.get_task("t1")).state

    assert [(one.id, one.correlation_id) for one in report.rescued] == [("t1", "\ufffd\ufffd")]
    assert [(one.name, one.correlation_id) for one in report.rungs] == [("warn", "\ufffd\ufffd")]
    assert state is TaskState.WAITING


async def test_a_burst_ends_when_its_queue_is_removed(oms: AsyncOMSClient, raw: Raw) -> None:
    async def handle(_task: Task[Any]) -> None:
        raw("DEL", "queue:q:config")

    await oms.create_queue("q")
    await oms.enqueue_many("q", [1, 2])
    with capture_logs() as logs:
        await burst(oms.url, handle, concurrency=1)

    gone = [one for one in logs if one["event"] == "queue.gone"]
    assert [one["queue"] for one in gone] == ["q"]


async def test_a_burst_leaves_a_broken_queue_when_the_others_are_done(
    oms: AsyncOMSClient, raw: Raw
) -> None:
    @handler(queue="bad")
    async def bad(_task: Task[Any]) -> None: ...

    @handler(queue="good")
    async def good(_task: Task[Any]) -> None: ...

    for name in ("bad", "good"):
        await oms.create_queue(name)
        await oms.enqueue_many(name, list(range(5)))
    break_queue(raw, "bad")
    one = AsyncWorker(handlers=[bad, good], concurrency=2, url=oms.url)
    with (
        capture_logs() as logs,
        anyio.fail_after(PATIENCE_S),
        pytest.raises(StoreProtocol, match='queue "bad" was left'),
    ):
        await one.run(burst=True)

    assert (await oms.stats("good")).done == 5
    assert [one["queue"] for one in logs if one["event"] == "queue.left"] == ["bad"]


async def test_a_burst_goes_on_with_a_queue_that_refuses_one_outcome_only(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, refused = Store.exchange, list[str]()

    async def exchange(self: Store, *args: Any, **options: Any) -> Exchanged | None:
        settles = [one.id for one in options.get("settles", ())]
        if "bad" in settles:
            refused.append("bad")
            raise StoreProtocol("not this one")
        return await original(self, *args, **options)

    monkeypatch.setattr(carrier, "_FAULT_REST_S", 0.005)
    monkeypatch.setattr(Store, "exchange", exchange)
    await oms.create_queue("q")
    await oms.enqueue("q", 0, id="bad")
    await oms.enqueue_many("q", list(range(20)))
    await burst(oms.url, echo, concurrency=1)

    assert refused
    assert (await oms.stats("q")).done == 20


async def test_a_worker_says_once_that_its_queue_is_gone_and_goes_on_when_it_is_back(
    oms: AsyncOMSClient, raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals, thrice = 0, anyio.Event()
    original = Store.exchange

    async def exchange(self: Store, *args: Any, **options: Any) -> Exchanged | None:
        nonlocal refusals
        try:
            return await original(self, *args, **options)
        except QueueNotFound:
            refusals += 1
            if refusals == 3:
                thrice.set()
            raise

    monkeypatch.setattr(carrier, "_FAULT_REST_S", 0.005)
    monkeypatch.setattr(Store, "exchange", exchange)
    await oms.create_queue("q")
    with capture_logs() as logs:
        async with worker(oms.url, echo):
            raw("DEL", "queue:q:config")
            raw("RPUSH", "queue:q:bell", "1")
            with anyio.fail_after(PATIENCE_S):
                await thrice.wait()
            await oms.create_queue("q")
            back = await oms.enqueue("q", "back")
            assert await oms.result(back.id, timeout=PATIENCE_S) == "back"

    assert [one["event"] for one in logs].count("queue.gone") == 1


async def test_a_body_of_a_wrong_type_does_not_hide_the_other_tasks(
    oms: AsyncOMSClient, raw: Raw
) -> None:
    await oms.create_queue("q")
    ids = [one.id for one in await oms.enqueue_many("q", [1, 2, 3])]
    raw("DEL", f"task:{ids[1]}")
    raw("RPUSH", f"task:{ids[1]}", "not ours")

    tasks = (await oms.list_tasks("q", TaskState.WAITING)).tasks

    assert [task.id for task in tasks] == ids
    assert [task.payload for task in tasks] == [1, None, 3]
    assert (await oms.get_task(ids[1])).payload is None
