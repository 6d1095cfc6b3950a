"""One bounded read of all that is measured."""

from hms_async.domain.queue import QueueSettings
from hms_async.storage import measure, registry, weighing
from hms_async.storage.replies import Settle
from hms_async.storage.standings import Standing
from hms_async.storage.store import Store
from hms_async.testing import ManualClock
from tests.servers import Raw, on_real_servers
from tests.storage.driver import FAULT, Driver


async def _only(store: Store) -> Standing:
    (found,) = (await measure.read(store)).queues
    return found


async def test_a_queue_at_rest(driver: Driver) -> None:
    one = await _only(driver.store)

    assert (one.swept_ms, one.tidied_ms, one.waited_ms, one.ran_ms, one.due_ms) == (None,) * 5
    assert (one.lag_ms, one.supervisors, one.forecast.confidence) == (0, frozenset(), "no_backlog")


async def test_a_queue_at_work(driver: Driver, clock: ManualClock) -> None:
    await driver.create(sla="60s")
    await driver.push("running", "again", "first")
    running, again = await driver.claim(2)
    clock.advance("10s")
    await driver.settle(again, "retry", 5_000, FAULT)
    await driver.store.extend("q", [(running.id, running.token)])
    clock.advance("15s")
    await driver.sweep()
    await driver.store.prune("q", supervisor="act")

    one = await _only(driver.store)

    # A retry that is due goes to the express lane; the first of the other lane came long before.
    assert one.waited_ms == 25_000
    assert one.ran_ms == 25_000
    assert one.due_ms == running.due_ms
    assert (one.swept_ms, one.tidied_ms) == (clock(), clock())
    assert one.supervisors == {"act"}


async def test_the_wait_of_a_retry_begins_when_it_is_due(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.push("a")
    await driver.settle(await driver.claim_one(), "retry", 60_000, FAULT)
    clock.advance("70s")
    await driver.sweep()

    assert (await _only(driver.store)).waited_ms == 10_000


async def test_what_is_overdue_shows_without_any_supervisor(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.create(sla="100s")
    await driver.push("a")
    clock.advance("107s")

    one = await _only(driver.store)

    assert one.lag_ms == 27_000  # the rung at 80 %
    assert one.due_ms == clock() - 7_000


async def test_a_supervisor_that_died_is_not_counted_for_long(
    driver: Driver, clock: ManualClock
) -> None:
    await driver.store.prune("q", supervisor="act")
    clock.advance("76s")

    one = await _only(driver.store)

    assert (one.supervisors, one.tidied_ms) == (frozenset(), clock() - 76_000)


async def test_what_a_foreign_hand_broke_hides_no_other_queue(driver: Driver, raw: Raw) -> None:
    await driver.push("a")
    raw("SADD", driver.store.keys.queues, "nobody")
    for name in ("settings", "counts", "keys"):
        await driver.store.configure(name, QueueSettings())
    raw("HSET", "queue:settings:config", "lease_ms", "soon")
    raw("HSET", "queue:counts:counts", "done", b"\xff")
    raw("SET", "queue:keys:inflight", "x")

    found = await measure.read(driver.store)

    assert [one.name for one in found.queues] == ["q"]
    assert found.left_out == 4


async def test_odd_keys_beside_a_queue_hide_nothing(driver: Driver, raw: Raw) -> None:
    for part in ("swept", "supervisors"):
        raw("RPUSH", f"queue:q:{part}", "x")

    assert (await _only(driver.store)).stats.waiting == 0


async def test_i8_a_look_is_bounded(driver: Driver) -> None:
    names = [f"t{number}" for number in range(150)]
    await driver.push(*names)
    claims = await driver.claim(150)
    await driver.exchange(*[Settle(one.id, one.token, "done") for one in claims[100:]])
    await registry.register(driver.store, "w", {"queues": "q other", "slots": "7"}, 60)

    found = await measure.read(driver.store)

    assert found.queues[0].stats.in_progress == 100
    assert [(one.queues, one.slots) for one in found.workers] == [(("q", "other"), 7)]


@on_real_servers
async def test_queues_are_weighed(driver: Driver) -> None:
    one = await _only(driver.store)
    empty = (await weighing.weigh(driver.store, [one.stats]))["q"]
    await driver.push(
        *[f"t{number}" for number in range(100)], body=b'{"payload":"%s"}' % bytes(1_000)
    )
    claims = await driver.claim(50)
    await driver.exchange(*[Settle(one.id, one.token, "done") for one in claims])

    one = await _only(driver.store)
    full = (await weighing.weigh(driver.store, [one.stats]))["q"]

    assert 100 * 1_000 < full - empty < 100 * 2_500
