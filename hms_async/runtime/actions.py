"""Carrying out what a promise asks of the outside: messages, other queues, functions of ours."""

from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256

import anyio
import msgspec
from anyio import CapacityLimiter

from hms_async.domain.queue import Queue
from hms_async.domain.sla import Severity
from hms_async.errors import (
    ConfigInvalid,
    HMSError,
    QueueNotFound,
    ReceiverFailed,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from hms_async.storage import outbox
from hms_async.storage.codec import encode_envelope, encode_json
from hms_async.storage.outbox import Action
from hms_async.storage.replies import Enqueue
from hms_async.storage.store import Store
from hms_async.telemetry.logs import get_logger
from hms_async.telemetry.text import as_text

log = get_logger("hms_async.act")

MOST_TRIES = 12
CALL_TIMEOUT_S = 60.0
LEASE_MS = 120_000
_AT_ONCE = 16
_LONGEST_ID = 128
_FIRST_PAUSE_MS = 5_000
_LONGEST_PAUSE_MS = 600_000


class Escalation(msgspec.Struct, frozen=True, kw_only=True):
    """What a rung or an incident has to say to somebody outside.

    Attributes:
        id: What to deduplicate by: it may be said more than once.
        type: `sla.<rung>`, or `incident.opened`, `.worsened`, `.acknowledged`, `.resolved`.
        queue: The queue whose promise it is.
        severity: How loud it is.
        task_id: The task, if it is about one; an example for an incident.
        correlation_id: Its case, if any.
        percent: The rung's share of the promise.
        late_by_ms: How long after its instant the rung was noticed.
        arrived_ms: When the task's clock started.
        due_ms: When its promise is broken.
        incident: The incident's id, if it is about one.
        about: What the incident is: `sla`, `forecast` or `delivery`.
        count: How often the incident's cause has happened.
        made_ms: When it was first to be said.
    """

    id: str
    type: str
    queue: str
    severity: Severity
    made_ms: int
    task_id: str | None = None
    correlation_id: str | None = None
    percent: float | None = None
    late_by_ms: int | None = None
    arrived_ms: int | None = None
    due_ms: int | None = None
    incident: str | None = None
    about: str | None = None
    count: int | None = None


class _NotHere(Exception):
    """Another supervisor may be able to carry it out."""


Call = Callable[[Escalation], Awaitable[object]]


class Actions:
    """Works off the outboxes of queues, without ever holding up a sweep.

    Args:
        store: Where the queues are.
        calls: Functions that `call:<name>` asks for.
    """

    def __init__(self, store: Store, calls: Mapping[str, Call]) -> None:
        self._store = store
        self._calls = calls
        self._limiter = CapacityLimiter(_AT_ONCE)

    async def carry_out(self, queue: str) -> int:
        """Carry out what is due in a queue's outbox now; returns how much that was.

        Raises:
            StoreError: If the server cannot be asked; what was not carried out comes again.
            QueueNotFound: If the queue is gone.
        """
        settings = await self._store.queue(queue)
        number = 0
        while taken := await outbox.take(self._store, queue, limit=_AT_ONCE, lease_ms=LEASE_MS):
            async with anyio.create_task_group() as group:
                for action in taken:
                    group.start_soon(self._one, action, settings, name=f"act-{action.kind}")
            number += len(taken)
        return number

    async def _one(self, action: Action, queue: Queue) -> None:
        error: Exception | None = None
        async with self._limiter:
            try:
                await self._perform(action, queue)
            except (StoreUnavailable, StoreRefused, StoreFull):
                return  # it comes again when its lease is over
            except Exception as raised:  # noqa: BLE001  # the boundary to functions of users
                error = raised
        try:
            await self._end(action, error)
        except StoreError as unheard:
            log.warning("action.unsettled", queue=queue.name, action=action.id, error=str(unheard))

    async def _perform(self, action: Action, queue: Queue) -> None:
        # Slow to import, and seldom needed.
        from hms_async.runtime.receivers import notify, post  # noqa: PLC0415

        match action.kind:
            case "webhook":
                to = queue.settings.receivers
                if not to.webhook:
                    raise ReceiverFailed("the queue has no webhook any more", retryable=False)
                body = msgspec.json.encode(_message(action))
                await post(to.webhook, to.secret, action.id, body)
            case "notify":
                said = to_escalation(action)
                title, text = in_words(said)
                await notify(queue.settings.receivers.notify, title, text, said.severity)
            case "reroute":
                await self._reroute(action)
            case "call":
                await self._call(action)
            case kind:
                raise ReceiverFailed(f"no action is called {kind!r} here", retryable=True)

    async def _call(self, action: Action) -> None:
        name = action.fields.get("target", "")
        if name not in self._calls:
            raise _NotHere(f"this supervisor has no function {name!r}")
        with anyio.fail_after(CALL_TIMEOUT_S):
            await self._calls[name](to_escalation(action))

    async def _reroute(self, action: Action) -> None:
        """Put a task that has left its queue into the other; brought back if that is refused."""
        task_id, target = action.fields["task"], action.fields["target"]
        task = await self._store.task(task_id)
        if task is None or task.moved_to != target:
            return  # somebody has requeued it, or it is forgotten
        if task.raw is not None:
            await self._bring_back(action, "its body cannot be read")
        # The same at each try, and another if it is moved once more after a requeue.
        made = f"{task_id}.{action.fields['made']}"
        moved_id = made if len(made) <= _LONGEST_ID else sha256(made.encode()).hexdigest()
        body = encode_envelope(
            moved_id, target, encode_json(task.payload), correlation_id=task.correlation_id
        )
        options = {"corr": task.correlation_id} if task.correlation_id else {}
        if task.priority == "high":
            options["prio"] = "high"
        item = Enqueue(moved_id, body, encode_json(options) if options else b"")
        refusal: str | None
        try:
            refused = (await self._store.enqueue(target, [item]))[0]
            refusal = refused and refused.word
        except QueueNotFound:
            refusal = "there is no such queue"
        if refusal not in (None, "exists"):
            await self._bring_back(action, f"queue {target} refused it ({refusal})")

    async def _bring_back(self, action: Action, why: str) -> None:
        await self._store.requeue(action.queue, action.fields["task"])
        raise ReceiverFailed(f"{why}: the task is back in {action.queue}", retryable=False)

    async def _end(self, action: Action, error: Exception | None) -> None:
        if isinstance(error, _NotHere):
            pause = _FIRST_PAUSE_MS
            await outbox.end(self._store, action, "pass", delay_ms=pause, error=str(error))
            return
        if error is None:
            if await outbox.end(self._store, action, "done"):
                log.info("action.done", queue=action.queue, action=action.id, tries=action.tries)
            return
        why = (
            str(error)
            if isinstance(error, HMSError)
            else f"{type(error).__name__}: {as_text(error)}"
        )
        final = isinstance(error, ConfigInvalid) or (
            isinstance(error, ReceiverFailed) and not error.retryable
        )
        if final or action.tries >= MOST_TRIES:
            await outbox.end(self._store, action, "dead", error=why)
            log.error(
                "action.given_up",
                queue=action.queue,
                action=action.id,
                tries=action.tries,
                error=why,
            )
            return
        after_s = error.after_s if isinstance(error, ReceiverFailed) else None
        delay_ms = pause_ms(action.tries) if after_s is None else int(after_s * 1_000)
        await outbox.end(self._store, action, "retry", delay_ms=delay_ms, error=why)
        log.warning(
            "action.failed",
            queue=action.queue,
            action=action.id,
            tries=action.tries,
            again_in_s=delay_ms / 1_000,
            error=why,
        )


def pause_ms(tries: int) -> int:
    """Return how long to wait after so many tries: 5 s, 10 s, ... 10 minutes."""
    return min(_FIRST_PAUSE_MS << min(tries, 20) - 1, _LONGEST_PAUSE_MS)


def to_escalation(action: Action) -> Escalation:
    """Return an action of the outbox as what it says."""
    fields = action.fields
    return msgspec.convert(
        {
            "id": action.id,
            "queue": action.queue,
            **{ours: fields[theirs] for theirs, ours in _NAMES.items() if fields.get(theirs)},
        },
        Escalation,
        strict=False,
    )


_NAMES = {
    "type": "type",
    "severity": "severity",
    "made": "made_ms",
    "task": "task_id",
    "corr": "correlation_id",
    "percent": "percent",
    "late_by": "late_by_ms",
    "arrived": "arrived_ms",
    "due": "due_ms",
    "incident": "incident",
    "about": "about",
    "count": "count",
}


def _message(action: Action) -> dict[str, object]:
    said = msgspec.to_builtins(to_escalation(action))
    return {name: value for name, value in said.items() if value is not None}


def in_words(said: Escalation) -> tuple[str, str]:
    """Return what is said as a title and a text for people."""
    if said.incident:
        # Without a number: at the first task there is one, whatever comes a moment later.
        what = {
            "sla": "tasks are at risk" if said.severity == "warning" else "tasks are late",
            "forecast": "tasks will be late",
            "delivery": "messages are not delivered",
        }.get(said.about or "", "trouble")
        word = said.type.partition(".")[2]
        title = f"[{said.severity}] {said.queue}: {what} ({word})"
        ack = f" hms sla ack {said.queue} {said.about} acknowledges it."
        return title, f"Incident {said.incident}.{ack if word in {'opened', 'worsened'} else ''}"
    case = f" ({said.correlation_id})" if said.correlation_id else ""
    title = f"[{said.severity}] {said.queue}: task {said.task_id}{case} at {said.percent:g} %"
    return title, f"{said.type} of {said.queue}. hms job show {said.task_id} tells more."
