"""What goes into the scripts and what comes back, as values."""

from typing import Any, Literal, NamedTuple

import msgspec

from hms_async.domain.queue import QueueStats

MOST_A_CALL = 250
"""Settles, claims or renewals in one call of a script (R10)."""

_CLAIM_FIELDS = 8


class Enqueue(msgspec.Struct, frozen=True, gc=False):
    """One task to accept: id, envelope, and JSON options or nothing."""

    id: str
    body: bytes
    options: bytes = b""


class Refused(NamedTuple):
    """Why a task was not created.

    Attributes:
        word: `exists`, `id_in_use`, `full` or `too_large`.
        id: The task that stands for it, or its own id.
        detail: The state it is in, the queue that has it, or the limit that it broke.
    """

    word: str
    id: str
    detail: str


class Settle(NamedTuple):
    """One attempt's end: task id, token, word, argument, JSON.

    The argument is a delay, a jitter, or what the event of the end is to say.
    """

    id: str
    token: str
    word: str
    argument: str | bytes | int | float = ""
    body: bytes = b""


class Settled(NamedTuple):
    """What became of a settle.

    Attributes:
        answer: `ok`, `already` (this token settled it before), `stale` (somebody else has
            the task) or `gone` (it is not stored any more).
        state: The state that the task is in now.
    """

    answer: str
    state: str


class Claim(NamedTuple):
    """A task under a lease.

    Attributes:
        id: The task.
        token: The lease's fencing token.
        attempt: Its number, from 1.
        crashes: Leases lost so far.
        arrived_ms: When its SLA clock started.
        due_ms: When its promise is broken, if it has one.
        waited_ms: How long it waited in a lane, deliberate delays not counted.
        body: The envelope as stored.
    """

    id: str
    token: str
    attempt: int
    crashes: int
    arrived_ms: int
    due_ms: int | None
    waited_ms: int
    body: bytes


class Exchanged(msgspec.Struct, frozen=True):
    """The answer to an exchange.

    Attributes:
        verdict: `replayed` when this number had been answered before.
        now_ms: The server's clock.
        left: Entries that stayed in the lanes, as far as the caller could take them.
        next_due_ms: When the next scheduled or retrying task is due.
        version: Of the queue's settings.
        paused: Whether the queue is paused.
        lease_ms: How long the leases of these claims are.
        settled: One for each settle, in order.
        claims: The tasks taken.
        suspect: The token of the claim that one more crash would fail, if there is one (R15).
        suspects_left: How many of those wait, whether or not the caller could take one.
        cancelling: Tokens of this process whose task is to be cancelled (R17).
        ahead: How many of the claims, the last ones, may not be started before the lane's next
            call has been answered.
        head: The task that goes next: when it arrived, and when it is due, if it is; `None` when
            there is none, nobody asked, or it cannot be told.
    """

    verdict: Literal["ok", "replayed"]
    now_ms: int
    left: int
    next_due_ms: int | None
    version: int
    paused: bool
    lease_ms: int
    settled: list[Settled]
    claims: list[Claim]
    suspect: str | None
    suspects_left: int
    cancelling: frozenset[str]
    ahead: int
    head: tuple[int, int | None] | None

    @classmethod
    def read(cls, reply: list[Any]) -> "Exchanged":
        """Read the script's reply."""
        verdict, now_ms, left, next_due, version, paused, lease_ms = reply[:7]
        settled, flat, suspect, suspects_left, cancelling, ahead, head = reply[7:]
        words = iter(settled)
        fields = iter(flat)
        return cls(
            verdict="ok" if verdict == b"ok" else "replayed",
            now_ms=now_ms,
            left=left,
            next_due_ms=None if next_due == b"" else int(float(next_due)),
            version=version,
            paused=paused == 1,
            lease_ms=lease_ms,
            settled=[
                Settled(answer.decode(), state.decode())
                for answer, state in zip(words, words, strict=True)
            ],
            claims=[
                Claim(
                    task_id.decode(),
                    token.decode(),
                    attempt,
                    crashes,
                    arrived,
                    None if due == b"" else int(due),
                    waited,
                    body,
                )
                for task_id, token, attempt, crashes, arrived, due, waited, body in zip(
                    *[fields] * _CLAIM_FIELDS, strict=True
                )
            ],
            suspect=suspect.decode() or None,
            suspects_left=suspects_left,
            cancelling=frozenset(token.decode() for token in cancelling),
            ahead=ahead,
            head=(head[0], None if head[1] == b"" else int(head[1])) if head else None,
        )


class Extended(NamedTuple):
    """The answer to a renewal of leases.

    Attributes:
        lost: Tokens whose lease is gone.
        cancelling: Tokens whose lease lives, but whose task is to be cancelled.
    """

    lost: frozenset[str]
    cancelling: frozenset[str]

    @classmethod
    def read(cls, reply: list[list[bytes]]) -> "Extended":
        """Read the script's reply."""
        return cls(*(frozenset(token.decode() for token in tokens) for tokens in reply))


class Rescued(NamedTuple):
    """A task whose worker fell silent.

    Attributes:
        queue: Its queue.
        id: The task.
        correlation_id: Its case, if any.
        worker: Who held it.
        state: `waiting` again, `failed` when it has lost too many leases, or `cancelled` when
            somebody asked for that.
        crashes: Leases lost so far.
    """

    queue: str
    id: str
    correlation_id: str | None
    worker: str
    state: str
    crashes: int

    @classmethod
    def read(cls, queue: str, part: list[Any]) -> "Rescued":
        """Read one entry of the sweep's reply."""
        task_id, corr, worker, state, crashes = part
        return cls(
            queue, task_id.decode(), _text(corr) or None, _text(worker), state.decode(), crashes
        )


class RungFired(NamedTuple):
    """A rung of the ladder that a task has reached.

    Attributes:
        queue: Its queue.
        id: The task.
        correlation_id: Its case, if any.
        name: The rung's name, such as `warn` or `breach`.
        percent: The rung's share of the promise.
        late_by_ms: How long after its instant the rung was noticed.
        collapsed: How many lower rungs it speaks for.
        sla_ms: The promise.
        actions: What the rung asks for beside its event, its log line and its counter.
    """

    queue: str
    id: str
    correlation_id: str | None
    name: str
    percent: float
    late_by_ms: int
    collapsed: int
    sla_ms: int
    actions: tuple[str, ...] = ()

    @classmethod
    def read(cls, queue: str, part: list[Any]) -> "RungFired":
        """Read one entry of the sweep's reply."""
        task_id, corr, name, percent, late_by, collapsed, sla, actions = part
        return cls(
            queue,
            task_id.decode(),
            _text(corr) or None,
            name.decode(),
            float(percent),
            late_by,
            collapsed,
            sla,
            tuple(_text(actions).split(",")) if actions else (),
        )


class Swept(msgspec.Struct, frozen=True):
    """What one round of the supervisor did to a queue.

    Attributes:
        now_ms: The server's clock.
        promoted: Scheduled and retrying tasks that entered a lane.
        rescued: Tasks taken from workers that fell silent.
        rungs: Rungs that were due.
        more: Whether another round is worth it at once.
        held_ms: For how long nothing is rescued yet, because nobody looked for a while (R16).
        to_do: How many actions of the outbox somebody should carry out now.
        waiting: Tasks in the lanes.
        idle_operations: How many acts on many tasks, of any queue, nobody works on.
    """

    now_ms: int
    promoted: int
    rescued: list[Rescued]
    rungs: list[RungFired]
    more: bool
    held_ms: int
    to_do: int
    waiting: int
    idle_operations: int


def read_stats(queue: str, reply: list[Any]) -> QueueStats:
    """Read the reply of `stats`."""
    totals, at_risk, breached, stopped, to_do, undelivered = reply[14:]
    return QueueStats(
        name=queue,
        now_ms=reply[0],
        paused=reply[1] == 1,
        sla_ms=optional_ms(reply[2]),
        waiting=reply[3],
        in_progress=reply[4],
        scheduled=reply[5],
        retrying=reply[6],
        done=reply[7],
        failed=reply[8],
        cancelled=reply[9],
        expired=reply[10],
        oldest_arrived_ms=optional_ms(reply[11]),
        next_due_ms=optional_ms(reply[12]),
        next_rung_ms=optional_ms(reply[13]),
        at_risk=at_risk,
        breached=breached,
        clock_stopped_ms=optional_ms(stopped),
        to_do=to_do,
        undelivered=undelivered,
        totals={
            name.decode(): int(value) for name, value in zip(totals[::2], totals[1::2], strict=True)
        },
    )


def optional_ms(value: bytes | int) -> int | None:
    """Read an instant, or a length of time, where an empty text stands for none."""
    return None if value == b"" else int(float(value))


def _text(value: bytes) -> str:
    # A foreign producer's bytes may be none of UTF-8.
    return value.decode(errors="replace")
