"""What operators did: an entry for each act that changed something, in the script of the act."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hms_async.domain.audit import Actor, AuditEntry
from hms_async.domain.queue import QueueSettings
from hms_async.errors import ConfigInvalid, StoreProtocol
from hms_async.storage import codec, outbox, watching
from hms_async.storage.audit import append_audit, read_audit
from hms_async.storage.replies import Enqueue
from hms_async.testing import ManualClock
from tests.storage.driver import FAULT, Driver

HOOK = {"webhook": "https://desk.example", "webhook_secret": "s3cret"}
ANN = Actor("ann@desk", "cli", "the client asked")


async def entries(driver: Driver) -> list[AuditEntry]:
    return (await read_audit(driver.store, ["q"], None, 50)).entries


async def the_entry(driver: Driver) -> AuditEntry:
    (entry,) = await entries(driver)
    assert (entry.queue, entry.who, entry.via) == ("q", "ann@desk", "cli")
    assert entry.reason == "the client asked"
    return entry


async def test_a_queue_that_is_created_or_changed_says_which_settings_not_their_values(
    driver: Driver,
) -> None:
    other: dict[str, Any] = {"sla": "1h", **HOOK}
    for settings in (QueueSettings.create(), QueueSettings.create(**other)):
        await driver.store.configure("new", settings, by=ANN)
        await driver.store.configure("new", settings, by=ANN)

    page = await read_audit(driver.store, ["new"], None, 50)

    changed, created = page.entries
    assert (created.act, created.task_id, created.fields["outcome"]) == (
        *("configure", None, "created"),
    )
    assert (created.fields["version"], created.fields["changed"]) == ("1", "")
    assert (changed.fields["outcome"], changed.fields["version"]) == ("changed", "2")
    assert {"sla_ms", "webhook_secret"} <= set(changed.fields["changed"].split())
    assert "s3cret" not in str(page)


async def test_a_pause_and_a_resume_are_written_down_once_each(driver: Driver) -> None:
    for _ in range(2):
        await driver.store.pause("q", paused=True, stop_clock=True, by=ANN)
    for _ in range(2):
        await driver.store.pause("q", paused=False, by=ANN)

    resume, pause = await entries(driver)
    assert (pause.act, pause.fields) == ("pause", {"clock": "stopped"})
    assert (resume.act, resume.fields) == ("resume", {"clock": "runs"})
    assert resume.at_ms >= pause.at_ms


async def test_the_reason_of_a_pause_is_the_queues_and_that_of_its_end_is_not(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.store.pause("q", paused=True, by=ANN)
    began_ms = clock()
    clock.advance("1h")
    await driver.store.pause("q", paused=True, by=Actor("bob", "cli"))
    queue = await driver.store.queue("q")
    assert (queue.reason, queue.paused_by) == ("the client asked", "ann@desk")
    assert queue.paused_ms == began_ms

    await driver.store.pause("q", paused=False, by=ANN)

    queue = await driver.store.queue("q")
    assert (queue.reason, queue.paused_by, queue.paused_ms) == ("", "", None)


async def test_the_pause_that_stands_is_of_whoever_changed_it_last(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.store.pause("q", paused=True, by=ANN)
    clock.advance("1h")
    await driver.store.pause("q", paused=True, stop_clock=True, by=Actor("bob", "cli", "the desk"))

    queue = await driver.store.queue("q")
    assert (queue.reason, queue.paused_by) == ("the desk", "bob")
    assert queue.paused_ms == clock()

    await driver.store.pause("q", paused=True, reason="drained", stop_clock=False)

    queue = await driver.store.queue("q")
    assert (queue.reason, queue.paused_by) == ("drained", "")


async def test_a_cancelled_task_is_written_down(driver: Driver) -> None:
    await driver.push("a")

    assert await driver.store.cancel("q", "a", by=ANN) == "ok"
    assert await driver.store.cancel("q", "a", by=ANN) == "cancelled"

    entry = await the_entry(driver)
    assert (entry.act, entry.task_id) == ("cancel", "a")
    assert entry.fields == {"was": "waiting", "outcome": "cancelled"}


async def cancelled(driver: Driver, task_id: str) -> tuple[str | None, str | None]:
    """Who had a task cancelled, and why."""
    task = await driver.store.task(task_id)
    assert task is not None
    assert task.state == "cancelled"
    return task.cancel_by, task.cancel_reason


async def test_a_cancelled_task_says_itself_who_wanted_it_and_why(driver: Driver) -> None:
    await driver.push("held")
    claim = await driver.claim_one()
    await driver.push("waits")
    assert await driver.store.cancel("q", "held", by=ANN) == "asked"
    await driver.store.cancel("q", "held", by=Actor("bob", "cli", "me too"))
    assert await driver.store.cancel("q", "waits", by=ANN) == "ok"
    await driver.settle(claim, "retry", 0, FAULT)

    for task_id in ("held", "waits"):
        assert await cancelled(driver, task_id) == ("ann@desk", "the client asked")
        await driver.store.requeue("q", task_id, by=ANN)
        assert not {"cancel_by", "cancel_reason"} & driver.run(task_id).keys()


async def test_what_nobody_named_cancels_names_nobody(driver: Driver) -> None:
    await driver.push("a")
    await driver.store.cancel("q", "a")
    assert await cancelled(driver, "a") == (None, None)


async def test_what_is_kept_of_a_long_reason_to_cancel_has_an_end(driver: Driver) -> None:
    await driver.push("a")
    await driver.store.cancel("q", "a", by=Actor("ann", "cli", "\N{SNOWMAN}" * 5_000))
    assert await cancelled(driver, "a") == ("ann", "\N{SNOWMAN}" * 666)


async def test_to_ask_a_holder_twice_is_one_act(driver: Driver) -> None:
    await driver.push("a")
    await driver.claim_one()

    for _ in range(2):
        assert await driver.store.cancel("q", "a", by=ANN) == "asked"

    assert (await the_entry(driver)).fields == {"was": "in_progress", "outcome": "asked"}


@pytest.mark.parametrize(("reset", "clock_word"), [(False, "goes on"), (True, "anew")])
async def test_a_requeue_says_what_it_ended(
    driver: Driver, *, reset: bool, clock_word: str
) -> None:
    await driver.fail("a")

    assert await driver.store.requeue("q", "a", reset_clock=reset, by=ANN) == "ok"
    assert await driver.store.requeue("q", "a", by=ANN) == "waiting"

    entry = await the_entry(driver)
    assert (entry.act, entry.task_id) == ("requeue", "a")
    assert entry.fields == {"was": "failed", "clock": clock_word}


async def test_a_bump_and_a_waiver_are_written_down_once(driver: Driver) -> None:
    await driver.create(sla="1h")
    await driver.push("a")

    for _ in range(2):
        await driver.store.bump("q", "a", by=ANN)
        await driver.store.waive("q", "a", "", by=ANN)

    waive, bump = await entries(driver)
    assert (bump.act, bump.task_id, bump.fields) == ("bump", "a", {})
    assert (waive.act, waive.task_id, waive.fields) == ("waive", "a", {})
    assert waive.reason == "the client asked"
    assert driver.run("a")["waived"] == "the client asked"


async def test_to_acknowledge_an_incident_is_written_down_once(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1h")
    await driver.push("a")
    clock.advance("2h")
    await driver.sweep()

    for _ in range(2):
        await watching.acknowledge(driver.store, "q", "sla", by=ANN)

    entry = await the_entry(driver)
    (incident,) = await watching.read_incidents(driver.store, "q")
    assert entry.act == "acknowledge"
    assert entry.fields == {"kind": "sla", "incident": incident.id}
    assert (incident.by, incident.reason) == ("ann@desk", "the client asked")


async def test_what_is_done_with_undelivered_messages_is_written_down(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1h", **HOOK)
    await driver.push("a")
    clock.advance("2h")
    await driver.sweep()
    action, *_ = await outbox.take(driver.store, "q", limit=10, lease_ms=60_000)
    await outbox.end(driver.store, action, "dead", error="503")

    assert await outbox.send_again(driver.store, "q", action.id, by=ANN)
    assert not await outbox.send_again(driver.store, "q", action.id, by=ANN)
    (again,) = await outbox.take(driver.store, "q", limit=10, lease_ms=60_000)
    await outbox.end(driver.store, again, "dead", error="503")
    assert await outbox.drop(driver.store, "q", action.id, by=ANN)

    drop, sent = await entries(driver)
    assert (sent.act, sent.fields) == ("send_again", {"action": action.id})
    assert (drop.act, drop.fields) == ("drop", {"action": action.id})


AGAIN = {"of": "old", "who": ANN.who, "via": ANN.via, "reason": ANN.reason}


async def test_a_task_that_is_run_again_is_written_down_with_the_new_one_and_once(
    driver: Driver,
) -> None:
    await driver.fail("old")

    words = [await driver.push("new", again=AGAIN) for _ in range(2)]

    assert words == [["created"], ["exists"]]
    entry = await the_entry(driver)
    assert (entry.act, entry.task_id, entry.fields) == ("run_again", "new", {"of": "old"})
    assert (driver.run("new")["again_of"], driver.run("old")["again_as"]) == ("old", "new")
    assert driver.run("old")["state"] == "failed"


async def test_what_was_not_created_was_not_run_again(driver: Driver) -> None:
    await driver.create(max_depth=1)
    await driver.push("old")

    assert await driver.push("new", again=AGAIN) == ["full"]

    assert driver.raw.kind("queue:q:audit") == "none"
    assert "again_as" not in driver.run("old")


async def test_an_earlier_run_that_is_forgotten_or_of_another_queue_is_left_alone(
    driver: Driver,
) -> None:
    driver.raw("HSET", "task:theirs:run", "queue", "other")
    driver.raw("SET", "task:foreign:run", "foreign")

    for old in ("gone", "theirs", "foreign"):
        assert await driver.push(f"of-{old}", again=AGAIN | {"of": old}) == ["created"]

    assert [entry.fields["of"] for entry in await entries(driver)] == ["foreign", "theirs", "gone"]
    assert driver.raw.kind("task:gone:run") == "none"
    assert driver.run("theirs") == {"queue": "other"}


async def test_several_are_written_down_one_by_one_and_nobodys_not_at_all(driver: Driver) -> None:
    nobody = {"of": "old", "who": "", "via": "", "reason": ""}
    envelope = codec.encode_envelope("x", "q", b"1")
    items = [
        Enqueue(task_id, envelope, codec.encode_json({"again": said}))
        for task_id, said in (("a", AGAIN), ("b", nobody), ("c", AGAIN | {"reason": "ü" * 5_000}))
    ]

    assert await driver.store.enqueue("q", items) == [None, None, None]

    cut, first = await entries(driver)
    assert (first.task_id, cut.task_id) == ("a", "c")
    assert 900 < len(cut.reason) <= 1_000
    assert driver.run("b")["again_of"] == "old"


@pytest.mark.parametrize("said", [1, None, [], {}, {"of": 7}, {"of": "a b"}, {"who": "ann"}])
async def test_what_names_no_earlier_run_is_refused_whole(driver: Driver, said: object) -> None:
    before = driver.raw.snapshot()

    with pytest.raises(StoreProtocol):
        await driver.push("new", again=said)

    assert driver.raw.snapshot() == before


async def test_what_a_rung_or_the_runtime_does_is_no_act_of_an_operator(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1h", ladder=["80% warn,bump", "100% breach"])
    await driver.push("a")
    clock.advance("50m")
    await driver.sweep()
    assert driver.lane_of("express") == ["a"]
    await driver.store.cancel("q", "a")
    await driver.store.requeue("q", "a")

    assert driver.raw.kind("queue:q:audit") == "none"


Act = Callable[[Driver], Awaitable[object]]


async def _configure(driver: Driver) -> None:
    await driver.store.configure("q", QueueSettings.create(sla="9h"), by=ANN)


async def _pause(driver: Driver) -> None:
    await driver.store.pause("q", paused=True, by=ANN)


async def _cancel(driver: Driver) -> None:
    await driver.store.cancel("q", "a", by=ANN)


async def _bump(driver: Driver) -> None:
    await driver.store.bump("q", "a", by=ANN)


async def _waive(driver: Driver) -> None:
    await driver.store.waive("q", "a", "", by=ANN)


async def _requeue(driver: Driver) -> None:
    await driver.store.requeue("q", "failed", by=ANN)


async def _run_again(driver: Driver) -> None:
    await driver.push("again", again=AGAIN)


async def _acknowledge(driver: Driver) -> None:
    await watching.acknowledge(driver.store, "q", "sla", by=ANN)


async def _drop(driver: Driver) -> None:
    (dead, *_) = await outbox.undelivered(driver.store, "q")
    await outbox.drop(driver.store, "q", dead.id, by=ANN)


ACTS: list[Act] = [
    *(_configure, _pause, _cancel, _bump, _waive, _requeue, _run_again, _acknowledge, _drop),
]


@pytest.mark.parametrize("act", ACTS)
async def test_r8_an_audit_of_a_wrong_type_stops_the_act_before_it_writes(
    driver: Driver, clock: ManualClock, act: Act
) -> None:
    await driver.create(sla="2h", **HOOK)
    await driver.fail("failed")
    await driver.push("late")
    clock.advance("3h")
    await driver.sweep()
    action, *_ = await outbox.take(driver.store, "q", limit=10, lease_ms=60_000)
    await outbox.end(driver.store, action, "dead", error="503")
    await driver.push("a")
    driver.raw("SET", "queue:q:audit", "foreign")
    before = driver.raw.snapshot()

    with pytest.raises(StoreProtocol):
        await act(driver)

    assert driver.raw.snapshot() == before
    driver.raw("DEL", "queue:q:audit")
    await act(driver)
    assert len(await entries(driver)) == 1


async def test_i8_the_audit_is_bounded_and_so_is_an_entry(driver: Driver) -> None:
    many = "for _ = 1, 11000 do redis.call('XADD', KEYS[1], '*', 'act', 'x') end"
    driver.raw("EVAL", many, 1, "queue:q:audit")
    long = "ü" * 5_000

    await driver.store.pause("q", paused=True, by=Actor(long, long, long))

    assert len((await driver.store.queue("q")).paused_by) <= 1_000
    assert driver.raw("XLEN", "queue:q:audit") <= 10_200
    entry = (await entries(driver))[0]
    for text in (entry.who, entry.via, entry.reason):
        assert set(text) == {"ü"}
        assert 900 < len(text) <= 1_000


async def test_pages_of_several_queues_are_merged_the_newest_first_and_miss_nothing(
    driver: Driver,
) -> None:
    # Of one instant, so that only the names of the queues tell which comes first.
    for number in range(7):
        for queue in ("a", "b", "c"):
            key = driver.store.keys.part(queue, "audit")
            driver.raw("XADD", key, f"5-{number + 1}", "act", f"{queue}{number}")
        driver.raw("XADD", "audit", f"5-{number + 1}", "act", f"-{number}")
    told: list[str] = []
    cursor: str | None = None
    while True:
        page = await read_audit(driver.store, [None, "a", "b", "c"], cursor, 3)
        assert len(page.entries) <= 3
        told += [entry.act for entry in page.entries]
        cursor = page.cursor
        if cursor is None:
            break

    assert told == [f"{queue}{number}" for number in range(6, -1, -1) for queue in "cba-"]


async def test_acts_on_the_namespace_have_no_queue(driver: Driver) -> None:
    await append_audit(driver.store, ANN, "token.create", {"token": "portal"})

    (entry,) = (await read_audit(driver.store, [None, "q"], None, 50)).entries

    assert (entry.queue, entry.act, entry.fields) == (None, "token.create", {"token": "portal"})
    assert (entry.who, entry.via, entry.reason) == ("ann@desk", "cli", "the client asked")


@pytest.mark.parametrize("cursor", ["", "5", "5-1", "x-1:q", "5-1:q\n", "5" * 30 + "-1:q"])
async def test_a_cursor_that_no_page_gave_is_refused(driver: Driver, cursor: str) -> None:
    with pytest.raises(ConfigInvalid, match="is not one that a page gave"):
        await read_audit(driver.store, ["q"], cursor, 10)


async def test_a_foreign_key_in_its_place_hides_no_others(driver: Driver) -> None:
    driver.raw("SET", "queue:other:audit", "foreign")
    await driver.store.pause("q", paused=True, by=ANN)

    page = await read_audit(driver.store, [None, "other", "q"], None, 50)

    assert [entry.queue for entry in page.entries] == ["q"]


@pytest.mark.parametrize(("who", "via"), [("", "cli"), ("ann", "")])
def test_an_actor_has_a_name(who: str, via: str) -> None:
    with pytest.raises(ConfigInvalid, match="names nobody"):
        Actor(who, via)
