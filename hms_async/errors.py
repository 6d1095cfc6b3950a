"""Every error this package raises, in one tree.

HMSError
├── ConfigInvalid (ValueError)       a setting cannot be used; raised before any I/O
│   ├── NameInvalid                  a queue's name, a task's id or a key outside the alphabet
│   ├── DurationInvalid              not a duration such as "90s"
│   ├── InstantInvalid               not a moment in time, or one without a time zone
│   └── HandlerInvalid               not something a worker can call
├── PayloadInvalid (ValueError)      not JSON; .path says where
│   └── PayloadTooLarge              over the queue's max_payload_bytes
├── ResultInvalid (ValueError)       a handler's result or hand-off: not JSON, too large
├── EnvelopeInvalid (ValueError)     a stored task body that this version cannot read
├── ClientClosed (RuntimeError)      used outside its `async with`
├── WrongEventLoop (RuntimeError)    used from another event loop than the one that opened it
├── CallSuperseded                   .incarnation .lane .seq: a later call of that lane was made
├── QueueNotFound (LookupError)      .queue
├── IncidentNotFound (LookupError)   .queue .kind: none of this kind is open
├── MessageNotFound (LookupError)    .queue .message_id: not among those that were given up
├── CaseNotFound (LookupError)       .correlation_id: no task of it is stored
├── QueueFull                        .queue .max_depth
├── QueueNotEmpty                    .queue .counts: it cannot be removed while tasks are open
├── QueueClosing                     .queue is being removed, and can be created anew after that
├── OperationNotFound (LookupError)  .operation_id
├── OperationTimeout (TimeoutError)  .operation_id has not come to its end yet; it goes on
├── OperationEnded                   .operation_id .state: it cannot be stopped any more
├── TooManyOperations                so many are open that no more can be begun
├── EnqueueManyError                 .results, one per item
├── RequestInvalid (ValueError)      .path: a request to the API that cannot be read
│   └── RequestTooLarge              more bytes than are taken at once
├── AddressInUse (OSError)           nobody can listen there: somebody does, or it is not ours
├── AccessError
│   ├── Unauthenticated              no token where one is needed
│   │   └── TokenInvalid             unknown, revoked or expired
│   ├── Forbidden                    .permission .queue: the token is not for that
│   ├── FormStale                    a form without the key of the page that it was on
│   └── RateLimited                  .after_s: more calls than the token may make
├── TokenNotFound (LookupError)      .token_id
├── SignatureInvalid (ValueError)    a webhook that is not to be believed; the text says why
├── ReceiverFailed                   .retryable .after_s: a webhook or a notice was not taken
├── TaskError                        .task_id
│   ├── TaskNotFound (LookupError)
│   ├── TaskFailed                   .state .reason: the task ended, but not in done
│   ├── ResultTimeout (TimeoutError) the task has not ended yet
│   ├── IdInUse                      .queue holds a task of that id
│   ├── AlreadySettled               a second outcome for one attempt
│   ├── LeaseLost                    somebody else holds the task, or nobody may
│   ├── CancelRequested              somebody asked to cancel the task that one holds
│   ├── WrongState                   .state does not allow what was asked
│   │   └── TaskInProgress           a worker holds it
│   ├── EnqueueUnknown               the server never answered; repeat with the same id or key
│   └── TooFewReplicas               stored, but only .replicas of .wanted replicas have it
└── StoreError
    ├── StoreUnavailable             no connection, or no answer in time; worth trying again
    ├── StoreFull                    the server is out of memory and refuses new tasks
    ├── StoreRefused                 wrong password, missing rights, or a server too old
    └── StoreProtocol                a reply nobody expected: a bug, or a foreign writer

`code` is stable across releases: the command line and the REST API print it.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar


class HMSError(Exception):
    """The root of all errors that `hms_async` raises on purpose."""

    code: ClassVar[str] = "HMS-E000"


class ConfigInvalid(HMSError, ValueError):
    """A setting cannot be used. Raised before any I/O, so nothing has happened yet."""

    code = "HMS-E001"


class NameInvalid(ConfigInvalid):
    """A queue name, task id or idempotency key is outside the allowed alphabet."""

    code = "HMS-E002"


class DurationInvalid(ConfigInvalid):
    """A value is not a duration: give "90s", "2h", a `timedelta` or a number of seconds."""

    code = "HMS-E003"


class InstantInvalid(ConfigInvalid):
    """A value is not a moment in time, or is a `datetime` without a time zone."""

    code = "HMS-E005"


class HandlerInvalid(ConfigInvalid):
    """A handler is not callable, takes the wrong arguments, or has no queue."""

    code = "HMS-E006"


class PayloadInvalid(HMSError, ValueError):
    """A payload is not a JSON value.

    Attributes:
        path: Where the fault is, such as `$.photos[2].size`; `$` is the payload itself.
    """

    code = "HMS-E010"

    def __init__(self, message: str, *, path: str = "$") -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


class PayloadTooLarge(PayloadInvalid):
    """A payload has more bytes of JSON than the queue takes."""

    code = "HMS-E011"


class ResultInvalid(HMSError, ValueError):
    """A handler's result or hand-off is not JSON or too large; the task fails at once."""

    code = "HMS-E012"


class EnvelopeInvalid(HMSError, ValueError):
    """A stored task body cannot be read: broken JSON, a missing field, a newer version."""

    code = "HMS-E013"


class ClientClosed(HMSError, RuntimeError):
    """The client is used outside its `async with` block."""

    code = "HMS-E014"


class WrongEventLoop(HMSError, RuntimeError):
    """The client is used from another event loop than the one that opened it."""

    code = "HMS-E015"


class CallSuperseded(HMSError):
    """A numbered call came after a later one of its lane, or after its own repetition.

    Attributes:
        incarnation: The caller's process.
        lane: Its lane.
        seq: The call's number.
    """

    code = "HMS-E018"

    def __init__(self, incarnation: str, lane: int, seq: int) -> None:
        super().__init__(
            f"call {seq} of lane {lane} is superseded: {incarnation} has made it again, or a later "
            "one; a lane carries one call at a time, with growing numbers"
        )
        self.incarnation = incarnation
        self.lane = lane
        self.seq = seq


class QueueNotFound(HMSError, LookupError):
    """No queue of that name has been created.

    Attributes:
        queue: The name that was asked for.
    """

    code = "HMS-E004"

    def __init__(self, queue: str) -> None:
        super().__init__(
            f'no queue "{queue}": create it first, with create_queue("{queue}") or '
            f"`hms queue create {queue}`"
        )
        self.queue = queue


class IncidentNotFound(HMSError, LookupError):
    """No incident of this kind is open.

    Attributes:
        queue: The queue.
        kind: The kind of incident.
    """

    code = "HMS-E052"

    def __init__(self, queue: str, kind: str) -> None:
        super().__init__(f'queue "{queue}" has no open incident of the kind {kind}')
        self.queue = queue
        self.kind = kind


class MessageNotFound(HMSError, LookupError):
    """No such message of a queue was given up: it was delivered, dropped or never made.

    Attributes:
        queue: The queue.
        message_id: What was asked for.
    """

    code = "HMS-E054"

    def __init__(self, queue: str, message_id: str) -> None:
        super().__init__(
            f'queue "{queue}" has no undelivered message "{message_id:.300}": '
            "it is on its way, was delivered or dropped, or never was"
        )
        self.queue = queue
        self.message_id = message_id


class CaseNotFound(HMSError, LookupError):
    """No task of this correlation id is stored, or not any more.

    Attributes:
        correlation_id: What was asked for.
    """

    code = "HMS-E053"

    def __init__(self, correlation_id: str) -> None:
        super().__init__(f'no case "{correlation_id}": no task of it is stored, or not any more')
        self.correlation_id = correlation_id


class QueueFull(HMSError):
    """The queue holds `max_depth` tasks; try again later.

    Attributes:
        queue: The queue's name.
        max_depth: Its limit.
    """

    code = "HMS-E016"

    def __init__(self, queue: str, max_depth: int) -> None:
        super().__init__(f'queue "{queue}" is full: it holds {max_depth} tasks, its max_depth')
        self.queue = queue
        self.max_depth = max_depth


class QueueNotEmpty(HMSError):
    """The queue cannot be removed: tasks or messages in it are still open.

    Attributes:
        queue: The queue.
        counts: How many are open: `waiting`, `in_progress`, `scheduled`, `retrying`, and the
            messages `to_do` of its outbox; those of which there are none are left out.
    """

    code = "HMS-E060"

    def __init__(self, queue: str, counts: Mapping[str, int]) -> None:
        self.counts = {name: count for name, count in counts.items() if count}
        told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in self.counts.items())
        super().__init__(
            f'queue "{queue}" is not empty: {told}; wait until its tasks have ended, '
            "or remove it by force, which cancels them"
        )
        self.queue = queue


class QueueClosing(HMSError):
    """The queue is being removed; create it anew when that is done.

    Attributes:
        queue: The queue.
    """

    code = "HMS-E061"

    def __init__(self, queue: str) -> None:
        super().__init__(f'queue "{queue}" is being removed: create it anew when that is done')
        self.queue = queue


class OperationNotFound(HMSError, LookupError):
    """No operation of that id is kept.

    Attributes:
        operation_id: The id that was asked for.
    """

    code = "HMS-E062"

    def __init__(self, operation_id: str) -> None:
        super().__init__(
            f'no operation "{operation_id}": it was never begun, or ended more than 30 days ago'
        )
        self.operation_id = operation_id


class OperationTimeout(HMSError, TimeoutError):
    """The operation has not come to its end within the time given; it goes on.

    Attributes:
        operation_id: The operation.
    """

    code = "HMS-E063"

    def __init__(self, operation_id: str) -> None:
        super().__init__(f"operation {operation_id} has not come to its end in time; it goes on")
        self.operation_id = operation_id


class OperationEnded(HMSError):
    """The operation cannot be stopped any more.

    Attributes:
        operation_id: The operation.
        state: Its state.
    """

    code = "HMS-E064"

    def __init__(self, operation_id: str, state: str, message: str) -> None:
        super().__init__(message)
        self.operation_id = operation_id
        self.state = state


class TooManyOperations(HMSError):
    """So many operations are open that no more can be begun: wait for one, or stop one."""

    code = "HMS-E065"


class EnqueueManyError(HMSError):
    """Some items of an `enqueue_many` were refused; the others are accepted.

    Attributes:
        results: One for each item, in order: its `Enqueued`, or its error.
    """

    code = "HMS-E017"

    def __init__(self, results: Sequence[object]) -> None:
        refused = [result for result in results if isinstance(result, Exception)]
        super().__init__(
            f"{len(refused)} of {len(results)} tasks were refused; the first: {refused[0]}"
        )
        self.results = list(results)


class TaskError(HMSError):
    """Something about one task.

    Attributes:
        task_id: The id of the task.
    """

    code = "HMS-E020"

    def __init__(self, task_id: str, message: str) -> None:
        super().__init__(message)
        self.task_id = task_id


class TaskNotFound(TaskError, LookupError):
    """No task of that id is stored: it never was, or its retention has passed."""

    code = "HMS-E021"

    def __init__(self, task_id: str) -> None:
        super().__init__(
            task_id, f'no task "{task_id}": it was never accepted, or its retention has passed'
        )


class TaskFailed(TaskError):
    """The task ended without a result.

    Attributes:
        state: `failed`, `cancelled` or `expired`.
        reason: What the handler, or the supervisor, said about it.
    """

    code = "HMS-E022"

    def __init__(self, task_id: str, state: str, reason: str) -> None:
        super().__init__(task_id, f"task {task_id} is {state}: {reason}")
        self.state = state
        self.reason = reason


class ResultTimeout(TaskError, TimeoutError):
    """The task has not ended within the time given; it goes on."""

    code = "HMS-E023"


class IdInUse(TaskError):
    """A task of that id exists in another queue; ids are unique in a namespace.

    Attributes:
        queue: The queue that holds it; `None` for a caller who may not know.
    """

    code = "HMS-E024"

    def __init__(self, task_id: str, queue: str | None) -> None:
        where = "another queue" if queue is None else f'queue "{queue}"'
        super().__init__(task_id, f'id "{task_id}" is taken by a task of {where}')
        self.queue = queue


class AlreadySettled(TaskError):
    """The attempt has an outcome already; the first one stands."""

    code = "HMS-E025"


class LeaseLost(TaskError):
    """The attempt's lease is gone: the task was rescued, cancelled or settled elsewhere."""

    code = "HMS-E026"

    def __init__(self, task_id: str, message: str = "") -> None:
        lost = f"the lease of task {task_id} is lost: another worker has it, or it has ended"
        super().__init__(task_id, message or lost)


class CancelRequested(TaskError):
    """Somebody asked to cancel the task. Its lease lives: stop, and settle it in any way.

    `complete` and a final `fail` stand; after anything else the task is cancelled.
    """

    code = "HMS-E030"

    def __init__(self, task_id: str) -> None:
        super().__init__(task_id, f"task {task_id} is to be cancelled: stop working on it")


class WrongState(TaskError):
    """The task's state does not allow what was asked.

    Attributes:
        state: The state it is in.
    """

    code = "HMS-E027"

    def __init__(self, task_id: str, state: str, message: str) -> None:
        super().__init__(task_id, message)
        self.state = state


class TaskInProgress(WrongState):
    """A worker holds the task right now."""

    code = "HMS-E028"

    def __init__(self, task_id: str, wish: str) -> None:
        super().__init__(
            task_id,
            "in_progress",
            f"task {task_id} is in progress: a worker holds it, so it cannot be {wish} now",
        )


class EnqueueUnknown(TaskError):
    """The server did not answer in time: the task may be accepted or not.

    Repeating the call with `id=error.task_id` (or the same idempotency key) is safe.
    """

    code = "HMS-E029"

    def __init__(self, task_id: str) -> None:
        super().__init__(
            task_id,
            f"no answer from the server, so task {task_id} may be accepted or not; "
            f'enqueue it again with id="{task_id}": that makes it one task either way',
        )


class TooFewReplicas(TaskError):
    """The task is stored, but too few replicas had it in time, as `durable` asks for.

    It will run all the same, unless the server is lost before a replica has it. Repeating the
    call with `id=error.task_id` (or the same idempotency key) is safe, and waits again.

    Attributes:
        replicas: How many have it for certain.
        wanted: How many were to have it.
    """

    code = "HMS-E031"

    def __init__(self, task_id: str, replicas: int, wanted: int) -> None:
        super().__init__(
            task_id,
            f"task {task_id} is stored on the server, but {replicas} of {wanted} replicas had it "
            f'in time; enqueue it again with id="{task_id}" to wait for them: it stays one task',
        )
        self.replicas = replicas
        self.wanted = wanted


class StoreError(HMSError):
    """Something about the Redis or Valkey server; the cause is in `__cause__`."""

    code = "HMS-E040"


class StoreUnavailable(StoreError):
    """No connection, no answer in time, or a server that is not ready; worth trying again."""

    code = "HMS-E041"


class StoreFull(StoreError):
    """The server is at its `maxmemory` and refuses new tasks; work goes on draining."""

    code = "HMS-E042"


class StoreRefused(StoreError):
    """The server refuses us: wrong password, missing rights, or too old a version."""

    code = "HMS-E043"


class StoreProtocol(StoreError):
    """The server answered what no script of ours answers: a bug, or a foreign writer."""

    code = "HMS-E044"


class ReceiverFailed(HMSError):
    """A receiver of webhooks or notices did not take one.

    Attributes:
        retryable: Whether to try again makes sense.
        after_s: How long the receiver asks to be left alone, in seconds; `None` when it does not.
    """

    code = "HMS-E050"

    def __init__(self, message: str, *, retryable: bool, after_s: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.after_s = after_s


class SignatureInvalid(HMSError, ValueError):
    """A webhook is unsigned, too old, or not what its sender signed; answer 401 and drop it."""

    code = "HMS-E051"


class RequestInvalid(HMSError, ValueError):
    """A request to the API cannot be read: no JSON, a field missing, unknown or of another type.

    Attributes:
        message: What is wrong.
        path: Where, such as `$.tasks[3].delay`; `$` is the body itself.
    """

    code = "HMS-E080"

    def __init__(self, message: str, *, path: str = "$") -> None:
        super().__init__(f"{path}: {message}")
        self.message = message
        self.path = path


class RequestTooLarge(RequestInvalid):
    """A request to the API has more bytes than are taken at once."""

    code = "HMS-E081"


class AddressInUse(HMSError, OSError):
    """Nobody can listen at an address: somebody does, or it is none of this machine's."""

    code = "HMS-E082"


class AccessError(HMSError):
    """Whoever asks is not let in, not for that, or not now."""

    code = "HMS-E070"


class Unauthenticated(AccessError):
    """No token came with a call that needs one; over HTTP the answer is 401."""

    code = "HMS-E071"


class TokenInvalid(Unauthenticated):
    """A token is unknown, was revoked, or has expired; over HTTP the answer is 401."""

    code = "HMS-E072"


class Forbidden(AccessError):
    """Whoever asks may not do that; over HTTP the answer is 403.

    Attributes:
        permission: What they would need.
        queue: For which queue; `*` for all of them, `None` for any.
    """

    code = "HMS-E073"

    def __init__(self, name: str, permission: str, queue: str | None = None) -> None:
        where = "" if queue is None else f" for {'every queue' if queue == '*' else queue}"
        super().__init__(f'{name} lacks the permission "{permission}"{where}')
        self.permission = permission
        self.queue = queue


class FormStale(AccessError):
    """A form of the dashboard came without the key of the page that it was on."""

    code = "HMS-E085"


class RateLimited(AccessError):
    """A token makes more calls than it may; over HTTP the answer is 429.

    Attributes:
        after_s: In how many seconds the next call is let through.
    """

    code = "HMS-E074"

    def __init__(self, name: str, rate: int, after_s: float) -> None:
        super().__init__(f"{name} may make {rate} calls a second: try again in {after_s:.3f} s")
        self.after_s = after_s


class TokenNotFound(HMSError, LookupError):
    """No token of that id is stored: it never was, or it was revoked.

    Attributes:
        token_id: The id that was asked for.
    """

    code = "HMS-E075"

    def __init__(self, token_id: str) -> None:
        super().__init__(f"no token {token_id}: it was never made, or was revoked already")
        self.token_id = token_id
