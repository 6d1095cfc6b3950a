"""A long run with faults at random: the same seed draws the same faults again."""

import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import anyio

from benchmarks.faults.campaign import Scenario
from benchmarks.faults.loads import load
from benchmarks.faults.processes import Owned
from benchmarks.faults.proxy import Proxy, proxied
from benchmarks.faults.scene import NOISE_S, Scene
from hms_async import NewTask, RetryPolicy
from hms_async.errors import HMSError, StoreError

LEASE_S = 5.0
_RATE, _THREAD_RATE = 100, 5
_DRAIN_S = 240.0
_NO_SERVER = 3
_Fault = Callable[[], Awaitable[str]]
_THREADS = "benchmarks.faults.handlers:thread"


class Soak:
    """One run.

    Args:
        scene: Where.
        seed: What the faults and the load are drawn from.
        seconds: How long faults go on.
    """

    def __init__(self, scene: Scene, seed: int, seconds: float) -> None:
        self._scene = scene
        self._seconds = seconds
        self._chance = random.Random(seed)
        self._kinds = random.Random(seed + 1)
        self._ended_by_us: set[int] = set()
        self._began = time.monotonic()

    async def run(self) -> None:
        """Let it rain, then let it drain."""
        scene = self._scene
        retry = RetryPolicy(max_attempts=3, base="100ms", cap="2s")
        for queue in ("q", "t"):
            await scene.queue(queue, lease=f"{LEASE_S}s", max_crashes=1_000, retry=retry)
        scene.duplicates_are_expected = True
        async with proxied(scene.server.url) as proxy, anyio.create_task_group() as group:
            group.start_soon(partial(scene.keep_alive, 3, slots=30))
            group.start_soon(partial(scene.keep_alive, 1, slots=30, url=proxy.url))
            group.start_soon(partial(scene.keep_alive, 1, queue="t", target=_THREADS))
            group.start_soon(self._collect_events)
            async with anyio.create_task_group() as rain:
                rain.start_soon(load, scene, _RATE, self._seconds, self._task)
                rain.start_soon(
                    partial(load, scene, _THREAD_RATE, self._seconds, _in_thread, queue="t")
                )
                rain.start_soon(self._break_things, proxy)
            began = time.monotonic()
            for queue in ("q", "t"):
                await scene.drained(_DRAIN_S, queue)
            scene.recovery_s = time.monotonic() - began
            fell = {
                pid: one.code
                for pid, one in scene.workers.all.items()
                if one.died is not None and pid not in self._ended_by_us and not _never_ran(one)
            }
            scene.expect(not fell, f"workers ended by themselves: {fell}")
            group.cancel_scope.cancel()

    def _task(self, number: int) -> NewTask:
        kind = self._kinds.choice(("quick",) * 6 + ("slow", "retried", "failing", "delayed", "key"))
        payload: dict[str, Any] = {"n": number}
        match kind:
            case "slow":
                return NewTask(payload | {"s": 1})
            case "retried":
                return NewTask(payload | {"do": "flaky", "times": 1})
            case "failing":
                return NewTask(payload | {"do": "flaky", "times": 1_000})
            case "delayed":
                return NewTask(payload, delay="2s")
            case "key":
                return NewTask(payload, idempotency_key=f"key-{number // 50}")
            case _:
                return NewTask(payload)

    async def _collect_events(self) -> None:
        """Read along, as the store keeps a bounded number of events."""
        while True:
            with suppress(StoreError):
                for queue in ("q", "t"):
                    await self._scene.events(queue)
            await anyio.sleep(5)

    # The faults.

    async def _break_things(self, proxy: Proxy) -> None:
        faults: list[_Fault] = [
            self._kill_worker,
            self._kill_worker,
            self._terminate_worker,
            self._freeze_worker,
            self._kill_server,
            self._freeze_server,
            self._kill_connections,
            self._flush_scripts,
            self._cancel_tasks,
            partial(self._swallow, proxy),
        ]
        while time.monotonic() - self._began < self._seconds:
            await anyio.sleep(self._chance.uniform(0.2, 3))
            told = await self._chance.choice(faults)()
            print(f"    {time.monotonic() - self._began:7.1f} s  {told}", flush=True)

    def _anyone(self) -> Owned | None:
        alive = self._scene.workers.alive
        return self._chance.choice(alive) if alive else None

    async def _kill_worker(self) -> str:
        if (worker := self._anyone()) is None:
            return "nobody to kill"
        self._ended_by_us.add(worker.pid)
        worker.kill()
        return f"kill -9 of worker {worker.pid}"

    async def _terminate_worker(self) -> str:
        if (worker := self._anyone()) is None:
            return "nobody to stop"
        self._ended_by_us.add(worker.pid)
        worker.terminate()
        return f"SIGTERM to worker {worker.pid}"

    async def _freeze_worker(self) -> str:
        if (worker := self._anyone()) is None:
            return "nobody to freeze"
        seconds = self._chance.uniform(0.5, 2.5 * LEASE_S)
        worker.freeze()
        await anyio.sleep(seconds)
        worker.thaw()
        return f"worker {worker.pid} was frozen for {seconds:.1f} s"

    async def _kill_server(self) -> str:
        seconds = self._chance.choice((0, 0.2, 2, 8))
        self._scene.server.running.kill()
        await anyio.sleep(seconds)
        self._scene.server.start()
        while not await self._scene.server.answers():  # noqa: ASYNC110  # another process
            await anyio.sleep(0.05)
        return f"the server was killed and down for {seconds} s"

    async def _freeze_server(self) -> str:
        seconds = self._chance.uniform(0.5, 2.5 * LEASE_S)
        self._scene.server.running.freeze()
        await anyio.sleep(seconds)
        self._scene.server.running.thaw()
        return f"the server was frozen for {seconds:.1f} s"

    async def _kill_connections(self) -> str:
        with suppress(StoreError):
            await self._scene.store.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
        return "every connection was killed"

    async def _flush_scripts(self) -> str:
        with suppress(StoreError):
            await self._scene.store.ask("SCRIPT", "FLUSH")
        return "scripts were flushed"

    async def _cancel_tasks(self) -> str:
        oms, cancelled = self._scene.oms, 0
        with suppress(HMSError):  # it runs, or has ended, or nobody answers
            for state in ("scheduled", "retrying", "waiting", "in_progress"):
                for task in (await oms.list_tasks("q", state, limit=5)).tasks:
                    await oms.cancel(task.id)
                    cancelled += 1
        return f"{cancelled} tasks were cancelled"

    async def _swallow(self, proxy: Proxy) -> str:
        proxy.swallow_every, before = 4, proxy.swallowed
        await anyio.sleep(5)
        proxy.swallow_every = 0
        return f"the proxy swallowed {proxy.swallowed - before} replies"


def _never_ran(worker: Owned) -> bool:
    """Whether a worker found no server at its start: it says so at once, and leaves with 3."""
    return worker.code == _NO_SERVER and not Scene.is_ready(worker)


def _in_thread(number: int) -> dict[str, object]:
    return {"n": number, "s": 0.3}


def scenario(seed: int, minutes: float) -> Scenario:
    """Return a soak as a scenario of the campaign."""

    async def act(scene: Scene) -> None:
        await Soak(scene, seed, minutes * 60).run()

    return Scenario(
        name=f"soak-{seed}", act=act, longest_s=minutes * 60 + 3 * _DRAIN_S + NOISE_S, alone=True
    )
