"""What operators read: queues, tasks by state, workers."""

import pytest

from hms_async.domain.queue import QueueSettings
from hms_async.domain.task import TaskState
from hms_async.errors import QueueNotFound
from hms_async.storage.replies import Settle
from hms_async.storage.store import Store
from hms_async.testing import ManualClock
from tests.servers import Raw
from tests.storage.driver import FAULT, Driver


async def test_a_change_of_settings_makes_a_new_version_and_nothing_else_does(
    store: Store,
) -> None:
    first = QueueSettings.create(sla="2h")
    second = QueueSettings.create(sla="1h")

    words = [await store.configure("q", settings) for settings in (first, first, second, second)]

    assert words == [("created", 1), ("same", 1), ("changed", 2), ("same", 2)]
    queue = await store.queue("q")
    assert (queue.settings, queue.version, queue.paused) == (second, 2, False)
    assert await store.queue_names() == ["q"]


async def test_a_queue_that_nobody_created_is_not_found(store: Store) -> None:
    for call in (
        store.queue("q"),
        store.stats("q"),
        store.pause("q", paused=True),
        store.sweep("q"),
        store.prune("q"),
        store.reconcile("q"),
        store.exchange("q", worker="w", incarnation="ab", lane=0, seq=1),
    ):
        with pytest.raises(QueueNotFound):
            await call


async def test_a_pause_is_kept_with_its_reason_and_ends(driver: Driver) -> None:
    assert await driver.store.pause("q", paused=True, reason="the printer burns")
    assert not await driver.store.pause("q", paused=True)

    queue = await driver.store.queue("q")
    assert (queue.paused, queue.reason) == (True, "the printer burns")
    assert (await driver.stats()).paused
    assert await driver.store.pause("q", paused=False)
    assert [event["type"] for event in driver.events()] == ["paused", "resumed"]


async def test_namespaces_share_a_server_and_nothing_else(
    store_url: str, raw: Raw, clock: ManualClock
) -> None:
    async with (
        Store(store_url, namespace="one", clock=clock) as one,
        Store(store_url, namespace="two", clock=clock) as two,
    ):
        drivers = [Driver(one, raw), Driver(two, raw)]
        for driver in drivers:
            await driver.create()
            assert await driver.push("a", key="k") == ["created"]

        assert [(await driver.claim_one()).id for driver in drivers] == ["a", "a"]

    assert {key.split(":")[0] for key in raw.names()} == {"one", "two"}


async def test_waiting_tasks_are_listed_page_by_page_in_claim_order(driver: Driver) -> None:
    await driver.push(*[f"n{number}" for number in range(5)])
    await driver.push("e0", "e1", prio="high")
    await driver.store.cancel("q", "n1")
    driver.raw("RPUSH", driver.key(), b'{"payload":1}')

    page = await driver.store.tasks("q", TaskState.WAITING, limit=2)
    ids = [task.id for task in page.tasks]
    while page.cursor is not None:
        page = await driver.store.tasks("q", TaskState.WAITING, page.cursor, limit=2)
        ids += [task.id for task in page.tasks]

    assert ids == ["e0", "e1", "n0", "n2", "n3", "n4"]


async def test_other_tasks_are_listed_by_the_instant_of_their_set(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("later", delay=9_000)
    await driver.push("sooner", delay=5_000)
    for task_id in ("first", "second"):
        await driver.fail(task_id)
        clock.advance("1s")

    scheduled = await driver.store.tasks("q", TaskState.SCHEDULED)
    failed = await driver.store.tasks("q", TaskState.FAILED, limit=1)

    assert [task.id for task in scheduled.tasks] == ["sooner", "later"]
    assert [task.id for task in failed.tasks] == ["second"]
    rest = await driver.store.tasks("q", TaskState.FAILED, failed.cursor, limit=1)
    assert [task.id for task in rest.tasks] == ["first"]


async def test_a_list_says_why_tasks_are_tried_again_and_which_go_first(driver: Driver) -> None:
    await driver.push("a", "b", "c")
    for _ in range(2):
        await driver.settle(await driver.claim_one(), "retry", 9_000, FAULT)
    await driver.store.bump("q", "c")

    retrying = (await driver.store.tasks("q", TaskState.RETRYING)).tasks
    (waiting,) = (await driver.store.tasks("q", TaskState.WAITING)).tasks

    assert [(one.id, one.attempts[0].error, one.goes_first) for one in retrying] == [
        ("a", "no", False),
        ("b", "no", False),
    ]
    assert (waiting.priority, waiting.goes_first) == ("normal", True)


async def test_a_task_is_told_with_all_that_is_known_of_it(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1m")
    arrived = clock()
    body = b'{"v":1,"id":"a","queue":"q","correlation_id":"CASE","payload":{"n":1}}'
    await driver.push("a", body=body, corr="CASE", prio="high")
    claim = await driver.claim_one()
    clock.advance("1s")
    await driver.settle(claim, "retry", 1_000, FAULT)
    now = clock.advance("1s")
    claim = await driver.claim_one()

    task = await driver.store.task("a")

    assert task is not None
    assert (task.state, task.payload, task.correlation_id) == ("in_progress", {"n": 1}, "CASE")
    assert (task.attempt, task.crashes, task.priority) == (2, 0, "high")
    assert (task.arrived_ms, task.due_ms) == (arrived, arrived + 60_000)
    assert (task.started_ms, task.lease_expires_ms) == (now, now + 30_000)
    assert task.worker == "worker-ab"
    (attempt,) = task.attempts
    assert (attempt.number, attempt.error_type, attempt.error) == (1, "ValueError", "no")
    assert (attempt.started_ms, attempt.finished_ms) == (arrived, arrived + 1_000)
    await driver.exchange(Settle("a", claim.token, "done", "", b'{"ok":true}'))
    ended = await driver.store.task("a")
    assert ended is not None
    assert (ended.state, ended.result, ended.finished_ms) == ("done", {"ok": True}, now)
    assert await driver.store.task("never") is None


async def test_stats_tell_the_oldest_the_next_due_and_the_next_rung(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="1m")
    now = clock()
    await driver.push("oldest")
    clock.advance("1s")
    await driver.push("bumped", "newest")
    await driver.store.bump("q", "bumped")
    await driver.push("scheduled", delay=1_000)

    stats = await driver.stats()

    assert stats.oldest_arrived_ms == now
    assert stats.next_due_ms == now + 2_000
    assert stats.next_rung_ms == now + 48_000
    assert stats.sla_ms == 60_000


async def test_a_workers_card_comes_and_goes(store: Store, raw: Raw) -> None:
    await store.register_worker("w1", {"host": "h"}, 60)

    assert raw.fields("worker:w1")["host"] == "h"
    assert list(raw.scores("workers")) == ["w1"]
    assert 0 < raw("TTL", "worker:w1") <= 60
    await store.unregister_worker("w1")
    assert not {"workers", "worker:w1"} & raw.names()
