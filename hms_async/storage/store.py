"""One method for each operation; everything that happens in Redis happens here."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from hms_async.domain.audit import Actor
from hms_async.domain.queue import ALPHABET, Queue, QueueSettings, QueueStats
from hms_async.domain.task import TaskPage, TaskRecord, TaskState
from hms_async.domain.worker import WorkerCard
from hms_async.errors import QueueClosing, QueueNotFound, StoreError, StoreProtocol, StoreRefused
from hms_async.storage import connect, registry, settings
from hms_async.storage.audit import as_args
from hms_async.storage.holding import Holder, LaneRecord, read_holders, read_lanes
from hms_async.storage.reading import read_page, read_task
from hms_async.storage.replies import (
    Enqueue,
    Exchanged,
    Extended,
    Refused,
    Rescued,
    RungFired,
    Settle,
    Swept,
    read_stats,
)
from hms_async.storage.server import Server

SWEEP_LIMIT = 100
EVENTS_KEPT_MS = 3_600_000


def name_of(info: Mapping[str, Any]) -> str:
    """Return a server's kind and version, such as `valkey 9.1.2`, from what it says of itself."""
    # Where Valkey gives a Redis version too, it is that of the Redis it is like.
    version = info.get("valkey_version") or info.get("redis_version", "")
    return f"{info.get('server_name', 'redis')} {version}".strip()


class Store(Server):
    """The queues and tasks of one namespace: one method for each script, and reading."""

    async def ping(self) -> None:
        """Raise unless the server answers."""
        await self.ask("PING")

    async def server_info(self) -> dict[str, str]:
        """Return what the server says of itself, and its setting `save`.

        What it keeps from us is missing: rented servers and users without the right do not
        answer `INFO` or `CONFIG`, and `memory://` neither.
        """
        info: dict[str, str] = {}
        if connect.is_memory(self.url):
            return info
        with suppress(StoreRefused, StoreProtocol):
            reply = await self.ask("INFO")
            info |= {str(key): str(value) for key, value in reply.items()}
        with suppress(StoreRefused, StoreProtocol):
            saves = _mapping(await self.ask("CONFIG", "GET", "save"))
            info |= {name.decode(): value.decode() for name, value in saves.items()}
        return info

    # Queues.

    async def configure(
        self, queue: str, wanted: QueueSettings, *, by: Actor | None = None
    ) -> tuple[str, int]:
        """Create a queue or change its settings.

        Args:
            queue: The queue.
            wanted: Its settings.
            by: Which operator does so; it is in the audit then.

        Returns:
            `created`, `changed` or `same`, and the version of the settings.

        Raises:
            QueueClosing: If it is being removed.
        """
        reply = await self.run("configure", queue, *as_args(by), *settings.to_fields(wanted))
        if reply == b"removing":
            raise QueueClosing(queue)
        # On a cluster the registry lives elsewhere, so it is no part of the script.
        await self.ask("SADD", self.keys.queues, queue)
        return reply[0].decode(), reply[1]

    async def queue(self, name: str) -> Queue:
        """Return a queue's settings.

        Raises:
            QueueNotFound: If nobody created it.
        """
        fields = _mapping(await self.ask("HGETALL", self.keys.part(name, "config")))
        if b"version" not in fields:
            raise QueueNotFound(name)
        try:
            return settings.from_fields(name, fields)
        except (ValueError, TypeError, LookupError) as error:
            raise StoreProtocol(
                f'the settings of queue "{name}" cannot be read: {error}'
            ) from error

    async def queue_names(self) -> list[str]:
        """Return the names of all queues, sorted."""
        names = await self.ask("SMEMBERS", self.keys.queues)
        texts = (name.decode(errors="replace") for name in names)
        # A foreign hand's entry may be no name, and names no queue then.
        return sorted(text for text in texts if ALPHABET.fullmatch(text))

    async def stats(self, queue: str) -> QueueStats:
        """Return one look at a queue."""
        return read_stats(queue, await self.run("stats", queue))

    async def pause(
        self,
        queue: str,
        *,
        paused: bool,
        reason: str = "",
        stop_clock: bool | None = None,
        by: Actor | None = None,
    ) -> bool:
        """Pause a queue or let it go on; returns whether that changed anything.

        Args:
            queue: The queue.
            paused: Which of the two.
            reason: Why, for people; the operator's reason if empty.
            stop_clock: Whether its promises stand still meanwhile; the queue's choice if not given.
            by: Which operator does so; it is in the audit then.
        """
        stops = "" if stop_clock is None else str(int(stop_clock))
        who, via, why = as_args(by)
        args = (str(int(paused)), reason or why, stops, who, via)
        reply = await self.run("pause", queue, *args)
        return bool(reply == b"ok")

    # Tasks in.

    async def enqueue(self, queue: str, items: Sequence[Enqueue]) -> list[Refused | None]:
        """Accept tasks, in order.

        Returns:
            For each item `None` when it was created, else why it was not.
        """
        return _enqueued(await self.run("enqueue", queue, *self._to_enqueue(queue, items)))

    async def enqueue_in_turn(
        self,
        queue: str,
        parts: Iterable[Sequence[Enqueue]],
        take: Callable[[list[Refused | None]], object],
    ) -> None:
        """Accept tasks part by part, each sent before the one ahead of it is answered.

        Args:
            queue: The queue.
            parts: The next one is asked for when the last one was sent.
            take: Is given for each part what `enqueue` returns, in order.
        """
        calls = (self._to_enqueue(queue, part) for part in parts)
        await self.run_in_turn("enqueue", queue, calls, lambda reply: take(_enqueued(reply)))

    async def enqueue_durably(
        self, queue: str, items: Sequence[Enqueue], *, replicas: int, timeout_ms: int
    ) -> tuple[list[Refused | None], int | StoreError]:
        """Accept tasks and wait until that many replicas have them (R21).

        Returns:
            What `enqueue` does, and how many replicas have them; the error instead if that cannot
            be told.
        """
        args = self._to_enqueue(queue, items)
        reply, told = await self.run_replicated(replicas, timeout_ms, "enqueue", queue, *args)
        return _enqueued(reply), told

    def _to_enqueue(self, queue: str, items: Sequence[Enqueue]) -> list[str | bytes]:
        args: list[str | bytes] = [queue, self.keys.unique_prefix(queue)]
        for item in items:
            args += (item.id, item.body, item.options)
        return args

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
        ahead: int = 0,
        lease_ms: int | None = None,
        suspects: bool = True,
        at_bell_s: float | None = None,
        head: bool = False,
    ) -> Exchanged | None:
        """Settle attempts and claim new ones, exactly once for each lane and number (R2).

        Args:
            queue: The queue.
            worker: Who asks, for people.
            incarnation: The asking process, in tokens.
            lane: The number of its lane.
            seq: The number of the call in that lane.
            settles: What is finished.
            want: How many tasks to claim.
            ahead: How many more, not to be started before the lane's next call is answered.
            lease_ms: For how long, instead of the queue's lease.
            suspects: Whether a task that one more crash would fail may be among them; a process
                holds one such at a time (R15).
            at_bell_s: Wait until the queue's bell rings, or so many seconds have passed.
            head: Ask for the task that goes next.

        Returns:
            `None` when a higher number of this lane was seen already.
        """
        args: list[str | bytes | float] = [queue, worker, incarnation, lane, seq, want]
        args += ("" if lease_ms is None else lease_ms, int(suspects), ahead, int(head))
        for settle in settles:
            args += (settle.id, settle.token, settle.word, settle.argument, settle.body)
        if at_bell_s is None:
            reply = await self.run("exchange", queue, *args)
        else:
            wait = ("BLPOP", self.keys.part(queue, "bell"), at_bell_s)
            reply = await self.run_after(wait, "exchange", queue, *args)
        return None if reply == b"superseded" else Exchanged.read(reply)

    async def extend(
        self, queue: str, leases: Iterable[tuple[str, str]], *, lease_ms: int | None = None
    ) -> Extended:
        """Renew leases, given as pairs of id and token; for the queue's lease if none is given."""
        pairs = [part for lease in leases for part in lease]
        longest = "" if lease_ms is None else lease_ms
        return Extended.read(await self.run("extend", queue, longest, *pairs))

    async def wait_for_bell(
        self, queues: Sequence[str], timeout_s: float, *, listener: str | None = None
    ) -> str | None:
        """Wait until one of these queues rings; returns its name, or `None` at the time-out.

        Only a token travels here, so a cancelled or broken wait loses no task.

        Args:
            queues: The queues.
            timeout_s: For how long, in seconds.
            listener: Who waits, if `call` is to end the wait; none is lost then.
        """
        bells: dict[str, str | None] = {self.keys.part(queue, "bell"): queue for queue in queues}
        if listener is not None:
            bells[self.keys.call(listener)] = None
        reply = await self.wait("BLPOP", *bells, timeout_s)
        return bells[reply[0].decode()] if reply else None

    async def call(self, listener: str, keep_ms: int) -> None:
        """End a wait for bells without losing a token; an end that nobody takes is kept so long."""
        async with self.pipeline() as pipe:
            pipe.rpush(self.keys.call(listener), "1")
            pipe.pexpire(self.keys.call(listener), keep_ms)
            await pipe.execute()

    async def rung(self, queues: Sequence[str]) -> list[str]:
        """Return those of these queues at whose bell a token lies; it stays there."""
        async with self.pipeline() as pipe:
            for queue in queues:
                pipe.llen(self.keys.part(queue, "bell"))
            tokens = await pipe.execute(raise_on_error=False)
        # An error stands for a foreign key in its place; the queue's next exchange tells of it.
        return [queue for queue, found in zip(queues, tokens, strict=True) if found]

    async def ring(self, queue: str) -> None:
        """Give back a token that its taker could not use (R13)."""
        await self.ask("RPUSH", self.keys.part(queue, "bell"), "1")

    # The supervisor's rounds.

    async def sweep(self, queue: str, limit: int = SWEEP_LIMIT) -> Swept:
        """Promote, rescue, speak up at each rung that is due, and ring."""
        reply = await self.run("sweep", queue, limit)
        now_ms, promoted, rescued, rungs, more, held_ms, to_do, waiting, idle = reply
        return Swept(
            now_ms=now_ms,
            promoted=promoted,
            rescued=[Rescued.read(queue, part) for part in _chunks(rescued, 5)],
            rungs=[RungFired.read(queue, part) for part in _chunks(rungs, 8)],
            more=more == 1,
            held_ms=held_ms,
            to_do=to_do,
            waiting=waiting,
            idle_operations=idle,
        )

    async def prune(
        self, queue: str, limit: int = SWEEP_LIMIT, *, supervisor: str = ""
    ) -> tuple[int, bool]:
        """Forget ended tasks beyond their age or number; returns how many, and if more are.

        A supervisor gives its name, so that those can be counted that live.
        """
        pruned, more = await self.run("prune", queue, limit, EVENTS_KEPT_MS, supervisor)
        return pruned, more == 1

    async def reconcile(
        self, queue: str, start: int = 0, limit: int = SWEEP_LIMIT
    ) -> tuple[int, int]:
        """Hold indexes against records from a rank on; returns how many it mended, and the next."""
        mended, following, _ = await self.run("reconcile", queue, start, limit)
        return mended, following

    # Acts on one task. Each returns the script's word; `by` is the operator, for the audit.

    async def cancel(self, queue: str, task_id: str, *, by: Actor | None = None) -> str:
        """Cancel a task: `ok`, `asked` (of its holder), `gone`, or the state that forbids it."""
        return _str(await self.run("cancel", queue, task_id, *as_args(by)))

    async def requeue(
        self, queue: str, task_id: str, *, reset_clock: bool = False, by: Actor | None = None
    ) -> str:
        """Bring back an ended task that is not done: `ok`, `gone`, `body_lost`, or its state."""
        args = ("1" if reset_clock else "0", *as_args(by))
        return _str(await self.run("requeue", queue, task_id, *args))

    async def bump(self, queue: str, task_id: str, *, by: Actor | None = None) -> str:
        """Move a waiting task to the express lane: `ok`, `already`, `gone`, or its state."""
        return _str(await self.run("bump", queue, task_id, *as_args(by)))

    async def waive(self, queue: str, task_id: str, reason: str, *, by: Actor | None = None) -> str:
        """Close a task's clock: `ok`, `already`, `no_promise`, `gone`, or its state."""
        who, via, why = as_args(by)
        return _str(await self.run("waive", queue, task_id, reason or why, who, via))

    # Reading.

    async def queue_of(self, task_id: str) -> str | None:
        """Return the queue of a task; `None` when no such task is stored."""
        reply = await self.ask("HGET", self.keys.run("", task_id), "queue")
        return None if reply is None else _str(reply)

    async def holders(self, task_ids: Sequence[str]) -> list[Holder | None]:
        """Return who holds these tasks, or did last; `None` for one that is not stored."""
        return await read_holders(self, task_ids)

    async def lanes(self, queues: Sequence[str], incarnation: str, lane: int) -> list[LaneRecord]:
        """Return the last call that each of these queues has seen in a lane of that name."""
        return await read_lanes(self, queues, incarnation, lane)

    async def task(self, task_id: str) -> TaskRecord | None:
        """Return a task with its last attempts; `None` when no such task is stored."""
        queue = await self.queue_of(task_id)
        return None if queue is None else await read_task(self, queue, task_id)

    async def tasks(
        self, queue: str, state: TaskState, cursor: str | None = None, limit: int = 50
    ) -> TaskPage:
        """Return one page of a queue's tasks in a state; `reading.read_page` says which."""
        return await read_page(self, queue, state, cursor, limit)

    # The registry.

    async def register_worker(
        self, worker_id: str, card: dict[str, str], ttl_s: int, now_ms: int | None = None
    ) -> None:
        """Leave a worker's card where operators look; nothing depends on it."""
        await registry.register(self, worker_id, card, ttl_s, now_ms)

    async def unregister_worker(self, worker_id: str) -> None:
        """Take a worker's card away."""
        await registry.unregister(self, worker_id)

    async def workers(self, limit: int = registry.MOST_CARDS) -> list[WorkerCard]:
        """Return the cards of workers that were heard of lately, the latest first."""
        return await registry.cards(self, limit)


def _enqueued(reply: list[Any]) -> list[Refused | None]:
    return [
        None
        if answer == b"created"
        else Refused(answer[0].decode(), answer[1].decode(), _str(answer[2]))
        for answer in reply
    ]


def _chunks(values: list[Any], size: int) -> list[list[Any]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def _str(value: bytes | str | int) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _mapping(reply: Any) -> dict[bytes, bytes]:
    if isinstance(reply, dict):
        return cast("dict[bytes, bytes]", reply)
    if isinstance(reply, list):
        flat = cast("list[bytes]", reply)
        return dict(zip(flat[::2], flat[1::2], strict=True))
    raise StoreProtocol(f"a hash was expected, the server answered {reply!r}")
