"""Workers that are killed while they work."""

import time
from functools import partial

import anyio

from benchmarks.faults.campaign import scenario
from benchmarks.faults.loads import load
from benchmarks.faults.processes import Owned
from benchmarks.faults.scene import NOISE_S, Scene

LEASE_S = 5.0
_SLOTS = 50
_RESCUE_S = LEASE_S + 2 + NOISE_S
"""A lease is at most that old when its worker dies; a sweep and a bell come after it."""

_WATCHED = 3
"""A worker is killed only if two others are there, however long a new one takes to start."""

_PATIENCE_S = 3 * _RESCUE_S


async def _crashes_are_counted_apart(scene: Scene, held: set[str]) -> None:
    records = await scene.records(held, "attempt", "crashes")
    odd = {task: numbers for task, numbers in records.items() if numbers != ["2", "1"]}
    scene.expect(not odd, f"attempt and crashes of held tasks are not 2 and 1: {odd}")


def _quick(number: int) -> dict[str, object]:
    return {"n": number}


def _is_full(scene: Scene, worker: Owned) -> bool:
    return len(scene.held_by(worker)) == _SLOTS


@scenario("kill-one-of-three", short=True)
async def kill_one(scene: Scene) -> None:
    """SIGKILL one of three workers, with 50 tasks in flight."""
    await scene.queue(lease=f"{LEASE_S}s")
    workers = [await scene.hire(slots=_SLOTS) for _ in range(3)]
    await scene.enqueue([{"do": "gate", "n": n} for n in range(3 * _SLOTS)])
    victim = workers[0]
    for worker in workers:
        await scene.until(partial(_is_full, scene, worker), "50 tasks in flight")
    victim.kill()
    scene.workers.open_gate()
    killed = victim.died or 0
    held = scene.held_by(victim)
    scene.recovered(await scene.taken_up(held, killed, _PATIENCE_S), _RESCUE_S)
    await scene.drained()
    await _crashes_are_counted_apart(scene, held)


@scenario("kill-the-only-worker")
async def kill_the_only_one(scene: Scene) -> None:
    """SIGKILL the only worker, with 50 tasks in flight, and start a new one."""
    await scene.queue(lease=f"{LEASE_S}s")
    victim = await scene.hire(slots=_SLOTS)
    await scene.enqueue([{"do": "gate", "n": n} for n in range(2 * _SLOTS)])
    await scene.until(partial(_is_full, scene, victim), "50 tasks in flight")
    victim.kill()
    killed = victim.died or 0
    held = scene.held_by(victim)
    scene.workers.open_gate()
    await scene.hire(slots=_SLOTS)
    ready = (time.monotonic_ns() - killed) / 1e9
    # Nobody has swept since the kill, so the first sweep may give the dead a chance (R16).
    limit = max(_RESCUE_S, ready + LEASE_S / 3 + 3 + NOISE_S)
    scene.recovered(await scene.taken_up(held, killed, _PATIENCE_S), limit)
    await scene.drained()
    await _crashes_are_counted_apart(scene, held)


@scenario("kill-each-second")
async def kill_each_second(scene: Scene) -> None:
    """SIGKILL a worker each second for 30 s, while 200 tasks a second arrive."""
    seconds = 6 if scene.short else 30
    await scene.queue(lease=f"{LEASE_S}s", max_crashes=100)
    for _ in range(5):
        await scene.hire()
    killed: list[tuple[set[str], int]] = []

    async def kill_on() -> None:
        for _ in range(seconds):
            await anyio.sleep(1)
            ready = [worker for worker in scene.workers.alive if scene.is_ready(worker)]
            # Where nobody is left to look for a while, rescues may wait (R16): another row's fault.
            if len(ready) >= _WATCHED:
                victim = scene.chance.choice(ready)
                victim.kill()
                killed.append((scene.held_by(victim), victim.died or 0))
                scene.workers.run()

    async with anyio.create_task_group() as group:
        group.start_soon(load, scene, 200, seconds, _quick)
        group.start_soon(kill_on)
    # A handler that has ended, and whose outcome was not settled yet, is done once more.
    scene.duplicates_are_expected = True
    for held, at in killed:
        scene.recovered(await scene.taken_up(held, at, _PATIENCE_S), _RESCUE_S)
    await scene.drained()
    scene.expect(any(held for held, _ in killed), "no task was in flight at any kill")
    scene.expect(len(killed) > seconds / 2, f"too slow a machine: only {len(killed)} kills")
