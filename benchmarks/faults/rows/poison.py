"""Entries that no client of ours made, pushed straight into the keys."""

from benchmarks.faults.campaign import scenario
from benchmarks.faults.scene import Scene
from hms_async import TaskState

_GOOD = 50
_UNREADABLE: dict[str, bytes] = {
    "garbage": b"\xff\xfe\x00garbage\r\n",
    "an empty entry": b"",
    "broken JSON": b'{"payload": {"n": 1',
    "no object": b"[1, 2, 3]",
    "an unknown version": b'{"v": 99, "payload": {}}',
    "no payload": b'{"v": 1, "queue": "q"}',
    "ten megabytes": b'{"v": 1, "payload": "' + b"x" * 10_000_000 + b'"}',
    "deep nesting": b'{"v": 1, "payload": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
}
_TWIN = b'{"v": 1, "id": "twin", "payload": {"n": 0}}'
_NESTED = b'{"v": 1, "id": "nested", "payload": ' + b"[" * 500 + b"]" * 500 + b"}"


async def _spoil(scene: Scene) -> dict[str, list[str]]:
    """Push all that, and spoil what was accepted; returns ids by what was done to them."""
    ask, keys = scene.store.ask, scene.store.keys
    spoilt: dict[str, list[str]] = {}
    for what in ("body gone", "record gone", "record no hash", "body garbage"):
        spoilt[what] = await scene.enqueue([{"n": what}] * 2)
    for task in spoilt["body gone"]:
        await ask("DEL", keys.body("q", task))
    for task in (*spoilt["record gone"], *spoilt["record no hash"]):
        await ask("DEL", keys.run("q", task))
    for task in spoilt["record no hash"]:
        await ask("SET", keys.run("q", task), "no hash")
    for task in spoilt["body garbage"]:
        await ask("SET", keys.body("q", task), b"\xff{not json")
    (twice,) = await scene.enqueue([{"n": "pushed again"}])
    await ask("RPUSH", keys.queue("q"), *_UNREADABLE.values(), _TWIN, _TWIN, _NESTED)
    await ask("RPUSH", keys.queue("q"), twice, twice, "an-id-that-never-was")
    await ask("RPUSH", keys.part("q", "express"), twice)
    await ask("RPUSH", keys.part("q", "bell"), "1")
    return spoilt


@scenario("poison", short=True)
async def poison(scene: Scene) -> None:
    """Garbage in the keys ends in failed, with a reason and its bytes; all else goes on."""
    await scene.queue()
    good = await scene.enqueue([{"n": n} for n in range(_GOOD)])
    spoilt = await _spoil(scene)
    good += await scene.enqueue([{"n": n} for n in range(_GOOD)])
    worker = await scene.hire()
    await scene.drained()

    failed = (await scene.oms.list_tasks("q", TaskState.FAILED, limit=500)).tasks
    for task in failed:
        scene.expect(bool(task.reason), f"no reason for {task.id}")
    kept = [await scene.store.ask("GET", scene.store.keys.body("q", task.id)) for task in failed]
    for what, entry in _UNREADABLE.items():
        scene.expect(entry in kept, f"the bytes of {what} are not kept")
    by_id = {task.id: task for task in failed}
    for what, ids in spoilt.items():
        for task_id in ids:
            scene.expect(task_id in by_id, f"{what}: {task_id} is not in failed")
    foreign = 1 + len(_UNREADABLE)  # with the id that never was
    scene.expect_equal(len(failed), foreign + sum(map(len, spoilt.values())), "failed")
    states = await scene.records([*good, "twin", "nested"], "state")
    wrong = {task: state for task, state in states.items() if state != ["done"]}
    scene.expect(not wrong, f"good tasks that are not done: {wrong}")
    scene.expect(worker.died is None, "the worker has ended")
    totals = (await scene.oms.stats("q")).totals
    # Each entry of a stranger's, but the second twin: the id pushed again was ours.
    scene.expect_equal(totals["adopted"], foreign + 2, "adopted")
