"""A server that is killed under load, and comes back on its data."""

import anyio

from benchmarks.faults.campaign import scenario
from benchmarks.faults.loads import RATE, SLOTS, load
from benchmarks.faults.scene import Scene

LEASE_S = 5.0
_BACK_S = 5.0
"""Back-off is at most 2 s, and the store's own time-outs are 5 s."""


async def _outage(scene: Scene, down_s: float) -> None:
    await scene.queue(lease=f"{LEASE_S}s")
    for _ in range(2):
        await scene.hire(slots=SLOTS)
    async with anyio.create_task_group() as group:
        group.start_soon(load, scene, RATE, 3 + down_s + 3)
        await anyio.sleep(3)
        scene.server.running.kill()
        await anyio.sleep(down_s)
        scene.server.start()
        while not await scene.server.answers():  # noqa: ASYNC110  # another process
            await anyio.sleep(0.01)
        await scene.goes_on(_BACK_S)
    await scene.drained(90)
    totals = (await scene.oms.stats("q")).totals
    # Nobody died but the server: no task of a living worker may be taken from it (R16).
    scene.expect_equal(totals.get("rescued", 0), 0, "rescued")
    scene.expect_equal(totals["accepted"], len(scene.accepted["q"]), "accepted once each")
    scene.expect(len(scene.workers.alive) == 2, "a worker has ended")  # noqa: PLR2004  # both


@scenario("server-killed-0.2s", fsyncs=("everysec", "always"))
async def down_briefly(scene: Scene) -> None:
    """Kill the server under load; it is down for 0.2 s."""
    await _outage(scene, 0.2)


@scenario("server-killed-2s", fsyncs=("everysec", "always"), short=True)
async def down(scene: Scene) -> None:
    """Kill the server under load; it is down for 2 s."""
    await _outage(scene, 2)


@scenario("server-killed-20s", fsyncs=("everysec", "always"))
async def down_long(scene: Scene) -> None:
    """Kill the server under load; it is down for 20 s, longer than leases and time-outs."""
    await _outage(scene, 20)
