"""A handler that blocks the event loop beside others."""

from benchmarks.faults.campaign import scenario
from benchmarks.faults.scene import Scene

LEASE_S = 5.0
_SIBLINGS = 20


@scenario("loop-blocked", short=True)
async def blocked(scene: Scene) -> None:
    """A handler blocks the loop for 40 s beside 20 others; no lease is lost, and it is named."""
    seconds = 8 if scene.short else 40
    await scene.queue(lease=f"{LEASE_S}s")
    worker = await scene.hire(slots=_SIBLINGS + 1)
    siblings = await scene.enqueue([{"n": n, "s": seconds / 2} for n in range(_SIBLINGS)])
    await scene.until(lambda: len(scene.held_by(worker)) == _SIBLINGS, "20 tasks in flight")
    # Another is there, which would take what the first one loses.
    await scene.hire(slots=_SIBLINGS)
    (culprit,) = await scene.enqueue([{"do": "block", "s": seconds}])
    await scene.drained(seconds + 30)
    totals = (await scene.oms.stats("q")).totals
    scene.expect_equal(totals.get("rescued", 0), 0, "rescued")
    scene.expect_equal((await scene.states())["done"], _SIBLINGS + 1, "done")
    said = scene.workers.log(event="loop.blocked")
    scene.expect(bool(said), "nobody said loop.blocked")
    for entry in said[:1]:
        scene.expect("block" in entry["stack"], "loop.blocked does not show the handler's stack")
        told = str({name: value for name, value in entry.items() if name != "stack"})
        scene.expect(culprit in told, f"loop.blocked does not name the task: {told}")
        scene.expect("work" in told, f"loop.blocked does not name the handler: {told}")
        others = [one for one in siblings if one in told]
        scene.expect(not others, f"loop.blocked names {len(others)} innocent tasks")


@scenario("loop-stalled")
async def stalled(scene: Scene) -> None:
    """A handler blocks the loop beyond loop_stall_limit: the leases go, others do the tasks."""
    await scene.queue(lease=f"{LEASE_S}s")
    target = "benchmarks.faults.handlers:impatient"
    worker = await scene.hire(slots=_SIBLINGS + 1, target=target)
    await scene.enqueue([{"n": n, "s": 10} for n in range(_SIBLINGS)])
    await scene.until(lambda: len(scene.held_by(worker)) == _SIBLINGS, "20 tasks in flight")
    await scene.enqueue([{"do": "block", "once": True, "s": 25}])
    await scene.until(lambda: len(scene.held_by(worker)) == _SIBLINGS + 1, "the loop is blocked")
    other = await scene.hire(slots=_SIBLINGS + 1)
    await scene.drained()
    ended = {line.id for line in scene.workers.journal.lines() if line.word == "end"}
    by_other = {
        line.id
        for line in scene.workers.journal.lines()
        if line.word == "end" and line.pid == other.pid
    }
    scene.expect_equal(len(by_other), len(ended), "tasks done by the other worker")
    scene.expect(worker.died is None, "the worker has ended")
    scene.expect(bool(scene.workers.log(worker, "loop.stalled")), "nobody said loop.stalled")
    scene.duplicates_are_expected = True
