"""A worker that is frozen beyond its lease, and comes back."""

import json
import time

import anyio

from benchmarks.faults.campaign import scenario
from benchmarks.faults.scene import NOISE_S, Scene

LEASE_S = 5.0
_FROZEN_S = 50.0  # 45 s beyond the lease
_SHORT_FROZEN_S = 12.0
_HELD = 5


@scenario("zombie", short=True)
async def zombie(scene: Scene) -> None:
    """Freeze a worker for longer than its lease, and let it go on: its late outcomes are void."""
    await scene.queue(lease=f"{LEASE_S}s")
    frozen_s = _SHORT_FROZEN_S if scene.short else _FROZEN_S
    frozen = await scene.hire(slots=_HELD)
    ids = set(await scene.enqueue([{"do": "gate", "n": n} for n in range(_HELD)]))
    await scene.until(lambda: scene.held_by(frozen) == ids, "all tasks in flight")
    other = await scene.hire(slots=_HELD)
    frozen.freeze()
    began, at = anyio.current_time(), time.monotonic_ns()
    scene.recovered(await scene.taken_up(ids, at, _SHORT_FROZEN_S), LEASE_S + 2 + NOISE_S)
    scene.workers.open_gate()
    await anyio.sleep(frozen_s - (anyio.current_time() - began))
    await scene.drained()
    frozen.thaw()
    # They have run twice, which is what at-least-once means; the second run is what stands.
    scene.duplicates_are_expected = True
    await scene.until(lambda: len(_refused(scene, frozen.pid)) == _HELD, "late outcomes refused")
    for task, (result,) in (await scene.records(ids, "result")).items():
        scene.expect_equal(json.loads(result)["pid"], other.pid, f"who did {task}")
    other.kill()
    await scene.enqueue([{"n": n} for n in range(50)])
    await scene.drained()
    scene.expect(frozen.died is None, "the worker that came back has ended")


def _refused(scene: Scene, pid: int) -> set[str]:
    """Return the tasks of which a worker has said that it lost them."""
    process = scene.workers.all[pid]
    lost = {entry["task_id"] for entry in scene.workers.log(process, "task.lease_lost")}
    late = scene.workers.log(process, "task.finished")
    return lost | {entry["task_id"] for entry in late if entry["outcome"] == "lost"}
