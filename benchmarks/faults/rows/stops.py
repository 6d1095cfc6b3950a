"""Workers that are told to stop."""

import os
import signal

from benchmarks.faults.campaign import scenario
from benchmarks.faults.processes import Owned
from benchmarks.faults.scene import NOISE_S, Scene

_HELD = 10
_GRACE_S = 2.0
"""What an exit may take beyond `--shutdown-timeout`."""


async def _with_work(
    scene: Scene, payload: dict[str, object], *flags: str, **options: int
) -> Owned:
    """Return a worker that holds ten of twenty tasks."""
    await scene.queue(lease="3s")
    worker = await scene.hire(*flags, slots=_HELD, **options)
    await scene.enqueue([payload | {"n": n} for n in range(2 * _HELD)])
    await scene.until(lambda: len(scene.held_by(worker)) == _HELD, "ten tasks in flight")
    # Rescues while it drains would be its heartbeat's fault: somebody must be there to do them.
    await scene.ready(scene.workers.hms("act"))
    return worker


async def _exits(scene: Scene, worker: Owned, code: int, within_s: float) -> None:
    got, took = await scene.exit_of(worker, within_s + 10, "the worker")
    scene.expect_equal(got, code, "exit code")
    scene.recovered(took, within_s + NOISE_S)


async def _all_are_handed_back(scene: Scene) -> None:
    """All twenty wait as they arrived, those that ran first, and nothing was counted."""
    page = await scene.oms.list_tasks("q", "waiting")
    order = [task.payload["n"] for task in page.tasks]
    scene.expect_equal(order, list(range(2 * _HELD)), "the order of what waits")
    counted = [(task.attempt, task.crashes) for task in page.tasks]
    scene.expect_equal(counted, [(0, 0)] * len(counted), "attempts and crashes")


async def _finish(scene: Scene) -> None:
    """Let another worker do what is left."""
    scene.workers.open_gate()
    await scene.hire(slots=2 * _HELD, target="benchmarks.faults.handlers:quick")
    await scene.drained()
    totals = (await scene.oms.stats("q")).totals
    scene.expect_equal(totals.get("rescued", 0), 0, "rescued")


@scenario("sigterm-drains", short=True)
async def drains(scene: Scene) -> None:
    """SIGTERM while tasks run: they are finished, their leases kept, exit 0."""
    # Longer than a lease: only heartbeats to the very end keep them.
    worker = await _with_work(scene, {"s": 5})
    worker.signal(signal.SIGTERM)
    await _exits(scene, worker, 0, 5 + _GRACE_S)
    states = await scene.states()
    scene.expect_equal((states["done"], states["waiting"]), (_HELD, _HELD), "done and waiting")
    await _finish(scene)


@scenario("sigterm-out-of-time")
async def out_of_time(scene: Scene) -> None:
    """SIGTERM with a short --shutdown-timeout: what runs is handed back, exit 143."""
    worker = await _with_work(scene, {"do": "gate"}, "--shutdown-timeout", "1s")
    worker.signal(signal.SIGTERM)
    await _exits(scene, worker, 128 + signal.SIGTERM, 1 + _GRACE_S)
    await _all_are_handed_back(scene)
    await _finish(scene)


@scenario("sigterm-twice", short=True)
async def twice(scene: Scene) -> None:
    """SIGTERM twice: what runs is handed back at once, exit 143."""
    worker = await _with_work(scene, {"do": "gate"})
    await _signal_twice(scene, worker)
    await _exits(scene, worker, 128 + signal.SIGTERM, _GRACE_S)
    await _all_are_handed_back(scene)
    await _finish(scene)


async def _signal_twice(scene: Scene, worker: Owned) -> None:
    worker.signal(signal.SIGTERM)
    # Two signals at one instant are one to the kernel.
    draining = "worker.draining"
    await scene.until(lambda: bool(scene.workers.log(worker, draining)), "the worker drains")
    worker.signal(signal.SIGTERM)


@scenario("sigterm-stubborn")
async def stubborn(scene: Scene) -> None:
    """SIGTERM with handlers that ignore being cancelled: handed back over their heads."""
    worker = await _with_work(scene, {"do": "stubborn"}, "--shutdown-timeout", "1s")
    worker.signal(signal.SIGTERM)
    await _exits(scene, worker, 128 + signal.SIGTERM, 1 + _GRACE_S)
    await _all_are_handed_back(scene)
    await _finish(scene)


@scenario("sigterm-server-away")
async def server_away(scene: Scene) -> None:
    """SIGTERM while the server is frozen and tasks run: exit 143 in time, leases do the rest."""
    worker = await _with_work(scene, {"do": "gate"}, "--shutdown-timeout", "1s")
    scene.server.running.freeze()
    worker.signal(signal.SIGTERM)
    await _exits(scene, worker, 128 + signal.SIGTERM, 1 + _GRACE_S)
    scene.server.running.thaw()
    scene.workers.open_gate()
    await scene.hire(slots=2 * _HELD)
    await scene.drained()


async def _at_a_terminal(scene: Scene, payload: dict[str, object]) -> tuple[Owned, int]:
    """Return a worker in the foreground of a terminal, and the terminal."""
    ours, its = os.openpty()
    worker = await _with_work(scene, payload, terminal=its)
    os.close(its)
    return worker, ours


@scenario("ctrl-c")
async def ctrl_c(scene: Scene) -> None:
    """Ctrl-C at a terminal: what runs is finished, exit 0."""
    worker, ours = await _at_a_terminal(scene, {"s": 2})
    os.write(ours, b"\x03")
    await _exits(scene, worker, 0, 2 + _GRACE_S)
    os.close(ours)
    await _finish(scene)


@scenario("ctrl-c-twice")
async def ctrl_c_twice(scene: Scene) -> None:
    """Ctrl-C twice at a terminal: what runs is handed back at once, exit 130."""
    worker, ours = await _at_a_terminal(scene, {"do": "gate"})
    os.write(ours, b"\x03")
    draining = "worker.draining"
    await scene.until(lambda: bool(scene.workers.log(worker, draining)), "the worker drains")
    os.write(ours, b"\x03")
    await _exits(scene, worker, 128 + signal.SIGINT, _GRACE_S)
    os.close(ours)
    await _all_are_handed_back(scene)
    await _finish(scene)
