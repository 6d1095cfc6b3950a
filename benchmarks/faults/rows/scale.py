"""Very many tasks: no call may keep the server busy for long."""

import time
from functools import partial

import anyio

from benchmarks.faults.campaign import scenario
from benchmarks.faults.scene import Scene
from hms_async import NewTask

LONGEST_MS = 50
_CHUNK = 5_000
_CLAIMS = 250
_OURS = ("EVAL", "EVALSHA", "BLPOP", "XRANGE", "XREAD", "HGETALL", "XTRIM")


async def _fill(scene: Scene, count: int, delay: str | None = None) -> None:
    for start in range(0, count, _CHUNK):
        size = min(_CHUNK, count - start)
        await scene.oms.enqueue_many("q", [NewTask({"n": n}, delay=delay) for n in range(size)])
    scene.uncounted += count


async def _claim(scene: Scene, count: int) -> None:
    """Claim as a worker would that dies at once."""
    for seq in range(1, count // _CLAIMS + 1):
        reply = await scene.store.exchange(
            "q", worker="dead", incarnation="dead", lane=0, seq=seq, want=_CLAIMS, lease_ms=3_000
        )
        scene.expect(reply is not None and len(reply.claims) == _CLAIMS, "claims are missing")


async def _slow_commands(scene: Scene) -> list[str]:
    found: list[str] = []
    for _, _, micros, words, *_ in await scene.store.ask("SLOWLOG", "GET", 128):
        # What is counted are commands that we send; forks and the like are no concern of ours.
        if words[0].decode().upper() in _OURS:
            found.append(f"{micros / 1_000:.0f} ms: {b' '.join(words)[:160]!r}")
    return found


@scenario("millions-of-tasks", alone=True)
async def millions(scene: Scene) -> None:
    """100,000 scheduled, 100,000 in flight, 1,000,000 waiting: no command takes over 50 ms."""
    part = 100_000
    await scene.store.ask("CONFIG", "SET", "slowlog-log-slower-than", LONGEST_MS * 1_000)
    await scene.store.ask("CONFIG", "SET", "slowlog-max-len", 1_000)
    await scene.queue(lease="30s", sla="1h")
    await _fill(scene, 11 * part)
    await _fill(scene, part, "5s")
    await _claim(scene, part)
    began = time.monotonic()
    async with anyio.create_task_group() as group:
        group.start_soon(
            partial(scene.keep_alive, 2, slots=100, target="benchmarks.faults.handlers:nothing")
        )
        for _ in range(2):
            await scene.ready(scene.workers.hms("act"))
        while True:
            stats = await scene.oms.stats("q")
            # All that was in flight is rescued, all that was scheduled is promoted.
            if stats.totals.get("rescued", 0) >= part and not stats.scheduled:
                break
            await anyio.sleep(0.2)
        scene.recovery_s = time.monotonic() - began
        group.cancel_scope.cancel()
    stats = await scene.oms.stats("q")
    scene.expect_equal(stats.totals["rescued"], part, "rescued")
    scene.expect_equal(stats.totals["accepted"], 12 * part, "accepted")
    scene.expect(stats.balanced, f"the books do not balance: {stats}")
    slow = await _slow_commands(scene)
    scene.expect(not slow, f"{len(slow)} commands of ours took over {LONGEST_MS} ms: {slow[:3]}")
