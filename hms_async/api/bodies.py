"""What callers may send: bodies of requests, as structs that refuse what they do not know."""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from hms_async.domain.handoff import Handoff
from hms_async.domain.queue import Priority
from hms_async.domain.sla import Late
from hms_async.domain.task import NewTask
from hms_async.domain.trace import TraceContext, check_trace
from hms_async.runtime.remote import MOST_QUEUES
from hms_async.storage.replies import MOST_A_CALL

Duration = Annotated[
    str | int | float,
    Meta(description='"90s", "15m", "2h", or a number of seconds', examples=["90s", 30]),
]
Moment = Annotated[datetime, Meta(tz=True)]
MOST_TO_ENQUEUE = 5_000


class _Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Refuses fields that it does not know: a misspelt option must not be dropped."""


class Wanted(_Body, frozen=True, kw_only=True):
    """One of many tasks to be enqueued."""

    payload: Any
    id: str | None = None
    correlation_id: str | None = None
    priority: Priority = "normal"
    delay: Duration | None = None
    eta: Moment | None = None
    idempotency_key: str | None = None
    sla: Duration | None = None
    expires_at: Moment | None = None
    expires_in: Duration | None = None
    max_wait: Duration | None = None
    run_timeout: Duration | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    baggage: str | None = None

    def to_task(
        self, idempotency_key: str | None = None, trace: TraceContext | None = None
    ) -> NewTask:
        """Return it as the client takes it.

        Args:
            idempotency_key: Its key if it has none itself.
            trace: The trace that it belongs to if it says nothing of one itself.
        """
        options = {name: getattr(self, name) for name in NewTask.__struct_fields__}
        options["idempotency_key"] = self.idempotency_key or idempotency_key
        if trace is not None and self.traceparent is self.tracestate is self.baggage is None:
            options |= structs.asdict(trace)
        return NewTask(**options)


class Line(Wanted, frozen=True, kw_only=True):
    """One line of a stream of tasks to be enqueued; its queue may stand in the query, too."""

    queue: str | None = None


class Enqueue(Wanted, frozen=True, kw_only=True):
    """A task to be enqueued."""

    queue: str


class EnqueueMany(_Body, frozen=True, kw_only=True):
    """Tasks to be enqueued, in order."""

    queue: str
    tasks: Annotated[list[Wanted], Meta(min_length=1, max_length=MOST_TO_ENQUEUE)]


class Pop(_Body, frozen=True, kw_only=True):
    """Tasks that a worker takes under a lease.

    With `incarnation`, `lane` and `seq` a call may be repeated with the same `seq` when its answer
    was lost: it gets the same tasks.
    """

    queue: str | None = None
    queues: Annotated[list[str], Meta(min_length=1, max_length=MOST_QUEUES)] | None = None
    max: Annotated[int, Meta(ge=1, le=MOST_A_CALL)] = 1
    wait: Duration = 0
    worker: str | None = None
    lease: Duration | None = None
    incarnation: str | None = None
    lane: Annotated[int, Meta(ge=0)] | None = None
    seq: Annotated[int, Meta(ge=1)] | None = None


class Leased(_Body, frozen=True, kw_only=True):
    """An attempt under a lease, as `POST /oms/pop` gave it."""

    id: str
    token: str


class Attempted(Leased, frozen=True, kw_only=True):
    """An attempt that was made; its span is kept with it if it has failed."""

    traceparent: str | None = None

    def span(self, trace: TraceContext | None) -> str:
        """Return its span: what the body says, else what the request does; empty without one.

        Raises:
            ConfigInvalid: If the body says something else.
        """
        parent = self.traceparent
        if check_trace(parent) is None and trace is not None:
            parent = trace.traceparent
        return parent or ""


class Completed(Attempted, frozen=True, kw_only=True):
    """An attempt whose task is done."""

    result: Any = None
    handoff: Handoff | None = None


class Failed(Attempted, frozen=True, kw_only=True):
    """An attempt that failed; final unless it is `retryable`."""

    reason: str
    type: str = "Failed"
    traceback: str = ""
    retryable: bool = False


class RetryAsked(Attempted, frozen=True, kw_only=True):
    """An attempt that is to be made again; it counts as a failed one."""

    delay: Duration | None = None
    reason: str = "the worker asked for another attempt"


L = TypeVar("L", bound=Leased)


class Many(_Body, Generic[L], frozen=True, kw_only=True):
    """Several at once."""

    tasks: Annotated[list[L], Meta(min_length=1, max_length=MOST_A_CALL)]


class Beat(Leased, frozen=True, kw_only=True):
    """A lease to be renewed."""

    worker: str | None = None


BATCHES = (Many[Completed], Many[Failed], Many[RetryAsked], Many[Leased], Many[Beat])
"""All batches that are taken."""


class Reason(_Body, frozen=True, kw_only=True):
    """Why, for those who look."""

    reason: str = ""


class Pause(Reason, frozen=True, kw_only=True):
    """How a queue is paused."""

    stop_clock: bool | None = None


class Requeue(Reason, frozen=True, kw_only=True):
    """How a task is brought back."""

    reset_clock: bool = False


class Again(Reason, frozen=True, kw_only=True):
    """How a task is run again; what is left out is as the old one has it."""

    payload: Any | UnsetType = UNSET
    correlation_id: str | UnsetType | None = UNSET
    id: str | None = None


class Waive(_Body, frozen=True, kw_only=True):
    """Why a task is let off its promise."""

    reason: Annotated[str, Meta(min_length=1)]


class Retry(_Body, frozen=True, kw_only=True):
    """When a failed attempt is tried again."""

    max_attempts: int | UnsetType = UNSET
    base: Duration | UnsetType = UNSET
    cap: Duration | UnsetType = UNSET


class NewQueue(_Body, frozen=True, kw_only=True):
    """A queue to be created, or to be given these settings: what is left out has its default."""

    name: str
    sla: Duration | None = None
    goal: Annotated[float | str, Meta(examples=["99%", 0.99])] | UnsetType = UNSET
    ladder: list[str] | None = None
    late: Late | UnsetType = UNSET
    pause_stops_clock: bool | UnsetType = UNSET
    max_wait: Duration | None = None
    run_timeout: Duration | None = None
    webhook: str | None = None
    webhook_secret: str | None = None
    notify: list[str] | UnsetType = UNSET
    retry: Retry | UnsetType = UNSET
    lease: Duration | UnsetType = UNSET
    max_crashes: int | UnsetType = UNSET
    max_depth: int | None = None
    max_payload_bytes: int | UnsetType = UNSET
    idempotency_window: Duration | UnsetType = UNSET
    keep_done: Duration | UnsetType = UNSET
    keep_done_max: int | UnsetType = UNSET
    keep_failed: Duration | UnsetType = UNSET
    keep_failed_max: int | UnsetType = UNSET


class Where(_Body, frozen=True, kw_only=True, omit_defaults=True):
    """Which tasks are meant; each that is given must hold."""

    states: list[str] = []
    ids: list[str] = []
    correlation_id: str | None = None
    error_type: str | None = None
    error: str | None = None
    fingerprint: str | None = None
    arrived_before: Moment | None = None
    ended_before: Moment | None = None


class NewOperation(Reason, frozen=True, kw_only=True):
    """An act on many tasks of a queue."""

    act: Literal["requeue", "cancel", "bump", "waive", "purge"]
    queue: str
    where: Where | None = None
    rate: int | None = None
    dry_run: bool = False


def given(body: Struct) -> dict[str, Any]:
    """Return the fields of a body that were not left out."""
    return {name: value for name, value in structs.asdict(body).items() if value is not UNSET}
