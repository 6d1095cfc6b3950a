"""Carrying out what a promise asks of the outside: messages, other queues, functions of ours."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from hashlib import blake2s

import anyio
import msgspec
from anyio import CapacityLimiter

from hms_async.domain.queue import Queue
from hms_async.domain.sla import Severity
from hms_async.domain.task import TaskRecord
from hms_async.errors import (
    ConfigInvalid,
    EnvelopeInvalid,
    HMSError,
    PayloadInvalid,
    QueueNotFound,
    ReceiverFailed,
    StoreError,
    StoreUnavailable,
)
from hms_async.runtime.cancellation import is_cancelled
from hms_async.storage import outbox
from hms_async.storage.codec import decode_envelope, encode_envelope, encode_json
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
_FIRST_PAUSE_MS = 5_000
_LONGEST_PAUSE_MS = 600_000
_KINDS = ("webhook", "notify", "reroute")
_LONGEST_WHY = 2_000
_STEM = 105  # of 128, less what makes a moved task's id its own


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
        able = [*_KINDS, *(f"call:{name}" for name in self._calls)]
        while taken := await outbox.take(
            self._store, queue, limit=_AT_ONCE, lease_ms=LEASE_MS, able=able
        ):
            async with anyio.create_task_group() as group:
                for action in taken:
                    group.start_soon(self._one, action, settings, name=f"act-{action.kind}")
            number += len(taken)
        return number

    async def _one(self, action: Action, queue: Queue) -> None:
        error: BaseException | None = None
        try:
            async with self._limiter:
                try:
                    await self._perform(action, queue)
                except (KeyboardInterrupt, GeneratorExit, StoreUnavailable):
                    raise
                except BaseException as raised:
                    # The boundary to functions of users: exit() in one must not end the others.
                    if isinstance(raised, asyncio.CancelledError) and is_cancelled():
                        raise
                    error = raised
            await self._end(action, error)
        except StoreError as unheard:
            # It comes again when its lease is over.
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
            # Another supervisor may have it.
            raise ReceiverFailed(f"this supervisor has no function {name!r}", retryable=True)
        with anyio.fail_after(CALL_TIMEOUT_S):
            await self._calls[name](to_escalation(action))

    async def _reroute(self, action: Action) -> None:
        """Put a task that has left its queue into the other."""
        task_id, target = action.fields["task"], action.fields["target"]
        task = await self._store.task(task_id)
        if task is None or task.moved_to != target:
            return  # somebody has requeued it
        refusal: str | None
        try:
            refused = (await self._store.enqueue(target, [await self._moved(action, task)]))[0]
            # What is there already is what an earlier try put there.
            refusal = None if refused is None or refused.word == "exists" else refused.word
        except QueueNotFound:
            refusal = "there is no such queue"
        except (EnvelopeInvalid, PayloadInvalid) as error:
            refusal = str(error)
        if refusal is not None:
            raise ReceiverFailed(f"queue {target} refused it ({refusal})", retryable=False)

    async def _moved(self, action: Action, task: TaskRecord) -> Enqueue:
        """Return a task as it goes into another queue, the same with each try."""
        body = await self._store.ask("GET", self._store.keys.body(task.queue, task.id))
        if body is None:
            raise EnvelopeInvalid("its body is gone")
        asked = decode_envelope(body)
        # The clock may be started anew, and the task be moved again: that is another one.
        mark = f"{action.id} {action.fields['made']}".encode()
        moved_id = f"{task.id[:_STEM]}.moved-{blake2s(mark, digest_size=8).hexdigest()}"
        options: dict[str, object] = {
            "corr": asked.correlation_id or task.correlation_id,
            "prio": task.priority,
            "expires": task.expires_ms,
            "run_timeout": asked.run_timeout_ms,
        }
        return Enqueue(
            moved_id,
            encode_envelope(
                moved_id,
                action.fields["target"],
                encode_json(asked.payload),
                correlation_id=asked.correlation_id or task.correlation_id,
                run_timeout_ms=asked.run_timeout_ms,
                trace=asked.trace,
            ),
            encode_json({name: value for name, value in options.items() if value is not None}),
        )

    async def _end(self, action: Action, error: BaseException | None) -> None:
        if error is None:
            if await outbox.end(self._store, action, "done"):
                log.info("action.done", queue=action.queue, action=action.id, tries=action.tries)
            return
        why = _in_short(error)
        final = isinstance(error, ConfigInvalid) or (
            isinstance(error, ReceiverFailed) and not error.retryable
        )
        if final or action.tries >= MOST_TRIES:
            if action.kind == "reroute" and await self._bring_back(action):
                why += f": the task is back in {action.queue}"
            await outbox.end(self._store, action, "dead", error=why)
            log.error(
                "action.given_up",
                queue=action.queue,
                action=action.id,
                tries=action.tries,
                error=why,
            )
            return
        # A receiver may ask to be left alone for longer; one that does not would use up the tries.
        after_s = error.after_s if isinstance(error, ReceiverFailed) else None
        delay_ms = max(pause_ms(action.tries), int((after_s or 0) * 1_000))
        await outbox.end(self._store, action, "retry", delay_ms=delay_ms, error=why)
        log.warning(
            "action.failed",
            queue=action.queue,
            action=action.id,
            tries=action.tries,
            again_in_s=delay_ms / 1_000,
            error=why,
        )

    async def _bring_back(self, action: Action) -> bool:
        """Let a task that nobody else takes go on where it was; nobody might miss it elsewhere."""
        task = await self._store.task(action.fields["task"])
        if task is None or task.moved_to != action.fields["target"]:
            return False
        return await self._store.requeue(action.queue, task.id) == "ok"


def _in_short(error: BaseException) -> str:
    text = as_text(error)
    if not isinstance(error, HMSError):
        text = f"{type(error).__name__}: {text}"
    return text[:_LONGEST_WHY].encode(errors="replace").decode()


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
