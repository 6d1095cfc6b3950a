"""A server that is there, and cannot be heard."""

import anyio

from benchmarks.faults.campaign import scenario
from benchmarks.faults.loads import RATE, SLOTS, load
from benchmarks.faults.proxy import proxied
from benchmarks.faults.scene import NOISE_S, Scene
from hms_async import AsyncOMSClient
from hms_async.errors import StoreError

LEASE_S = 5.0
_ENQUEUE_S = 10 + NOISE_S
"""An enqueue gives up after 10 s, whatever is under way then."""


async def _nobody_was_hurt(scene: Scene) -> None:
    """No worker died, so no task may be charged with a crash, or be done twice (R16)."""
    await scene.drained(90)
    records = await scene.records(scene.accepted["q"], "crashes")
    charged = [task for task, (crashes,) in records.items() if crashes not in ("", "0")]
    scene.expect(not charged, f"{len(charged)} tasks of living workers have a crash: {charged[:3]}")
    scene.expect(
        scene.longest_enqueue_s <= _ENQUEUE_S,
        f"an enqueue took {scene.longest_enqueue_s:.1f} s, the limit is {_ENQUEUE_S:g} s",
    )
    scene.expect(len(scene.workers.alive) == 2, "a worker has ended")  # noqa: PLR2004  # both


@scenario("server-frozen")
async def frozen(scene: Scene) -> None:
    """Freeze the server for 20 s under load, four times as long as a lease."""
    await scene.queue(lease=f"{LEASE_S}s")
    for _ in range(2):
        await scene.hire(slots=SLOTS)
    async with anyio.create_task_group() as group:
        group.start_soon(load, scene, RATE, 27)
        await anyio.sleep(3)
        scene.server.running.freeze()
        await anyio.sleep(20)
        scene.server.running.thaw()
        await scene.goes_on(5)
    await _nobody_was_hurt(scene)


@scenario("connections-killed", short=True)
async def connections_killed(scene: Scene) -> None:
    """Kill every connection each second for 15 s (CLIENT KILL), under load."""
    seconds = 5 if scene.short else 15
    await scene.queue(lease=f"{LEASE_S}s")
    for _ in range(2):
        await scene.hire(slots=SLOTS)
    async with anyio.create_task_group() as group:
        group.start_soon(load, scene, RATE, seconds + 1)
        for _ in range(seconds):
            await anyio.sleep(1)
            try:
                await scene.store.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
            except StoreError:
                continue  # that was ourselves
    scene.recovered(await scene.drained(), 5 + NOISE_S)
    await _nobody_was_hurt(scene)


@scenario("replies-swallowed")
async def swallowed(scene: Scene) -> None:
    """A proxy swallows one reply in fifty: each is a time-out of 5 s, and asked for again."""
    await scene.queue(lease="10s")
    async with proxied(scene.server.url) as proxy:
        for _ in range(2):
            await scene.hire(slots=SLOTS, url=proxy.url)
        proxy.swallow_every = 50
        async with AsyncOMSClient(proxy.url) as oms:
            await load(scene, RATE, 20, oms=oms)
        await _nobody_was_hurt(scene)
        scene.expect(proxy.swallowed > 0, "nothing was swallowed")


@scenario("replies-late")
async def late(scene: Scene) -> None:
    """A proxy passes replies on 3 s late."""
    await scene.queue(lease="30s")
    async with proxied(scene.server.url) as proxy:
        for _ in range(2):
            await scene.hire(slots=SLOTS, url=proxy.url)
        proxy.late_s = 3
        async with AsyncOMSClient(proxy.url) as oms:
            await load(scene, RATE / 5, 15, oms=oms)
        await _nobody_was_hurt(scene)
