"""One scenario's world: a server of its own, workers, a client, and what is expected of them."""

import random
import shutil
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from benchmarks.faults.processes import Owned
from benchmarks.faults.servers import Kind, Server
from benchmarks.faults.workers import Workers
from hms_async import AsyncOMSClient, Event
from hms_async.errors import StoreUnavailable
from hms_async.storage.events import START, EventReader
from hms_async.storage.store import Store

LOOK_S = 0.02
PATIENCE_S = 30.0
READY_S = 20.0
NOISE_S = 1.0
"""Added to limits of time: a busy machine of two cores lets everybody wait now and then."""

_PAGE = 1_000


class Late(Exception):
    """Something that was waited for did not come."""


class Scene:
    """What a scenario works with.

    Attributes:
        server: Its server.
        store: Raw access to it.
        oms: A client.
        workers: Its processes.
        short: Whether the short form is wanted.
        chance: What is random in it.
        accepted: Ids whose enqueue returned, for each queue.
        wrong: What did not hold.
        recovery_s: How long it took until all was well again.
        duplicates_are_expected: Whether a task may come to a second successful end.
        longest_enqueue_s: How long the slowest enqueue took.
        uncounted: How many tasks were accepted beside these: too many to look at each.
    """

    def __init__(self, server: Server, store: Store, workers: Workers, *, short: bool) -> None:
        self.server = server
        self.store = store
        self.oms = AsyncOMSClient(store=store)
        self.workers = workers
        self.short = short
        self.chance = random.Random(3)
        self.accepted: dict[str, set[str]] = defaultdict(set)
        self.wrong: list[str] = []
        self.recovery_s: float | None = None
        self.duplicates_are_expected = False
        self.longest_enqueue_s = 0.0
        self.uncounted = 0
        self._events: dict[str, tuple[EventReader, list[Event]]] = {}

    # What is expected.

    def expect(self, holds: bool, what: str) -> None:  # noqa: FBT001  # reads like assert
        """Take note of something that does not hold; the scenario goes on."""
        if not holds:
            self.wrong.append(what)

    def expect_equal(self, got: object, wanted: object, what: str) -> None:
        """Take note of something that is another than it should be."""
        self.expect(got == wanted, f"{what}: {got!r}, not {wanted!r}")

    def recovered(self, seconds: float, limit: float) -> None:
        """Take note of how long it took, and whether that was too long."""
        self.recovery_s = max(seconds, self.recovery_s or 0.0)
        self.expect(seconds <= limit, f"recovery took {seconds:.1f} s, the limit is {limit:g} s")

    async def until(
        self, holds: Callable[[], bool], what: str, within_s: float = PATIENCE_S
    ) -> float:
        """Look again and again, as processes can only be looked at; returns for how long.

        Raises:
            Late: If it does not come.
        """
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > within_s:
                raise Late(f"not within {within_s:g} s: {what}")
            await anyio.sleep(LOOK_S)
        return time.monotonic() - began

    # Queues and tasks.

    async def queue(self, name: str = "q", **settings: Any) -> None:
        """Create a queue that forgets nothing while it is watched."""
        kept: dict[str, Any] = {
            "keep_done_max": 2_000_000,
            "keep_failed_max": 2_000_000,
            "lease": "5s",
        }
        await self.oms.create_queue(name, **(kept | settings))

    async def enqueue(self, payloads: Iterable[Any], queue: str = "q") -> list[str]:
        """Drop tasks in; returns their ids."""
        ids = [one.id for one in await self.oms.enqueue_many(queue, list(payloads))]
        self.accepted[queue].update(ids)
        return ids

    async def drained(self, within_s: float = 60.0, queue: str = "q") -> float:
        """Wait until no task of a queue is open; returns how long that took.

        Raises:
            Late: If some stay.
        """
        began, left = time.monotonic(), -1
        while time.monotonic() - began < within_s:
            try:
                left = (await self.oms.stats(queue)).open
            except StoreUnavailable:
                left = -1
            if left == 0:
                return time.monotonic() - began
            await anyio.sleep(5 * LOOK_S)
        raise Late(f"not within {within_s:g} s: {queue} drained, {left} tasks are open")

    # Processes.

    async def hire(self, *flags: str, **options: Any) -> Owned:
        """Start a worker and wait until it takes tasks."""
        worker = self.workers.run(*flags, **options)
        await self.ready(worker)
        return worker

    @staticmethod
    def is_ready(process: Owned) -> bool:
        """Whether a worker or supervisor has said that it is ready."""
        return b"ready." in process.log.read_bytes()

    async def ready(self, process: Owned) -> None:
        """Wait until a worker or supervisor says that it is ready."""
        await self.until(
            lambda: self.is_ready(process) or process.died is not None,
            f"process {process.pid} is ready",
            READY_S,
        )

    async def exit_of(self, process: Owned, within_s: float, what: str) -> tuple[int, float]:
        """Wait for an end; returns the code, as a shell has it, and how long it took.

        Raises:
            Late: If it does not end.
        """
        took = await self.until(lambda: process.died is not None, f"{what} exits", within_s)
        code = process.code or 0
        return (code if code >= 0 else 128 - code), took

    async def keep_alive(self, count: int, *flags: str, **options: Any) -> None:
        """Have so many workers, and start others for those that die, as systemd would."""
        mine: list[Owned] = []
        while True:
            mine = [worker for worker in mine if worker.died is None]
            while len(mine) < count:
                mine.append(self.workers.run(*flags, **options))
            await anyio.sleep(LOOK_S)

    def held_by(self, process: Owned) -> set[str]:
        """Return the tasks that a process has started and not ended."""
        lines = [line for line in self.workers.journal.lines() if line.pid == process.pid]
        started = Counter(line.id for line in lines if line.word == "start")
        return set(started - Counter(line.id for line in lines if line.word in {"end", "cut"}))

    async def taken_up(self, tasks: set[str], after: int, within_s: float) -> float:
        """Wait until each task has started again after an instant.

        Returns:
            How long that took for each lease that was lost on the way: another worker may have
            claimed one, and been killed as well before it could start it.
        """
        crashes: dict[str, int] = {}
        again: dict[str, float] = {}

        def all_started() -> bool:
            again.clear()
            for line in self.workers.journal.lines():
                if line.word != "start" or line.id not in tasks or line.id in again:
                    continue
                if line.at <= after:
                    crashes[line.id] = line.crashes
                else:
                    leases = max(line.crashes - crashes.get(line.id, 0), 1)
                    again[line.id] = (line.at - after) / 1e9 / leases
            return again.keys() >= tasks

        await self.until(all_started, f"{len(tasks)} held tasks run again", within_s)
        return max(again.values(), default=0.0)

    async def goes_on(self, limit: float) -> None:
        """Wait from now on until any task is started; that is how long recovery took."""
        now = time.monotonic_ns()
        took = await self.until(
            lambda: any(
                line.word == "start" and line.at > now
                for line in reversed(self.workers.journal.lines())
            ),
            "work goes on",
        )
        self.recovered(took, limit + NOISE_S)

    # What the store says.

    async def events(self, queue: str = "q") -> list[Event]:
        """Return all events of a queue so far; the store keeps them for an hour at most."""
        if queue not in self._events:
            self._events[queue] = EventReader(self.store, queue, START), []
        reader, found = self._events[queue]
        while page := await reader.read(1):
            found += page
        return found

    async def records(self, ids: Iterable[str], *fields: str) -> dict[str, list[str]]:
        """Read fields of the records of tasks, past all counters; empty where there is none."""
        found: dict[str, list[str]] = {}
        names = sorted(ids)
        for start in range(0, len(names), _PAGE):
            page = names[start : start + _PAGE]
            async with self.store.pipeline() as pipe:
                for task in page:
                    pipe.hmget(self.store.keys.run("", task), *fields)
                replies: Sequence[list[bytes | None]] = await pipe.execute()
            for task, values in zip(page, replies, strict=True):
                found[task] = [(value or b"").decode(errors="replace") for value in values]
        return found

    async def states(self, queue: str = "q") -> Counter[str]:
        """Return how many of the accepted tasks are in which state, by their records."""
        records = await self.records(self.accepted[queue], "state")
        return Counter(state for (state,) in records.values())


@asynccontextmanager
async def staged(kind: Kind, *, short: bool, extra: Sequence[str] = ()) -> AsyncGenerator[Scene]:
    """Have a scene for the length of a block; its folder stays if anything was wrong."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    server = Server(kind, folder / "server")
    workers = Workers(server.url, folder)
    keep = False
    try:
        server.start(extra)
        async with Store(server.url) as store:
            scene = Scene(server, store, workers, short=short)
            with anyio.fail_after(READY_S):
                while not await server.answers():  # noqa: ASYNC110  # another process
                    await anyio.sleep(LOOK_S)
            async with scene.oms:
                yield scene
            if scene.wrong:
                scene.wrong.append(f"see {folder}")
                keep = True
    except Exception:
        keep = True
        raise
    finally:
        workers.close()
        server.close()
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
