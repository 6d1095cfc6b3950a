"""One method for each operation; everything that happens in Redis happens here."""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self, cast

from redis.exceptions import NoScriptError

from hms_async.domain.queue import Queue, QueueSettings, QueueStats
from hms_async.domain.task import TaskPage, TaskRecord, TaskState
from hms_async.errors import QueueNotFound, StoreProtocol
from hms_async.storage import codec, connect, settings
from hms_async.storage.keys import Keys
from hms_async.storage.replies import Enqueue, Exchanged, Refused, Rescued, RungFired, Settle, Swept
from hms_async.storage.scripts import load

SWEEP_LIMIT = 200
EVENTS_KEPT_MS = 3_600_000
_NO_QUEUE = b"no_queue"


class Store:
    """The queues and tasks of one namespace on one server.

    Use it as an async context manager. Errors are those of `hms_async.errors`; nothing is
    repeated here: whoever calls knows what may be repeated (R7, R11).

    Args:
        url: Where the server is; `memory://name` for a store in this process.
        namespace: Goes in front of every key.
        clock: Milliseconds since the Unix epoch, for tests that travel in time; without it
            the server's own clock rules (I9).
    """

    def __init__(
        self, url: str, *, namespace: str = "", clock: Callable[[], int] | None = None
    ) -> None:
        self.url = connect.check_url(url)
        self.keys = Keys(namespace)
        self._clock = clock
        self._redis = connect.connect(url)
        self._bell = connect.connect(url, blocking=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; the store cannot be used afterwards."""
        await self._redis.aclose()
        await self._bell.aclose()

    @property
    def blocking(self) -> Any:
        """The client for commands that wait on the server, for modules of this package."""
        return self._bell

    # How scripts and commands are sent.

    async def _run(self, name: str, queue: str, *args: str | bytes | float) -> Any:
        script = load(name)
        now = "" if self._clock is None else self._clock()
        sent = (1, self.keys.queue(queue), self.keys.task_prefix(queue), now, *args)
        with connect.translated():
            try:
                reply = await self._command("EVALSHA", script.sha, *sent)
            except NoScriptError:
                # A restarted or flushed server; EVAL leaves the script there again.
                reply = await self._command("EVAL", script.text, *sent)
        if reply == _NO_QUEUE:
            raise QueueNotFound(queue)
        return reply

    async def _command(self, *args: str | bytes | float) -> Any:
        return await cast("Any", self._redis).execute_command(*args)

    async def _ask(self, *args: str | bytes | float) -> Any:
        with connect.translated():
            return await self._command(*args)

    async def ping(self) -> None:
        """Raise unless the server answers."""
        await self._ask("PING")

    async def server_info(self) -> dict[str, str]:
        """Return what the server says of itself; empty where it does not (`memory://`)."""
        if connect.is_memory(self.url):
            return {}
        reply = await self._ask("INFO")
        if isinstance(reply, bytes):
            lines = reply.decode().splitlines()
            return dict(line.split(":", 1) for line in lines if ":" in line)
        return {str(key): str(value) for key, value in reply.items()}

    # Queues.

    async def configure(self, queue: str, wanted: QueueSettings) -> tuple[str, int]:
        """Create a queue or change its settings.

        Returns:
            `created`, `changed` or `same`, and the version of the settings.
        """
        reply = await self._run("configure", queue, *settings.to_fields(wanted))
        # On a cluster the registry lives elsewhere, so it is no part of the script.
        await self._ask("SADD", self.keys.queues, queue)
        return reply[0].decode(), reply[1]

    async def queue(self, name: str) -> Queue:
        """Return a queue's settings.

        Raises:
            QueueNotFound: If nobody created it.
        """
        fields = _mapping(await self._ask("HGETALL", self.keys.part(name, "config")))
        if b"version" not in fields:
            raise QueueNotFound(name)
        return settings.from_fields(name, fields)

    async def queue_names(self) -> list[str]:
        """Return the names of all queues, sorted."""
        return sorted(name.decode() for name in await self._ask("SMEMBERS", self.keys.queues))

    async def stats(self, queue: str) -> QueueStats:
        """Return one look at a queue."""
        reply = await self._run("stats", queue)
        totals = reply[14]
        return QueueStats(
            name=queue,
            now_ms=reply[0],
            paused=reply[1] == 1,
            sla_ms=_optional(reply[2]),
            waiting=reply[3],
            in_progress=reply[4],
            scheduled=reply[5],
            retrying=reply[6],
            done=reply[7],
            failed=reply[8],
            cancelled=reply[9],
            expired=reply[10],
            oldest_arrived_ms=_optional(reply[11]),
            next_due_ms=_optional(reply[12]),
            next_rung_ms=_optional(reply[13]),
            totals={
                name.decode(): int(value)
                for name, value in zip(totals[::2], totals[1::2], strict=True)
            },
        )

    async def pause(self, queue: str, *, paused: bool, reason: str = "") -> bool:
        """Pause a queue or let it go on; returns whether that changed anything."""
        reply = await self._run("pause", queue, "1" if paused else "0", reason)
        return bool(reply == b"ok")

    # Tasks in.

    async def enqueue(self, queue: str, items: Sequence[Enqueue]) -> list[Refused | None]:
        """Accept tasks, in order.

        Returns:
            For each item `None` when it was created, else why it was not.
        """
        args: list[str | bytes] = [queue, self.keys.unique_prefix(queue)]
        for item in items:
            args += (item.id, item.body, item.options)
        reply = await self._run("enqueue", queue, *args)
        return [
            None
            if answer == b"created"
            else Refused(answer[0].decode(), answer[1].decode(), _str(answer[2]))
            for answer in reply
        ]

    # Tasks out.

    async def exchange(
        self,
        queue: str,
        *,
        worker: str,
        incarnation: str,
        lane: int,
        seq: int,
        settles: Sequence[Settle] = (),
        want: int = 0,
        lease_ms: int | None = None,
    ) -> Exchanged | None:
        """Settle attempts and claim new ones, exactly once for each lane and number (R2).

        Returns:
            `None` when a higher number of this lane was seen already.
        """
        args: list[str | bytes | float] = [queue, worker, incarnation, lane, seq, want]
        args.append("" if lease_ms is None else lease_ms)
        for settle in settles:
            args += (settle.id, settle.token, settle.word, settle.argument, settle.body)
        reply = await self._run("exchange", queue, *args)
        return None if reply == b"superseded" else Exchanged.read(reply)

    async def extend(self, queue: str, leases: Iterable[tuple[str, str]]) -> set[str]:
        """Renew leases, given as pairs of id and token; returns the tokens that are lost."""
        pairs = [part for lease in leases for part in lease]
        return {token.decode() for token in await self._run("extend", queue, "", *pairs)}

    async def wait_for_bell(self, queues: Sequence[str], timeout_s: float) -> str | None:
        """Wait until one of these queues rings; returns its name, or `None` at the time-out.

        Only a token travels here, so a cancelled or broken wait loses no task.
        """
        bells = {self.keys.part(queue, "bell"): queue for queue in queues}
        with connect.translated():
            reply = await cast("Any", self._bell).blpop(list(bells), timeout=timeout_s)
        return bells[reply[0].decode()] if reply else None

    async def ring(self, queue: str) -> None:
        """Give back a token that its taker could not use (R13)."""
        await self._ask("RPUSH", self.keys.part(queue, "bell"), "1")

    # The supervisor's rounds.

    async def sweep(self, queue: str, limit: int = SWEEP_LIMIT) -> Swept:
        """Promote, rescue, speak up at each rung that is due, and ring."""
        now_ms, promoted, rescued, rungs, more = await self._run("sweep", queue, limit)
        return Swept(
            now_ms=now_ms,
            promoted=promoted,
            rescued=[Rescued.read(queue, part) for part in _chunks(rescued, 5)],
            rungs=[RungFired.read(queue, part) for part in _chunks(rungs, 7)],
            more=more == 1,
        )

    async def prune(self, queue: str, limit: int = SWEEP_LIMIT) -> tuple[int, bool]:
        """Forget ended tasks beyond their age or number; returns how many, and if more are."""
        pruned, more = await self._run("prune", queue, limit, EVENTS_KEPT_MS)
        return pruned, more == 1

    async def reconcile(
        self, queue: str, start: int = 0, limit: int = SWEEP_LIMIT
    ) -> tuple[int, int]:
        """Hold indexes against records from a rank on; returns how many it mended, and the next."""
        mended, following, _ = await self._run("reconcile", queue, start, limit)
        return mended, following

    # Acts on one task. Each returns the script's word.

    async def cancel(self, queue: str, task_id: str) -> str:
        """Cancel a task that nobody holds: `ok`, `gone`, or the state that forbids it."""
        return _str(await self._run("cancel", queue, task_id))

    async def requeue(self, queue: str, task_id: str, *, reset_clock: bool = False) -> str:
        """Bring back an ended task that is not done: `ok`, `gone`, `body_lost`, or its state."""
        return _str(await self._run("requeue", queue, task_id, "1" if reset_clock else "0"))

    async def bump(self, queue: str, task_id: str) -> str:
        """Move a waiting task to the express lane: `ok`, `already`, `gone`, or its state."""
        return _str(await self._run("bump", queue, task_id))

    # Reading.

    async def queue_of(self, task_id: str) -> str | None:
        """Return the queue of a task; `None` when no such task is stored."""
        reply = await self._ask("HGET", self.keys.run("", task_id), "queue")
        return None if reply is None else _str(reply)

    async def state(self, task_id: str) -> TaskState | None:
        """Return a task's state; `None` when no such task is stored."""
        reply = await self._ask("HGET", self.keys.run("", task_id), "state")
        return None if reply is None else TaskState(_str(reply))

    async def task(self, task_id: str) -> TaskRecord | None:
        """Return a task with its last attempts; `None` when no such task is stored."""
        queue = await self.queue_of(task_id)
        if queue is None:
            return None
        async with self._pipeline() as pipe:
            pipe.hgetall(self.keys.run(queue, task_id))
            pipe.get(self.keys.body(queue, task_id))
            pipe.lrange(self.keys.attempts(queue, task_id), 0, -1)
            for part in ("scheduled", "retry", "inflight"):
                pipe.zscore(self.keys.part(queue, part), task_id)
            run, body, attempts, scheduled, retry, lease = await pipe.execute()
        starts = scheduled if scheduled is not None else retry
        if b"state" not in run:
            return None
        return codec.decode_record(
            task_id,
            run,
            body,
            attempts=attempts,
            starts_ms=None if starts is None else int(starts),
            lease_expires_ms=None if lease is None else int(lease),
        )

    async def tasks(
        self, queue: str, state: TaskState, cursor: str | None = None, limit: int = 50
    ) -> TaskPage:
        """Return one page of a queue's tasks in a state.

        Waiting tasks come in claim order, ended ones newest first, the others by the instant
        that they wait for. A page may be short: entries left behind are passed over.
        """
        lane, _, offset = (cursor or "").partition(":")
        start = int(offset or 0)
        async with self._pipeline() as pipe:
            if state is TaskState.WAITING:
                lane = lane or "express"
                normal, express = self.keys.queue(queue), self.keys.part(queue, "express")
                pipe.lrange(express if lane == "express" else normal, start, start + limit - 1)
            else:
                key = self.keys.part(queue, _SETS[state])
                pipe.execute_command(
                    "ZREVRANGE" if state.ended else "ZRANGE", key, start, start + limit - 1
                )
            entries = (await pipe.execute())[0]
        following = f"{lane}:{start + limit}" if len(entries) == limit else None
        tasks = await self._records(queue, state, lane, entries)
        if following is None and lane == "express":
            rest = await self.tasks(queue, state, "normal:0", limit - len(entries) or limit)
            return TaskPage(tasks + rest.tasks, rest.cursor)
        return TaskPage(tasks, following)

    async def _records(
        self, queue: str, state: TaskState, lane: str, entries: list[bytes]
    ) -> list[TaskRecord]:
        ids = [entry.decode(errors="replace") for entry in entries]
        if not ids:
            return []
        async with self._pipeline() as pipe:
            for task_id in ids:
                pipe.hgetall(self.keys.run(queue, task_id))
                pipe.get(self.keys.body(queue, task_id))
            replies = await pipe.execute(raise_on_error=False)
        return [
            codec.decode_record(task_id, run, body)
            for task_id, run, body in zip(ids, replies[::2], replies[1::2], strict=True)
            if not isinstance(run, Exception)
            and run.get(b"state") == state.encode()
            and (not lane or run.get(b"lane") == lane.encode())
        ]

    @asynccontextmanager
    async def _pipeline(self) -> AsyncGenerator[Any]:
        with connect.translated():
            async with self._redis.pipeline(transaction=False) as pipe:
                yield pipe

    async def register_worker(self, worker_id: str, card: dict[str, str], ttl_s: int) -> None:
        """Leave a worker's card where operators look; nothing depends on it."""
        seconds, _ = await self._ask("TIME")
        seen_ms = int(seconds) * 1_000
        async with self._pipeline() as pipe:
            pipe.hset(self.keys.worker(worker_id), mapping=card | {"seen_ms": str(seen_ms)})
            pipe.expire(self.keys.worker(worker_id), ttl_s)
            pipe.zadd(self.keys.workers, {worker_id: seen_ms})
            pipe.zremrangebyscore(self.keys.workers, "-inf", seen_ms - ttl_s * 1_000)
            await pipe.execute()

    async def unregister_worker(self, worker_id: str) -> None:
        """Take a worker's card away."""
        async with self._pipeline() as pipe:
            pipe.delete(self.keys.worker(worker_id))
            pipe.zrem(self.keys.workers, worker_id)
            await pipe.execute()


_SETS = {
    TaskState.SCHEDULED: "scheduled",
    TaskState.RETRYING: "retry",
    TaskState.IN_PROGRESS: "inflight",
    TaskState.DONE: "done",
    TaskState.FAILED: "failed",
    TaskState.CANCELLED: "cancelled",
    TaskState.EXPIRED: "expired",
}


def _chunks(values: list[Any], size: int) -> list[list[Any]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def _str(value: bytes | str | int) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _optional(value: bytes | int) -> int | None:
    return None if value == b"" else int(float(value))


def _mapping(reply: Any) -> dict[bytes, bytes]:
    if isinstance(reply, dict):
        return cast("dict[bytes, bytes]", reply)
    if isinstance(reply, list):
        flat = cast("list[bytes]", reply)
        return dict(zip(flat[::2], flat[1::2], strict=True))
    raise StoreProtocol(f"a hash was expected, the server answered {reply!r}")
