"""Clocks that are wrong, and many that watch the same ones."""

import time
from collections import Counter

import anyio

from benchmarks.faults.campaign import scenario
from benchmarks.faults.processes import Owned
from benchmarks.faults.scene import NOISE_S, Scene
from benchmarks.faults.workers import TARGET
from hms_async import NewTask

_AHEAD_S = 600
_DELAY_S = 3
_TASKS = 100


@scenario("clock-wrong", short=True)
async def wrong(scene: Scene) -> None:
    """The clock of one worker is 10 minutes ahead, that of another 10 behind: nothing changes."""
    await scene.queue(lease="3s", sla="60s")
    skewed = [
        scene.workers.start(
            ["-m", "benchmarks.faults.skewed", str(ahead), "run", TARGET, "-Q", "q", "-c", "10"]
        )
        for ahead in (_AHEAD_S, -_AHEAD_S)
    ]
    for worker in [*skewed, await scene.hire()]:
        await scene.ready(worker)
    began = time.monotonic_ns()
    await scene.enqueue([{"n": n} for n in range(_TASKS)])
    # Longer than a lease, and retried: both are reckoned by the server's clock alone.
    await scene.enqueue([{"n": n, "s": 5} for n in range(10)])
    await scene.enqueue([{"n": n, "do": "flaky", "times": 1} for n in range(10)])
    delayed = set(
        await scene.enqueue([NewTask({"n": n}, delay=f"{_DELAY_S}s") for n in range(_TASKS)])
    )
    await scene.drained(30)
    starts = [line for line in scene.workers.journal.lines() if line.word == "start"]
    first = min((line.at - began) / 1e9 for line in starts if line.id in delayed)
    last = max((line.at - began) / 1e9 for line in starts if line.id in delayed)
    scene.expect(first >= _DELAY_S, f"a task delayed by {_DELAY_S} s started after {first:.2f} s")
    scene.expect(
        last <= _DELAY_S + 5 + NOISE_S,
        f"a task delayed by {_DELAY_S} s started only after {last:.2f} s",
    )
    for worker in skewed:
        scene.expect(any(line.pid == worker.pid for line in starts), "a skewed worker was idle")
    told = Counter(event.type for event in await scene.events())
    for kind in ("rescued", "sla.warn", "sla.breach", "failed"):
        scene.expect_equal(told[kind], 0, f"events {kind}")


@scenario("three-supervisors", short=True)
async def supervisors(scene: Scene) -> None:
    """Three supervisors, two of them frozen at random: each milestone and each rescue once."""
    held = _TASKS // 2
    await scene.queue(lease="3s", sla="2s")
    acts = [scene.workers.hms("act") for _ in range(3)]
    for act in acts:
        await scene.ready(act)
    worker = await scene.hire("--no-act", slots=held)
    ids = set(await scene.enqueue([{"n": n, "do": "gate"} for n in range(_TASKS)]))
    await scene.until(lambda: len(scene.held_by(worker)) == held, "tasks in flight")
    taken = scene.held_by(worker)
    worker.kill()
    await _freeze_at_random(scene, acts[1:], 6 if scene.short else 12)
    scene.workers.open_gate()
    await scene.hire("--no-act", slots=held)
    await scene.drained(30)
    told: dict[str, Counter[str]] = {}
    for event in await scene.events():
        told.setdefault(event.type, Counter())[event.task_id or ""] += 1
    scene.expect_equal(told.get("rescued"), Counter(taken), "rescues")
    scene.expect_equal(told.get("sla.breach"), Counter(ids), "breaches")
    more = {task: n for task, n in told.get("sla.warn", Counter[str]()).items() if n > 1}
    scene.expect(not more, f"warned more than once: {more}")
    said = scene.workers.log(event="supervisor.rescued")
    # A supervisor whose connection was cut while it slept may not have heard its own answer.
    scene.expect(len(said) <= len(taken), f"{len(said)} log lines about {len(taken)} rescues")


async def _freeze_at_random(scene: Scene, acts: list[Owned], seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        act = scene.chance.choice(acts)
        act.freeze()
        await anyio.sleep(scene.chance.uniform(0.1, 2))
        act.thaw()
        await anyio.sleep(scene.chance.uniform(0.1, 0.5))
