"""A server that refuses: scripts gone, read-only, loading, full, or not meant for us."""

import time

import anyio

from benchmarks.faults.campaign import scenario
from benchmarks.faults.loads import RATE, SLOTS, load
from benchmarks.faults.processes import Owned
from benchmarks.faults.proxy import proxied
from benchmarks.faults.scene import NOISE_S, Scene
from hms_async.errors import StoreFull, StoreUnavailable

_STRICT_CODES = range(2, 6)


async def _no_crash(scene: Scene) -> None:
    totals = (await scene.oms.stats("q")).totals
    scene.expect_equal(totals.get("rescued", 0), 0, "rescued")


@scenario("script-flush", short=True)
async def script_flush(scene: Scene) -> None:
    """SCRIPT FLUSH again and again, under load."""
    seconds = 3 if scene.short else 10
    await scene.queue()
    for _ in range(2):
        await scene.hire(slots=SLOTS)
    async with anyio.create_task_group() as group:
        group.start_soon(load, scene, RATE, seconds)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await scene.store.ask("SCRIPT", "FLUSH")
            await anyio.sleep(0.1)
    scene.recovered(await scene.drained(), 5 + NOISE_S)
    await _no_crash(scene)


@scenario("server-readonly")
async def readonly(scene: Scene) -> None:
    """The server is made a replica of nobody for 10 s, under load, and then a master again."""
    await scene.queue(lease="5s")
    for _ in range(2):
        await scene.hire(slots=SLOTS)
    async with anyio.create_task_group() as group:
        group.start_soon(load, scene, RATE, 16)
        await anyio.sleep(3)
        await scene.store.ask("REPLICAOF", "127.0.0.1", 1)
        await anyio.sleep(10)
        await scene.store.ask("REPLICAOF", "NO", "ONE")
        await scene.goes_on(5)
    await scene.drained()
    await _no_crash(scene)


@scenario("server-loading")
async def loading(scene: Scene) -> None:
    """The server restarts with a large append-only file, and says LOADING for seconds."""
    await scene.queue(lease="5s")
    fill = "for i=ARGV[1],ARGV[1]+9999 do redis.call('SET','other:'..i,string.rep('x',100)) end"
    for start in range(0, 300_000, 10_000):
        await scene.store.ask("EVAL", fill, 0, start)
    for _ in range(2):
        await scene.hire(slots=SLOTS)
    seen = False
    async with anyio.create_task_group() as group:
        group.start_soon(load, scene, RATE, 14)
        await anyio.sleep(3)
        scene.server.running.kill()
        # A short sleep at one key in four: it takes as long as with a file many times as large.
        scene.server.start(["--key-load-delay", "-4"])
        while True:
            try:
                await scene.store.ping()
            except StoreUnavailable as error:
                seen = seen or "loading" in str(error).lower()
            else:
                break
            await anyio.sleep(0.05)
        await scene.goes_on(5)
    scene.expect(seen, "LOADING was never seen")
    await scene.drained()
    await _no_crash(scene)


@scenario("server-full", short=True)
async def full(scene: Scene) -> None:
    """maxmemory is reached, noeviction: enqueue raises StoreFull, work is drained all the same."""
    await scene.queue()
    worker = await scene.hire(slots=50)
    await scene.enqueue([{"do": "gate", "n": n} for n in range(500)])
    await scene.until(lambda: len(scene.held_by(worker)) == 50, "tasks in flight")  # noqa: PLR2004  # its slots
    info = await scene.store.server_info()
    await scene.store.ask("CONFIG", "SET", "maxmemory", int(info["used_memory"]) + 1_000_000)
    refused = 0
    for number in range(3_000):
        try:
            enqueued = await scene.oms.enqueue("q", {"n": number, "fill": "x" * 2_000})
        except StoreFull:
            refused += 1
            if refused > 3:  # noqa: PLR2004  # to be sure
                break
        else:
            scene.accepted["q"].add(enqueued.id)
    scene.expect(refused > 0, "enqueue never raised StoreFull")
    scene.workers.open_gate()
    began = time.monotonic()
    await scene.hire(slots=50)
    await scene.drained()
    scene.recovered(time.monotonic() - began, 20 + NOISE_S)
    await scene.store.ask("CONFIG", "SET", "maxmemory", 0)
    await scene.enqueue([{"n": 1}])
    await scene.drained()
    await _no_crash(scene)


async def _refuses(scene: Scene, process: Owned, codes: range, words: str) -> None:
    code, _ = await scene.exit_of(process, 10, "hms run")
    text = process.log.read_text()
    scene.expect(code in codes, f"exit code {code}, not in {codes}")
    lines = [line for line in text.splitlines() if line.startswith("error")]
    scene.expect(len(lines) == 1 and words in lines[0], f"no clear line with {words!r}: {text}")
    scene.expect("Traceback" not in text, f"a traceback: {text}")


@scenario("wrong-password", short=True)
async def password(scene: Scene) -> None:
    """A wrong password, and none: `hms run` exits 3 with one clear line."""
    await scene.queue()
    await scene.store.ask("CONFIG", "SET", "requirepass", "right")
    good = scene.server.url.replace("redis://", "redis://:right@")
    for url in (scene.server.url, good.replace("right", "wrong")):
        await _refuses(scene, scene.workers.run(url=url), range(3, 4), "password")
    await scene.ready(scene.workers.run(url=good))
    await scene.store.ask("CONFIG", "SET", "requirepass", "")


async def _warned(scene: Scene, words: str) -> None:
    worker = await scene.hire()
    text = worker.log.read_text()
    scene.expect("warning" in text and words in text, f"no warning with {words!r}: {text}")
    strict = scene.workers.run("--strict")
    await _refuses(scene, strict, _STRICT_CODES, words)


@scenario("server-too-old", short=True)
async def too_old(scene: Scene) -> None:
    """The server says that it is of a version before 6.2: `hms run` exits 3 with one clear line."""
    await scene.queue()
    info = await scene.store.server_info()
    version = (info.get("valkey_version") or info["redis_version"]).encode()
    async with proxied(scene.server.url) as proxy:
        proxy.disguise = {version: b"5" + version[1:]}
        await _refuses(scene, scene.workers.run(url=proxy.url), range(3, 4), "needs Redis 6.2")


@scenario("eviction-policy", short=True)
async def eviction(scene: Scene) -> None:
    """The server may evict keys: `hms run` warns, and refuses with --strict."""
    await scene.queue()
    await scene.store.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    await _warned(scene, "evict")


@scenario("no-persistence", fsyncs=(None,))
async def no_persistence(scene: Scene) -> None:
    """The server keeps nothing on its disk: `hms run` warns, and refuses with --strict."""
    await scene.queue()
    await _warned(scene, "append-only")
