"""Handlers that kill their process, every time."""

import json
from functools import partial

import anyio

from benchmarks.faults.campaign import scenario
from benchmarks.faults.scene import Scene

_WAYS = ("leave", "use_up_memory", "recurse")
_CRASHES = 3
_INNOCENT = 600
_HANDFUL = 6


async def _ended_by_its_crashes(scene: Scene, ids: list[str]) -> None:
    records = await scene.records(ids, "state", "crashes", "error")
    for task, (state, crashes, error) in records.items():
        scene.expect_equal((state, crashes), ("failed", str(_CRASHES)), f"state of {task}")
        reason = json.loads(error or "{}")
        wanted = {"type": "LeaseLost", "message": f"lease lost {_CRASHES} times"}
        scene.expect_equal(reason, wanted, f"reason of {task}")


@scenario("handler-kills-process")
async def alone(scene: Scene) -> None:
    """A handler ends its process each time, in three ways; it ends in failed, with its reason."""
    async with anyio.create_task_group() as group:
        for way in _WAYS:
            await scene.queue(way, lease="3s", max_crashes=_CRASHES)
            group.start_soon(partial(scene.keep_alive, 1, queue=way))
            await scene.enqueue([{"do": way}, *({"n": n} for n in range(20))], way)
        for way in _WAYS:
            await scene.drained(90, way)
        group.cancel_scope.cancel()
    # A neighbour may have ended, and its outcome died with the process.
    scene.duplicates_are_expected = True
    for way in _WAYS:
        page = await scene.oms.list_tasks(way, "failed")
        guilty = [task.id for task in page.tasks if task.payload.get("do") == way]
        scene.expect_equal(len(guilty), 1, f"failed tasks that {way}")
        scene.expect_equal(len(page.tasks), 1, f"failed tasks beside one that does {way}")
        await _ended_by_its_crashes(scene, guilty)


async def _among_innocents(scene: Scene, killers: int) -> int:
    """Return how many innocents were harmed."""
    innocent = _INNOCENT // 4 if scene.short else _INNOCENT
    await scene.queue(lease="3s", max_crashes=_CRASHES)
    payloads: list[dict[str, object]] = [{"n": n, "s": 0.5} for n in range(innocent)]
    for number in range(killers):
        payloads.insert((number + 1) * innocent // (killers + 1), {"do": _WAYS[number]})
    ids = await scene.enqueue(payloads)
    guilty = [task for task, payload in zip(ids, payloads, strict=True) if "do" in payload]
    async with anyio.create_task_group() as group:
        group.start_soon(partial(scene.keep_alive, 2, slots=50))
        await scene.drained(120)
        group.cancel_scope.cancel()
    scene.duplicates_are_expected = True
    await _ended_by_its_crashes(scene, guilty)
    states = await scene.states()
    return states["failed"] - killers


@scenario("one-killer-among-600", short=True)
async def one(scene: Scene) -> None:
    """One of 600 tasks kills its process each time, 50 at once; no innocent is harmed."""
    scene.expect_equal(await _among_innocents(scene, 1), 0, "innocents harmed")


@scenario("three-killers-among-600")
async def three(scene: Scene) -> None:
    """Three of 600 tasks kill their process each time, 50 at once; a handful at most is harmed."""
    harmed = await _among_innocents(scene, len(_WAYS))
    scene.expect(harmed <= _HANDFUL, f"{harmed} innocents harmed, at most {_HANDFUL} may be")
