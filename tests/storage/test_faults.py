"""R8: whatever key or setting is of no use, a script does all or nothing, and no id is lost."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from hms_async.domain.task import OPEN, TaskState
from hms_async.errors import StoreProtocol
from hms_async.storage.replies import Settle
from hms_async.testing import ManualClock
from tests.servers import Raw
from tests.storage.driver import FAULT, Driver

CLAIMED = ("held", "released", "retried", "failing", "unwanted")
ABOUT = b'{"message":"ok","handoff":{"workflow":"w","key":"k"}}'
IDS = (*CLAIMED, "waiting", "express", "suspect", "scheduled", "retrying")


@dataclass(slots=True)
class Scene:
    """A queue with a task in each place, and the tokens to go on with."""

    driver: Driver
    tokens: dict[str, str]

    @classmethod
    async def build(cls, driver: Driver, clock: ManualClock) -> "Scene":
        await driver.create(sla="1m", keep_done_max=1, keep_failed_max=1)
        await driver.push("retrying", *CLAIMED, key=None)
        tokens = {claim.id: claim.token for claim in await driver.claim(6)}
        await driver.exchange(Settle("retrying", tokens["retrying"], "retry", 5_000, FAULT))
        await driver.push("waiting", key="k1", corr="case")
        await driver.push("express", prio="high")
        await driver.push("suspect")
        driver.raw("HSET", "task:suspect:run", "crashes", 2)
        await driver.push("scheduled", delay=5_000)
        assert await driver.store.cancel("q", "unwanted") == "asked"
        for task_id in ("old", "older"):
            await driver.push(task_id, key=f"k-{task_id}")
            await driver.store.cancel("q", task_id)
        clock.advance("10s")
        # A supervisor has looked all the while, until the moment of the sweep below (R16).
        driver.raw.watch("q", clock() + 3_600_000)
        return cls(driver, tokens)

    def settles(self) -> list[Settle]:
        return [
            Settle("held", self.tokens["held"], "done", ABOUT, b"1"),
            Settle("released", self.tokens["released"], "release"),
            Settle("retried", self.tokens["retried"], "error", 0.5, FAULT),
            Settle("failing", self.tokens["failing"], "fail", "", FAULT),
            Settle("unwanted", self.tokens["unwanted"], "release"),
        ]


Act = Callable[[Scene, ManualClock], Awaitable[object]]


async def _enqueue(scene: Scene, _: ManualClock) -> None:
    await scene.driver.push("new-1", key="k2")
    await scene.driver.push("new-2", prio="high")
    await scene.driver.push("new-3", delay=1_000)


async def _settle_and_claim(scene: Scene, _: ManualClock) -> None:
    await scene.driver.exchange(*scene.settles(), want=10, suspects=False)


async def _replay(scene: Scene, _: ManualClock) -> None:
    await scene.driver.deliver(*scene.settles(), want=10, seq=2)


async def _extend(scene: Scene, _: ManualClock) -> None:
    await scene.driver.store.extend("q", list(scene.tokens.items()))


async def _sweep(scene: Scene, clock: ManualClock) -> None:
    clock.advance("1h")
    await scene.driver.store.sweep("q")


async def _cancel(scene: Scene, _: ManualClock) -> None:
    for task_id in IDS:
        await scene.driver.store.cancel("q", task_id)


async def _requeue(scene: Scene, _: ManualClock) -> None:
    await scene.driver.store.requeue("q", "old", reset_clock=True)


async def _bump(scene: Scene, _: ManualClock) -> None:
    await scene.driver.store.bump("q", "waiting")


async def _prune(scene: Scene, _: ManualClock) -> None:
    await scene.driver.store.prune("q")


async def _reconcile(scene: Scene, _: ManualClock) -> None:
    await scene.driver.store.reconcile("q")


async def _pause(scene: Scene, _: ManualClock) -> None:
    await scene.driver.store.pause("q", paused=True)


async def _configure(scene: Scene, _: ManualClock) -> None:
    await scene.driver.create(sla="2m")


ACTS: list[Act] = [
    _enqueue,
    _settle_and_claim,
    _replay,
    _extend,
    _sweep,
    _cancel,
    _requeue,
    _bump,
    _prune,
    _reconcile,
    _pause,
    _configure,
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("act", ACTS)
async def test_r8_a_key_of_a_wrong_type_loses_no_id(
    driver: Driver, clock: ManualClock, act: Act
) -> None:
    """Tries every key that is there before or after the act, one after the other."""
    scene = await Scene.build(driver, clock)
    keys = driver.raw.names()
    await act(scene, clock)
    for key in sorted((keys | driver.raw.names()) - {"queues"}):  # no script writes the registry
        driver.raw("FLUSHALL")
        driver.seq = 0
        scene = await Scene.build(driver, clock)
        await _try_with(scene, clock, act, key)


async def _try_with(scene: Scene, clock: ManualClock, act: Act, key: str) -> None:
    raw = scene.driver.raw
    wrong = "list" if raw.kind(key) == "string" else "string"
    aside = raw.kind(key) != "none"
    if aside:
        raw("RENAME", key, "aside")
    raw(*(("SET", key, "wrong") if wrong == "string" else ("RPUSH", key, "wrong")))
    before = raw.snapshot()
    refused = False
    try:
        await act(scene, clock)
    except StoreProtocol:
        refused = True
    what = f"{key} as a {wrong}"
    if refused and act not in (_cancel, _enqueue):  # those are several calls
        assert raw.snapshot() == before, f"{what}: an error after a write"
    touched = raw.content(key) != before[key]
    if not touched:
        raw("DEL", key)
        if aside:
            raw("RENAME", "aside", key)
    raw("DEL", "aside")
    clock.advance("2h")
    await _look_everywhere(scene.driver, what)
    if _is_book(key) and touched:
        return  # a foreign value was overwritten on purpose; there is nothing to add up
    stats = await scene.driver.stats_unbalanced()
    assert stats.balanced, f"{what}: {stats}"


def _is_book(key: str) -> bool:
    return key.endswith((":counts", ":config"))


async def _look_everywhere(driver: Driver, what: str) -> None:
    """Each id with an open record is in the place that the record names."""
    raw = driver.raw
    places = {
        TaskState.SCHEDULED: set(driver.zset("scheduled")),
        TaskState.RETRYING: set(driver.zset("retry")),
        TaskState.IN_PROGRESS: set(driver.zset("inflight")),
        TaskState.DONE: set(driver.zset("done")),
        TaskState.FAILED: set(driver.zset("failed")),
        TaskState.CANCELLED: set(driver.zset("cancelled")),
        TaskState.EXPIRED: set(driver.zset("expired")),
    }
    lanes = {"normal": driver.lane_of()} | {
        lane: driver.lane_of(lane) for lane in ("express", "suspects")
    }
    for task_id in IDS:
        run = _record(raw, task_id)
        somewhere = set[str]().union(*places.values(), *lanes.values())
        assert task_id in somewhere, f"{what}: {task_id} is nowhere"
        if not run:
            continue
        state = TaskState(run["state"])
        if state is TaskState.WAITING:
            assert task_id in lanes[run.get("lane", "normal")], f"{what}: {task_id} is in no lane"
        else:
            assert task_id in places[state], f"{what}: {task_id} is not in {state}"
        for other in OPEN - {state, TaskState.WAITING}:
            assert task_id not in places[other], f"{what}: {task_id} is {state} and in {other}"


def _record(raw: Raw, task_id: str) -> dict[str, str]:
    key = f"task:{task_id}:run"
    return raw.fields(key) if raw.kind(key) == "hash" else {}


@pytest.mark.parametrize("lease", ["", "long"])
async def test_r8_a_lease_that_is_no_number_is_noticed_before_anything_is_claimed(
    driver: Driver, raw: Raw, lease: str
) -> None:
    await driver.push("a")
    raw("HSET", "queue:q:config", "lease_ms", lease)

    with pytest.raises(StoreProtocol):
        await driver.claim()

    assert driver.run("a")["state"] == "waiting"


@pytest.mark.parametrize("store_url", ["valkey", "redis"], indirect=True)
@pytest.mark.parametrize("ladder", ["{broken", "[1]", '[[80,"warn"]]'])
async def test_r8_a_ladder_that_cannot_be_read_costs_no_raw_entry(
    driver: Driver, raw: Raw, clock: ManualClock, ladder: str
) -> None:
    await driver.create(sla="2h")
    fine = raw.fields("queue:q:config")["ladder"]
    raw("HSET", "queue:q:config", "ladder", ladder)
    raw("RPUSH", "queue:q", '{"id":"a","payload":1}')
    # Other tasks may have been settled by the same call, so it must not fail for this one.
    assert (await driver.claim_one()).id == "a"
    raw("HSET", "queue:q:config", "ladder", fine)
    await driver.store.reconcile("q")
    clock.advance("96m")

    assert [rung.name for rung in (await driver.sweep()).rungs] == ["warn"]
