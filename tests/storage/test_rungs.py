"""What a rung does beside speaking: actions, the outbox, incidents (R19)."""

import pytest

from hms_async.domain.audit import Actor
from hms_async.domain.incident import Incident
from hms_async.domain.task import TaskState
from hms_async.storage import outbox, watching
from hms_async.storage.replies import Settle
from hms_async.testing import ManualClock
from tests.storage.driver import FAULT, Driver

HOOK = {"webhook": "https://desk.example/hms", "webhook_secret": "s3cret"}


async def _incidents(driver: Driver) -> dict[str, Incident]:
    found = await watching.read_incidents(driver.store, "q")
    return {incident.kind: incident for incident in found}


async def _take(driver: Driver, lease_ms: int = 60_000) -> list[outbox.Action]:
    return await outbox.take(driver.store, "q", limit=50, lease_ms=lease_ms)


async def test_a_warned_task_is_bumped_and_others_keep_their_place(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="10m")
    await driver.push("first")
    await driver.push("tight", sla=60_000)
    clock.advance("48s")

    (rung,) = (await driver.sweep()).rungs

    assert (rung.id, rung.name, rung.actions) == ("tight", "warn", ("bump",))
    assert [claim.id for claim in await driver.claim(2)] == ["tight", "first"]
    assert driver.counts()["action.bump"] == 1
    assert [event["id"] for event in driver.events("bumped")] == ["tight"]


async def test_five_thousand_late_tasks_make_one_incident_and_one_message(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1m", ladder=["100% breach,escalate"], **HOOK)
    for start in range(0, 5_000, 500):
        await driver.push(*[f"t{number}" for number in range(start, start + 500)])
    clock.advance("61s")
    while (await driver.sweep()).more:
        pass

    incident = (await _incidents(driver))["sla"]
    assert (incident.state, incident.severity, incident.count) == ("open", "error", 5_000)
    assert incident.first_ms == incident.last_ms == clock()
    (action,) = await _take(driver)
    assert action.kind == "webhook"
    assert action.fields["type"] == "incident.opened"
    assert action.id == f"{incident.id}:opened:error:webhook"


async def test_an_incident_that_gets_worse_is_told_again_and_once_more_when_it_is_over(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1m", ladder=["100% breach,escalate", "100%+15m page"], **HOOK)
    await driver.push("a", "b")
    clock.advance("1m")
    await driver.sweep()
    clock.advance("1s")
    await watching.acknowledge(driver.store, "q", "sla", by=Actor("sam", "cli", "on it"))
    clock.advance("15m")
    await driver.sweep()

    incident = (await _incidents(driver))["sla"]
    assert (incident.state, incident.severity, incident.by) == ("open", "critical", "sam")
    for claim in await driver.claim(2):
        await driver.settle(claim, "done")
    clock.advance("1s")
    await driver.sweep()
    clock.advance("59s")
    await driver.sweep()
    assert (await _incidents(driver))["sla"].open
    clock.advance("1s")
    await driver.sweep()

    incident = (await _incidents(driver))["sla"]
    assert (incident.state, incident.resolved_ms) == ("resolved", clock())
    told = [action.fields["type"] for action in await _take(driver)]
    assert told == [
        "incident.opened",
        "incident.acknowledged",
        "incident.worsened",
        "incident.resolved",
    ]


async def test_an_incident_whose_cause_comes_back_is_not_over(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1m")
    await driver.push("a")
    clock.advance("2m")
    await driver.sweep()
    await driver.settle(await driver.claim_one(), "done")
    await driver.sweep()
    clock.advance("30s")
    await driver.push("b", sla=1)
    clock.advance("1s")
    await driver.sweep()
    clock.advance("59s")
    await driver.sweep()

    incident = (await _incidents(driver))["sla"]
    assert (incident.state, incident.count) == ("open", 2)


async def test_acknowledging_what_is_not_open_says_so(driver: Driver) -> None:
    word = await watching.acknowledge(driver.store, "q", "sla", by=Actor("sam", "cli"))
    assert word == "none"


async def test_a_webhook_for_each_task_carries_what_it_is_about(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1m", ladder=["50% note,webhook"], **HOOK)
    await driver.push("a", corr="CASE")
    arrived = clock()
    clock.advance("31s")
    await driver.sweep()

    (action,) = await _take(driver)

    assert (action.id, action.kind, action.tries) == (
        f"a:note:webhook:{arrived + 30_000}",
        "webhook",
        1,
    )
    assert action.fields == {
        "made": str(clock()),
        "target": "",
        "type": "sla.note",
        "task": "a",
        "corr": "CASE",
        "percent": "50",
        "late_by": "1000",
        "arrived": str(arrived),
        "due": str(arrived + 60_000),
        "severity": "info",
    }


async def test_an_action_is_taken_by_one_and_comes_again_when_that_one_died(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1m", ladder=["50% note,call:desk"])
    await driver.push("a")
    clock.advance("1m")
    assert (await driver.sweep()).to_do == 1
    (first,) = await _take(driver)
    assert await _take(driver) == []
    clock.advance("60s")
    (second,) = await _take(driver)

    assert (first.kind, first.id, first.tries, second.tries) == ("call", second.id, 1, 2)
    assert not await outbox.end(driver.store, first, "done")
    assert await outbox.end(driver.store, second, "done")
    clock.advance("1h")
    assert await _take(driver) == []
    assert driver.raw.kind(driver.key(f"action:{first.id}")) == "none"


async def test_a_receiver_that_never_takes_it_makes_an_incident_and_nothing_is_lost(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1m", ladder=["50% note,webhook"], **HOOK)
    await driver.push("a")
    clock.advance("30s")
    await driver.sweep()
    (action,) = await _take(driver)
    await outbox.end(driver.store, action, "retry", delay_ms=5_000, error="503")
    assert await _take(driver) == []
    clock.advance("5s")
    (action,) = await _take(driver)
    await outbox.end(driver.store, action, "dead", error="503 again")

    (dead,) = await outbox.undelivered(driver.store, "q")
    assert (dead.id, dead.fields["error"]) == (action.id, "503 again")
    assert (await _incidents(driver))["delivery"].open
    assert (await driver.stats()).undelivered == 1
    # Trouble with the receivers is not told to the receivers.
    assert await _take(driver) == []

    assert await outbox.send_again(driver.store, "q", dead.id)
    (again,) = await _take(driver)
    assert (again.id, again.tries) == (dead.id, 1)
    await outbox.end(driver.store, again, "done")
    told = {name: n for name, n in driver.counts().items() if name.startswith("delivery.")}
    kind = action.kind
    assert told == {f"delivery.{kind}.{word}": 1 for word in ("retry", "dead", "done")}
    for _ in range(2):
        await driver.sweep()
        clock.advance("1m")
    await driver.sweep()
    assert not (await _incidents(driver))["delivery"].open


async def test_an_outbox_that_is_full_lets_go_of_the_oldest_and_says_so(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1m", ladder=["50% note,call:desk"])
    driver.raw("ZADD", driver.key("actions"), *[p for n in range(10_000) for p in (n, f"x{n}")])
    await driver.push("a")
    clock.advance("30s")

    assert (await driver.sweep()).to_do == 10_000

    assert driver.raw("ZSCORE", driver.key("actions"), "x0") is None
    assert driver.counts()["action.folded"] == 1
    assert (await _incidents(driver))["delivery"].severity == "error"


async def test_cancel_is_carried_out_where_it_is_asked_for(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1m", lease="5m", ladder=["100% breach,cancel,webhook"], **HOOK)
    await driver.push("held", "waiting")
    await driver.push("scheduled", delay=1)
    held = await driver.claim_one()
    clock.advance("61.001s")

    await driver.sweep()

    assert await driver.state("waiting") is TaskState.CANCELLED
    assert await driver.state("held") is TaskState.IN_PROGRESS
    assert await driver.state("scheduled") is TaskState.CANCELLED
    assert (await driver.exchange()).cancelling == {held.token}
    assert len(await _take(driver)) == 3
    assert driver.zset("at_risk").keys() == {"held"}
    assert await driver.claim(5) == []
    await driver.stats()


async def test_a_rerouted_task_leaves_its_queue_unless_a_worker_holds_it(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1m", lease="5m", ladder=["100% breach,reroute:desk"])
    await driver.push("held", "waiting")
    await driver.claim_one()
    clock.advance("1m")
    await driver.sweep()

    (action,) = await _take(driver)

    assert (action.fields["task"], action.kind, action.fields["target"]) == (
        "waiting",
        "reroute",
        "desk",
    )
    task = await driver.store.task("waiting")
    assert task is not None
    assert (task.state, task.moved_to) == (TaskState.CANCELLED, "desk")
    assert await driver.state("held") is TaskState.IN_PROGRESS


async def test_requeue_brings_a_backed_off_task_back_and_never_takes_a_live_lease(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1m", ladder=["100% breach,requeue"])
    await driver.push("held", "backing-off")
    held, backing_off = await driver.claim(2)
    await driver.settle(backing_off, "retry", 3_600_000, FAULT)
    clock.advance("20s")
    await driver.store.extend("q", [(held.id, held.token)])
    clock.advance("20s")
    await driver.store.extend("q", [(held.id, held.token)])
    clock.advance("20s")

    await driver.sweep()

    assert await driver.state("held") is TaskState.IN_PROGRESS
    assert (await driver.claim_one()).id == "backing-off"
    assert driver.zset("retry") == {}


@pytest.mark.parametrize("last", ["cancel", "reroute:desk"])
async def test_an_action_finds_the_task_where_the_one_before_has_put_it(
    driver: Driver, clock: ManualClock, last: str
) -> None:
    await driver.create(sla="1m", ladder=[f"100% breach,bump,requeue,{last}"])
    await driver.push("backing-off", "waiting")
    backing_off = await driver.claim_one()
    await driver.settle(backing_off, "retry", 3_600_000, FAULT)
    clock.advance("1m")

    await driver.sweep()

    assert (await driver.stats()).open == 0
    assert await driver.claim(5) == []
    assert driver.counts()["stale"] == 0
    await driver.stats()


@pytest.mark.parametrize(
    "actions", ["null", '"bump"', "[1]", '[""]', "[null]", '{"bump":1}', '[":x"]', '[["bump"]]']
)
async def test_r8_actions_that_are_no_words_of_ours_hold_up_nothing(
    driver: Driver, clock: ManualClock, actions: str
) -> None:
    await driver.push("a", sla=60_000)
    rungs = f'[["100", 0, "breach", {actions}]]'
    driver.raw("HSET", driver.key("config"), "ladder", rungs)
    clock.advance("1m")

    assert [rung.name for rung in (await driver.sweep()).rungs] == ["breach"]

    assert driver.zset("at_risk").keys() == {"a"}
    await driver.stats()


async def test_a_word_that_only_a_newer_release_knows_waits_for_one(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a", sla=60_000)
    rungs = '[[100, 0, "breach", ["send_fax:desk 1", "bump"]]]'
    driver.raw("HSET", driver.key("config"), "ladder", rungs)
    clock.advance("1m")
    await driver.sweep()

    (action,) = await _take(driver)
    assert (action.kind, action.fields["target"]) == ("send_fax", "desk 1")
    assert driver.counts()["action.send_fax"] == 1


async def test_r8_a_broken_ladder_stops_no_claim_half_way(driver: Driver) -> None:
    await driver.create(sla="1m")
    await driver.push("a")
    claim = await driver.claim_one()
    driver.raw("HSET", driver.key("config"), "ladder", "[[")
    driver.raw("RPUSH", driver.key(), '{"id":"foreign","payload":1}')

    reply = await driver.exchange(Settle(claim.id, claim.token, "done"), want=1)

    assert [claim.id for claim in reply.claims] == ["foreign"]
    assert driver.zset("done").keys() == {"a"}
    await driver.stats()


async def test_what_is_at_risk_without_a_record_is_let_go(driver: Driver) -> None:
    driver.raw("ZADD", driver.key("at_risk"), 1, "gone")
    await driver.store.reconcile("q")
    assert driver.zset("at_risk") == {}


async def test_a_longer_ladder_is_heard_for_tasks_whose_rungs_were_all_spoken(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1m", ladder=["100% breach"])
    await driver.push("late", "open")
    clock.advance("2m")
    await driver.sweep()
    assert driver.zset("sla") == {}

    await driver.create(sla="1m", ladder=["50% note", "100% breach", "100%+1h page"])
    await driver.store.reconcile("q")

    assert driver.zset("sla").keys() == {"late", "open"}
    clock.advance("58m59s")
    assert (await driver.sweep()).rungs == []
    clock.advance("1s")
    assert [rung.name for rung in (await driver.sweep()).rungs] == ["page", "page"]


async def test_the_pace_of_a_queue_is_that_of_times_in_which_something_waited(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1h")
    assert (await watching.read_backlog(driver.store, "q")).served_per_s is None
    await driver.push(*[f"t{number}" for number in range(200)])
    for _ in range(10):
        await driver.sweep()
        clock.advance("1s")
        for claim in await driver.claim(5):
            await driver.settle(claim, "done")
    await driver.sweep()

    backlog = await watching.read_backlog(driver.store, "q")

    assert backlog.waiting == 150
    assert backlog.served_per_s is not None
    assert 4.9 < backlog.served_per_s < 5.1
    assert len(backlog.sample) == watching.SAMPLE
    assert (backlog.sample[0][0], backlog.sample[-1][0]) == (0, 149)
    # An idle day says nothing of how fast they could go.
    for claim in await driver.claim(150):
        await driver.settle(claim, "done")
    await driver.sweep()
    clock.advance("1d")
    await driver.sweep()
    await driver.push("new")
    assert (await watching.read_backlog(driver.store, "q")).served_per_s is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("count", "x"), ("id", None), ("severity", "?"), ("kind", None), ("healthy", "x")],
)
async def test_r8_an_incident_that_a_foreign_hand_has_broken_stops_no_sweep(
    driver: Driver, clock: ManualClock, field: str, value: str | None
) -> None:
    await driver.create(sla="1m", ladder=["100% breach,escalate,bump", "200% page"], **HOOK)
    await driver.push("a")
    clock.advance("1m")
    await driver.sweep()
    broken = ("HDEL", driver.key("incident:sla"), field)
    driver.raw(*broken if value is None else ("HSET", *broken[1:], value))
    await driver.push("b")
    clock.advance("1m")

    await driver.sweep()

    assert {claim.id for claim in await driver.claim(2)} == {"a", "b"}
    assert (await _incidents(driver))["sla"].severity == "critical"
    clock.advance("1m")
    await driver.sweep()
    await driver.stats()


async def test_a_name_that_stands_twice_in_a_ladder_is_told_twice(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1m", ladder=["50% note,webhook", "75% note,webhook"], **HOOK)
    await driver.push("a")
    clock.advance("30s")
    await driver.sweep()
    clock.advance("15s")
    await driver.sweep()

    first, second = await _take(driver)
    assert (first.fields["percent"], second.fields["percent"]) == ("50", "75")
    assert first.id != second.id


async def test_an_action_that_was_given_up_and_is_put_again_is_in_one_place(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1m", ladder=["50% note,webhook"], **HOOK)
    await driver.push("a")
    clock.advance("30s")
    await driver.sweep()
    (action,) = await _take(driver)
    await outbox.end(driver.store, action, "dead", error="503")
    # Put again, as by a clock that was set back and a task that was started anew.
    driver.raw("HDEL", driver.store.keys.run("q", "a"), "rung")
    driver.raw("ZADD", driver.key("sla"), clock(), "a")
    await driver.sweep()

    assert await outbox.undelivered(driver.store, "q") == []
    (again,) = await _take(driver)
    await outbox.end(driver.store, again, "done")
    assert (await driver.stats()).undelivered == 0


async def test_i2_a_full_outbox_lets_go_of_no_task_that_is_on_its_way(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1m", ladder=["100% breach,reroute:desk", "100%+1s note,call:desk"])
    await driver.push("moves")
    clock.advance("1m")
    await driver.sweep()
    filler = [part for number in range(9_999) for part in (clock() + 1, f"x{number}")]
    driver.raw("ZADD", driver.key("actions"), *filler)
    await driver.push("stays", sla=1)
    clock.advance("1ms")
    # The outbox has no room for it, so this one is not given up.
    await driver.sweep()
    assert await driver.state("stays") is TaskState.WAITING
    clock.advance("1s")
    await driver.sweep()

    assert driver.counts()["action.folded"] == 2
    assert driver.raw("ZCARD", driver.key("actions")) == 10_000
    moving = await _take(driver)
    assert moving[0].fields["task"] == "moves"
    assert (await _incidents(driver))["delivery"].open


async def test_i2_a_task_that_is_on_its_way_is_not_forgotten(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1m", ladder=["100% breach,reroute:desk"], keep_done="1s")
    await driver.push("a")
    clock.advance("1m")
    await driver.sweep()
    clock.advance("1h")
    assert await driver.store.prune("q") == (0, False)
    assert await driver.state("a") is TaskState.CANCELLED

    (action,) = await _take(driver)
    await outbox.end(driver.store, action, "done")
    assert await driver.store.prune("q") == (1, False)
    assert await driver.state("a") is None


async def test_actions_for_others_hold_up_none_behind_them(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1m", ladder=["50% note,call:desk", "100% breach,call:ours"])
    await driver.push("a", "b")
    clock.advance("30s")
    await driver.sweep()
    clock.advance("30s")
    await driver.sweep()

    taken = await outbox.take(driver.store, "q", limit=2, lease_ms=1, able=["call:ours"])

    assert [action.fields["target"] for action in taken] == ["ours", "ours"]


async def test_an_incident_lasts_as_long_as_the_task_that_it_is_about(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1h", ladder=["50% warn,escalate", "100% breach,escalate"], **HOOK)
    await driver.push("a")
    clock.advance("30m")
    for _ in range(31):
        await driver.sweep()
        clock.advance("1m")
    told = [action.fields["type"] for action in await _take(driver)]
    assert told == ["incident.opened", "incident.worsened"]

    await driver.settle(await driver.claim_one(), "done")
    for _ in range(2):
        await driver.sweep()
        clock.advance("1m")
    await driver.sweep()
    assert not (await _incidents(driver))["sla"].open
