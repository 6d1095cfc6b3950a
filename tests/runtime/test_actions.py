"""What a promise asks for of the outside, carried out by supervisors."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Literal

import anyio
import anyio.lowlevel
import pytest
from structlog.testing import capture_logs

from hms_async import (
    AsyncOMSClient,
    ConfigInvalid,
    Escalation,
    Forecast,
    IncidentNotFound,
    MessageNotFound,
    QueueNotFound,
    ReceiverFailed,
    Supervisor,
    TaskNotFound,
    TaskState,
    WrongState,
    verify_webhook,
)
from hms_async.domain.duration import ms_to_instant
from hms_async.runtime import sweeps
from hms_async.runtime.actions import MOST_TRIES, Actions, Call, pause_ms
from hms_async.storage.store import Store
from hms_async.testing import ManualClock
from tests.runtime.receiver import Receiver
from tests.runtime.support import PATIENCE_S

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  # of the published examples


@pytest.fixture
async def oms(store: Store) -> Any:
    """A client whose time is turned by hand."""
    async with AsyncOMSClient(store=store) as client:
        yield client


async def _round(store: Store, calls: Mapping[str, Call] | None = None) -> None:
    """What a running supervisor does in a second."""
    report = await Supervisor(store=store).check_sla()
    for queue in report.to_do:
        await Actions(store, calls or {}).carry_out(queue)


def _said(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(body) for _, _, body in receiver.heard]


async def test_a_rung_is_told_to_a_real_receiver_who_can_believe_it(
    oms: AsyncOMSClient, store: Store, clock: ManualClock, receiver: Receiver
) -> None:
    await oms.create_queue(
        "q",
        sla="2h",
        ladder=["80% warn,webhook"],
        webhook=receiver.url("/200"),
        webhook_secret=SECRET,
    )
    task = await oms.enqueue("q", 1, correlation_id="REQ-1")
    clock.advance("96m")

    await _round(store)
    await _round(store)

    ((_, headers, body),) = receiver.heard
    assert verify_webhook(SECRET, headers, body) == f"{task.id}:warn:webhook:{clock()}"
    said = json.loads(body)
    assert said == {
        "id": f"{task.id}:warn:webhook:{clock()}",
        "type": "sla.warn",
        "queue": "q",
        "severity": "warning",
        "made_ms": clock(),
        "task_id": task.id,
        "correlation_id": "REQ-1",
        "percent": 80.0,
        "late_by_ms": 0,
        "arrived_ms": clock() - 5_760_000,
        "due_ms": clock() + 1_440_000,
    }


async def test_a_hundred_late_tasks_are_one_message_and_one_more_when_all_is_well(
    oms: AsyncOMSClient, store: Store, clock: ManualClock, receiver: Receiver
) -> None:
    await oms.create_queue("q", sla="1m", webhook=receiver.url("/200"), webhook_secret=SECRET)
    await oms.enqueue_many("q", range(100))
    clock.advance("61s")
    await _round(store)
    await _round(store)
    for task in (await oms.list_tasks("q", TaskState.WAITING, limit=100)).tasks:
        await oms.cancel(task.id)
    for _ in range(3):
        await _round(store)
        clock.advance("1m")

    assert [(said["type"], said["severity"]) for said in _said(receiver)] == [
        ("incident.opened", "error"),
        ("incident.resolved", "error"),
    ]
    promise = await oms.sla.status("q")
    assert [incident.count for incident in promise.incidents] == [100]


async def test_a_receiver_that_fails_hears_the_same_message_again_later(
    oms: AsyncOMSClient, store: Store, clock: ManualClock, receiver: Receiver
) -> None:
    url = receiver.url("/503/30")
    await oms.create_queue(
        "q", sla="1m", ladder=["50% note,webhook"], webhook=url, webhook_secret=SECRET
    )
    await oms.enqueue("q", 1)
    clock.advance("30s")
    await _round(store)
    clock.advance("29s")
    await _round(store)
    assert len(receiver.heard) == 1

    clock.advance("1s")  # as `Retry-After` said
    await oms.create_queue(
        "q",
        sla="1m",
        ladder=["50% note,webhook"],
        webhook=receiver.url("/204"),
        webhook_secret=SECRET,
    )
    await _round(store)
    clock.advance("1h")
    await _round(store)

    assert len(receiver.heard) == 2
    assert len({headers["webhook-id"] for _, headers, _ in receiver.heard}) == 1


async def test_what_no_receiver_takes_is_kept_and_can_be_sent_again(
    oms: AsyncOMSClient, store: Store, clock: ManualClock, receiver: Receiver
) -> None:
    settings: dict[str, Any] = {"sla": "1m", "ladder": ["50% note,webhook"]}
    await oms.create_queue("q", **settings, webhook=receiver.url("/404"), webhook_secret=SECRET)
    await oms.enqueue("q", 1)
    clock.advance("30s")
    with capture_logs() as logs:
        await _round(store)

    (dead,) = await oms.sla.undelivered("q")
    assert (dead.kind, dead.tries, dead.said.type) == ("webhook", 1, "sla.note")
    assert "answered 404" in dead.error
    assert [entry["event"] for entry in logs] == ["sla.milestone", "action.given_up"]
    (incident,) = (await oms.sla.status("q")).incidents
    assert (incident.kind, incident.open) == ("delivery", True)

    await oms.create_queue("q", **settings, webhook=receiver.url("/200"), webhook_secret=SECRET)
    assert await oms.sla.send_again("q", dead.said.id)
    assert not await oms.sla.send_again("q", dead.said.id)
    await _round(store)
    assert len(receiver.heard) == 2
    assert await oms.sla.undelivered("q") == []


async def test_what_no_receiver_takes_can_be_dropped(
    oms: AsyncOMSClient, store: Store, clock: ManualClock, receiver: Receiver
) -> None:
    url = receiver.url("/404")
    await oms.create_queue(
        "q", sla="1m", ladder=["50% note,webhook"], webhook=url, webhook_secret=SECRET
    )
    await oms.enqueue("q", 1)
    clock.advance("30s")
    await _round(store)
    (dead,) = await oms.sla.undelivered("q")

    assert await oms.sla.drop("q", dead.said.id)

    assert not await oms.sla.drop("q", dead.said.id)
    for _ in range(2):
        await _round(store)
        clock.advance("1m")
    await _round(store)
    kinds = {one.kind: one.open for one in (await oms.sla.status("q")).incidents}
    assert kinds["delivery"] is False


@pytest.mark.parametrize("act", ["again", "drop"])
async def test_some_or_all_of_what_no_receiver_took_is_dealt_with(
    oms: AsyncOMSClient,
    store: Store,
    clock: ManualClock,
    receiver: Receiver,
    act: Literal["again", "drop"],
) -> None:
    url = receiver.url("/404")
    ladder = ["50% note,webhook"]
    await oms.create_queue("q", sla="1m", ladder=ladder, webhook=url, webhook_secret=SECRET)
    for name in ("t1", "t2", "t3"):
        await oms.enqueue("q", 1, id=name)
        clock.advance("30s")
        await _round(store)
    third, second, first = [one.said.id for one in await oms.sla.undelivered("q")]
    assert [one.said.id for one in await oms.sla.undelivered("q", limit=1)] == [third]
    some = await oms.sla.undelivered("q", ids=[first, third, first], limit=1)
    assert [one.said.id for one in some] == [first, third]

    with pytest.raises(MessageNotFound, match='no undelivered message "nobody"') as missing:
        await oms.sla.act_on_undelivered("q", act, [first, "nobody"])
    assert (missing.value.queue, missing.value.message_id) == ("q", "nobody")
    assert len(await oms.sla.undelivered("q")) == 3
    assert await oms.sla.act_on_undelivered("q", act, []) == []

    done = await oms.sla.act_on_undelivered("q", act, [second], reason="mended")
    assert [one.said.id for one in done] == [second]
    rest = await oms.sla.act_on_undelivered("q", act)
    assert [one.said.id for one in rest] == [third, first]
    assert await oms.sla.undelivered("q") == []
    assert [one.reason for one in (await oms.audit("q")).entries[:3]] == ["", "", "mended"]


async def test_messages_of_no_queue_are_asked_for_in_vain(oms: AsyncOMSClient) -> None:
    with pytest.raises(QueueNotFound):
        await oms.sla.undelivered("nowhere")
    with pytest.raises(QueueNotFound):
        await oms.sla.act_on_undelivered("nowhere", "drop")
    await oms.create_queue("q")
    with pytest.raises(ConfigInvalid, match="limit=0"):
        await oms.sla.undelivered("q", limit=0)


def test_pauses_between_tries_grow_to_ten_minutes() -> None:
    assert [pause_ms(tries) for tries in (1, 2, 3, 7, 8, MOST_TRIES, 1_000)] == [
        5_000,
        10_000,
        20_000,
        320_000,
        600_000,
        600_000,
        600_000,
    ]


async def test_a_function_of_ours_is_called_and_may_fail_for_a_while(
    oms: AsyncOMSClient, store: Store, clock: ManualClock
) -> None:
    await oms.create_queue("q", sla="1m", ladder=["100% breach,call:wake_up"])
    task = await oms.enqueue("q", 1)
    calls: list[Escalation] = []

    async def wake_up(said: Escalation) -> None:
        calls.append(said)
        if len(calls) < 3:
            raise RuntimeError("nobody is there")

    clock.advance("61s")
    for _number in range(4):
        await _round(store, {"wake_up": wake_up})
        clock.advance("1m")

    assert [(said.task_id, said.late_by_ms, said.severity) for said in calls] == [
        (task.id, 1_000, "error")
    ] * 3
    assert len({said.id for said in calls}) == 1


async def test_a_function_that_this_supervisor_lacks_is_left_to_one_that_has_it(
    oms: AsyncOMSClient, store: Store, clock: ManualClock
) -> None:
    await oms.create_queue("q", sla="1m", ladder=["100% breach,call:wake_up"])
    await oms.enqueue("q", 1)
    calls: list[str] = []

    async def wake_up(said: Escalation) -> None:
        calls.append(said.type)

    clock.advance("1m")
    for _ in range(MOST_TRIES):
        await _round(store)
        clock.advance("1s")
    await _round(store, {"wake_up": wake_up})

    assert calls == ["sla.breach"]
    assert (await oms.stats("q")).to_do == 0


async def test_a_function_that_no_supervisor_has_is_missed_after_a_minute(
    oms: AsyncOMSClient, store: Store, clock: ManualClock
) -> None:
    await oms.create_queue("q", sla="1m", ladder=["100% breach,call:wake_up"])
    await oms.enqueue("q", 1)
    clock.advance("1m")
    await _round(store)
    clock.advance("1m")
    with capture_logs() as logs:
        await _round(store)

    assert "has no function 'wake_up'" in logs[-1]["error"]


def test_two_functions_of_one_name_are_refused() -> None:
    async def one(_: Escalation) -> None: ...

    async def two(_: Escalation) -> None: ...

    act = Supervisor("memory://", actions={"call": one})
    with pytest.raises(ConfigInvalid, match="two functions for the action 'call'"):
        act.action("call")(two)


def test_a_name_that_no_rung_can_say_is_refused() -> None:
    async def one(_: Escalation) -> None: ...

    with pytest.raises(ConfigInvalid, match="no rung can say call:wake-up"):
        Supervisor("memory://", actions={"wake-up": one})


async def test_a_queue_that_would_move_its_tasks_to_itself_is_refused(oms: AsyncOMSClient) -> None:
    with pytest.raises(ConfigInvalid, match='moves tasks to "q" itself'):
        await oms.create_queue("q", sla="1m", ladder=["100% breach,reroute:q"])


async def test_a_rerouted_task_is_done_elsewhere(
    oms: AsyncOMSClient, store: Store, clock: ManualClock
) -> None:
    await oms.create_queue("q", sla="1m", ladder=["100% breach,reroute:desk"])
    await oms.create_queue("desk")
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    task = await oms.enqueue("q", {"name": "Sam"}, correlation_id="REQ-1", traceparent=parent)
    clock.advance("1m")
    await _round(store)

    record = await oms.get_task(task.id)
    assert (record.state, record.moved_to) == (TaskState.CANCELLED, "desk")
    (moved,) = (await oms.list_tasks("desk", TaskState.WAITING)).tasks
    assert (moved.payload, moved.correlation_id) == ({"name": "Sam"}, "REQ-1")
    assert moved.traceparent == parent


async def test_a_task_of_the_longest_id_can_be_rerouted_again_and_again(
    oms: AsyncOMSClient, store: Store, clock: ManualClock
) -> None:
    await oms.create_queue("q", sla="1m", ladder=["100% breach,reroute:desk"])
    await oms.create_queue("desk")
    task = await oms.enqueue("q", 1, id="x" * 8 + "." * 120, priority="high")
    for number in (1, 2):
        clock.advance("1m")
        await _round(store)
        moved = (await oms.list_tasks("desk", TaskState.WAITING)).tasks
        assert [one.priority for one in moved] == ["high"] * number
        await oms.requeue(task.id, reset_clock=True)


async def test_a_task_whose_desk_refuses_it_is_back_in_its_queue(
    oms: AsyncOMSClient, store: Store, clock: ManualClock
) -> None:
    await oms.create_queue("q", sla="1m", ladder=["100% breach,reroute:desk"])
    task = await oms.enqueue("q", 1)
    clock.advance("1m")
    await _round(store)

    assert (await oms.get_task(task.id)).state is TaskState.WAITING
    (dead,) = await oms.sla.undelivered("q")
    assert "queue desk refused it (there is no such queue)" in dead.error
    assert (await oms.stats("q")).balanced


async def test_tasks_with_long_names_alike_are_all_moved_and_each_once(
    oms: AsyncOMSClient, store: Store, clock: ManualClock
) -> None:
    await oms.create_queue("q", sla="1m", ladder=["100% breach,reroute:desk"])
    await oms.create_queue("desk")
    names = [f"{first}{'-' * 127}" for first in "ab"]
    for name in names:
        await oms.enqueue("q", name, id=name, priority="high", run_timeout="5m")
    clock.advance("1m")
    await _round(store)
    await _round(store)

    moved = (await oms.list_tasks("desk", TaskState.WAITING)).tasks
    assert [task.payload for task in moved] == names
    assert {task.priority for task in moved} == {"high"}


async def test_a_task_that_is_brought_back_and_moved_again_is_another_at_the_desk(
    oms: AsyncOMSClient, store: Store, clock: ManualClock
) -> None:
    await oms.create_queue("q", sla="1m", ladder=["100% breach,reroute:desk"])
    await oms.create_queue("desk")
    task = await oms.enqueue("q", 1)
    for _ in range(2):
        clock.advance("1m")
        await _round(store)
        await oms.requeue(task.id, reset_clock=True)

    assert (await oms.stats("desk")).waiting == 2


@pytest.mark.parametrize("body", [b"{broken", None])
async def test_a_task_that_cannot_be_read_is_not_moved_as_an_empty_one(
    oms: AsyncOMSClient, store: Store, clock: ManualClock, body: bytes | None
) -> None:
    await oms.create_queue("q", sla="1m", ladder=["100% breach,reroute:desk"])
    await oms.create_queue("desk")
    task = await oms.enqueue("q", {"name": "Sam"})
    key = store.keys.body("q", task.id)
    await (store.ask("DEL", key) if body is None else store.ask("SET", key, body))
    clock.advance("1m")
    await _round(store)

    assert (await oms.stats("desk")).open == 0
    (dead,) = await oms.sla.undelivered("q")
    assert "queue desk refused it" in dead.error
    assert (await oms.stats("q")).waiting == (0 if body is None else 1)


async def test_a_desk_that_stays_broken_gives_the_task_back(
    oms: AsyncOMSClient, store: Store, clock: ManualClock
) -> None:
    await oms.create_queue("q", sla="1m", ladder=["100% breach,reroute:desk"])
    await oms.create_queue("desk")
    await store.ask("SET", store.keys.part("desk", "counts"), "of a foreign hand")
    await oms.enqueue("q", 1)
    clock.advance("1m")
    for _ in range(MOST_TRIES):
        await _round(store)
        clock.advance("10m")

    (dead,) = await oms.sla.undelivered("q")
    assert "the task is back in q" in dead.error
    assert (await oms.stats("q")).waiting == 1


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(3),
        asyncio.CancelledError(),
        ValueError("\ud800"),
        ReceiverFailed("\udc80", retryable=True),
    ],
)
async def test_whatever_a_function_raises_the_supervisor_goes_on(
    oms: AsyncOMSClient, store: Store, clock: ManualClock, error: BaseException
) -> None:
    await oms.create_queue("q", sla="1m", ladder=["100% breach,call:wake_up"])
    await oms.enqueue("q", 1)
    calls: list[str] = []

    async def wake_up(said: Escalation) -> None:
        calls.append(said.type)
        if len(calls) == 1:
            raise error

    clock.advance("1m")
    await _round(store, {"wake_up": wake_up})
    clock.advance("5s")
    await _round(store, {"wake_up": wake_up})

    assert len(calls) == 2
    assert (await oms.stats("q")).to_do == 0


async def test_a_receiver_that_asks_for_no_time_does_not_use_up_the_tries(
    oms: AsyncOMSClient, store: Store, clock: ManualClock
) -> None:
    await oms.create_queue("q", sla="1m", ladder=["100% breach,call:wake_up"])
    await oms.enqueue("q", 1)
    calls: list[str] = []

    async def wake_up(said: Escalation) -> None:
        calls.append(said.type)
        raise ReceiverFailed("busy", retryable=True, after_s=0)

    clock.advance("1m")
    await _round(store, {"wake_up": wake_up})

    assert len(calls) == 1


async def test_a_receiver_that_never_answers_holds_up_no_sweep(
    store_url: str, receiver: Receiver
) -> None:
    async with anyio.create_task_group() as group, AsyncOMSClient(store_url) as oms:
        for queue in ("stuck", "other"):
            await oms.create_queue(
                queue,
                sla="1ms",
                ladder=["100% breach,webhook"],
                webhook=receiver.url("/silent" if queue == "stuck" else "/200"),
                webhook_secret=SECRET,
            )
        group.start_soon(Supervisor(store_url).run)
        await oms.enqueue("stuck", 1)
        await anyio.to_thread.run_sync(receiver.reached.wait, PATIENCE_S)
        with anyio.fail_after(PATIENCE_S):
            for queue in ("stuck", "other"):
                await oms.enqueue(queue, 2)
                events = oms.events(queue, after="0-0")
                seen = 2 if queue == "stuck" else 1
                async for event in events:
                    seen -= event.type == "sla.breach"
                    if not seen:
                        break
            while len(receiver.heard) < 2:
                await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()


async def test_escalate_carries_out_what_a_rung_asks_for(
    oms: AsyncOMSClient, store: Store, clock: ManualClock, receiver: Receiver
) -> None:
    await oms.create_queue(
        "q",
        sla="2h",
        ladder=["100% breach,webhook,call:wake_up"],
        webhook=receiver.url("/200"),
        webhook_secret=SECRET,
    )
    await oms.enqueue("q", 1)
    clock.advance("2h")
    act = Supervisor(store=store)
    called: list[str] = []

    @act.action("wake_up")
    async def _(said: Escalation) -> None:
        called.append(said.type)

    for rung in (await act.check_sla()).rungs:
        await act.escalate(rung)

    assert [said["type"] for said in _said(receiver)] == called == ["sla.breach"]


async def test_each_rung_speaks_once_however_many_supervisors_come_and_go(store_url: str) -> None:
    spoken: dict[str, list[str]] = {}
    async with anyio.create_task_group() as group, AsyncOMSClient(store_url) as oms:
        await oms.create_queue("q", sla="300ms", ladder=["30% note", "60% warn", "100% breach"])
        tasks = await oms.enqueue_many("q", range(300))
        scopes: list[anyio.CancelScope] = []

        async def supervise() -> None:
            with anyio.CancelScope() as scope:
                scopes.append(scope)
                await Supervisor(store_url).run()

        for _ in range(4):
            group.start_soon(supervise)
        spoken |= {task.id: [] for task in tasks}
        breached = 0
        with anyio.fail_after(PATIENCE_S):
            async for event in oms.events("q", after="0-0"):
                if not event.type.startswith("sla."):
                    continue
                spoken[event.task_id or ""].append(event.type)
                breached += event.type == "sla.breach"
                if event.type == "sla.breach" and breached % 100 == 0 and scopes:
                    scopes.pop(0).cancel()  # in the middle of whatever it is at
                    group.start_soon(supervise)
                if breached == len(tasks):
                    break
        group.cancel_scope.cancel()

    assert all(len(types) == len(set(types)) for types in spoken.values())
    assert all(types[-1] == "sla.breach" for types in spoken.values())


async def test_a_flood_is_foreseen_once_before_any_task_is_late(
    oms: AsyncOMSClient, store: Store, clock: ManualClock
) -> None:
    await oms.create_queue("q", sla="10m")
    await oms.enqueue_many("q", range(1_000))
    told: list[Forecast] = []
    for second in range(20):
        for _ in range(3):
            waiting = (await sweeps.sweep(store, ["q"])).waiting
            if second % 5 == 4:
                told += (await sweeps.forecast(store, waiting)).foreseen.values()
        task = await oms.pop_task("q", timeout=0)
        assert task is not None
        await task.complete()
        clock.advance("1s")

    (forecast,) = told
    assert forecast.misses is not None
    assert 380 < forecast.misses < 420
    assert forecast.first_miss_ms == clock() - 20_000 + 600_000
    promise = await oms.sla.status("q")
    assert promise.clock == "at_risk"
    assert promise.stats.at_risk == 0
    assert [(one.kind, one.open) for one in promise.incidents] == [("forecast", True)]
    assert await oms.sla.acknowledge("q", "forecast", by="sam")
    assert not await oms.sla.acknowledge("q", "forecast", by="sam")


async def test_without_evidence_nothing_is_foreseen(
    oms: AsyncOMSClient, store: Store, clock: ManualClock
) -> None:
    await oms.create_queue("q", sla="2h")
    await oms.enqueue_many("q", range(10))
    task = await oms.pop_task("q", timeout=0)
    assert task is not None
    told: list[Forecast] = []
    for _ in range(60):
        waiting = (await sweeps.sweep(store, ["q"])).waiting
        told += (await sweeps.forecast(store, waiting)).foreseen.values()
        await task.heartbeat()
        clock.advance("10s")

    # One that runs may be long; that nobody takes anything for five minutes is something else.
    assert told == []
    assert not (await oms.sla.status("q")).forecast.known
    await task.complete()
    await oms.sla.pause("q", reason="stocktaking")
    assert (await oms.sla.status("q")).clock == "paused"


async def test_that_nobody_takes_anything_for_five_minutes_is_told(
    oms: AsyncOMSClient, store: Store, clock: ManualClock
) -> None:
    await oms.create_queue("q", sla="2h")
    await oms.enqueue_many("q", range(10))
    told: list[tuple[int, int | None]] = []
    for second in range(0, 400, 10):
        waiting = (await sweeps.sweep(store, ["q"])).waiting
        found = (await sweeps.forecast(store, waiting)).foreseen.values()
        told += [(second, forecast.misses) for forecast in found]
        clock.advance("10s")

    assert told == [(310, 10)]


async def test_operators_see_the_worst_first_and_act(
    oms: AsyncOMSClient, store: Store, clock: ManualClock
) -> None:
    await oms.create_queue("calm", sla="1h")
    await oms.create_queue("none")
    await oms.create_queue("late", sla="1m")
    late = await oms.enqueue("late", 1)
    clock.advance("2m")
    await Supervisor(store=store).check_sla()

    found = await oms.sla.ls()
    assert [(one.queue.name, one.clock) for one in found] == [
        ("late", "breached"),
        ("calm", "on_track"),
        ("none", "none"),
    ]
    (risky,) = await oms.sla.at_risk("late")
    assert (risky.id, risky.due_at) == (late.id, ms_to_instant(clock() - 60_000))
    with pytest.raises(IncidentNotFound, match="no open incident of the kind sla"):
        await oms.sla.acknowledge("calm", by="sam")
    with pytest.raises(ConfigInvalid, match="'fire' is no kind of incident"):
        await oms.sla.acknowledge("calm", "fire", by="sam")
    assert await oms.sla.waive(late.id, reason="the citizen agreed")
    assert not await oms.sla.waive(late.id, reason="again")
    with pytest.raises(TaskNotFound):
        await oms.sla.waive("nobody", reason="")
    with pytest.raises(WrongState, match="has no promise to waive"):
        await oms.sla.waive((await oms.enqueue("none", 1)).id, reason="")
    assert await oms.sla.pause("calm", reason="stocktaking")
    assert (await oms.sla.status("calm")).clock == "paused"
    assert await oms.resume("calm")
    assert (await oms.sla.status("late")).clock == "on_track"
