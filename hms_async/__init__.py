"""An asyncio worker runtime on Redis that keeps a queue's promise.

A service drops tasks into queues with `AsyncOMSClient`; `AsyncWorker` runs the handlers;
`Supervisor` (ACT) watches the clocks. The README shows each at work.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from hms_async.domain.event import Event
from hms_async.domain.handoff import Handoff
from hms_async.domain.queue import Queue, QueueStats
from hms_async.domain.retry import RetryPolicy
from hms_async.domain.task import Enqueued, NewTask, TaskPage, TaskRecord, TaskState
from hms_async.errors import (
    AccessError,
    AddressInUse,
    AlreadySettled,
    CallSuperseded,
    CancelRequested,
    CaseNotFound,
    ClientClosed,
    ConfigInvalid,
    DurationInvalid,
    EnqueueManyError,
    EnqueueUnknown,
    EnvelopeInvalid,
    Forbidden,
    FormStale,
    HandlerInvalid,
    HMSError,
    IdInUse,
    IncidentNotFound,
    InstantInvalid,
    LeaseLost,
    MessageNotFound,
    NameInvalid,
    OperationEnded,
    OperationNotFound,
    OperationTimeout,
    PayloadInvalid,
    PayloadTooLarge,
    QueueClosing,
    QueueFull,
    QueueNotEmpty,
    QueueNotFound,
    RateLimited,
    ReceiverFailed,
    RequestInvalid,
    RequestTooLarge,
    ResultInvalid,
    ResultTimeout,
    SignatureInvalid,
    StoreError,
    StoreFull,
    StoreProtocol,
    StoreRefused,
    StoreUnavailable,
    TaskError,
    TaskFailed,
    TaskInProgress,
    TaskNotFound,
    TokenInvalid,
    TokenNotFound,
    TooFewReplicas,
    TooManyOperations,
    Unauthenticated,
    WrongEventLoop,
    WrongState,
)

if TYPE_CHECKING:
    from hms_async.client import AsyncOMSClient
    from hms_async.domain.access import Role
    from hms_async.domain.audit import Actor, AuditEntry, AuditPage
    from hms_async.domain.case import Case, CaseSummary
    from hms_async.domain.forecast import Forecast
    from hms_async.domain.incident import Incident
    from hms_async.domain.series import Point, Series, Spread
    from hms_async.domain.token import Token
    from hms_async.runtime.actions import Escalation
    from hms_async.runtime.handlers import handler
    from hms_async.runtime.objectives import PromiseReport
    from hms_async.runtime.promises import Promise
    from hms_async.runtime.task import Task
    from hms_async.runtime.webhook import verify_webhook
    from hms_async.supervisor import Supervisor
    from hms_async.worker import AsyncWorker

__all__ = [
    "AccessError",
    "Actor",
    "AddressInUse",
    "AlreadySettled",
    "AsyncOMSClient",
    "AsyncWorker",
    "AuditEntry",
    "AuditPage",
    "CallSuperseded",
    "CancelRequested",
    "Case",
    "CaseNotFound",
    "CaseSummary",
    "ClientClosed",
    "ConfigInvalid",
    "DurationInvalid",
    "EnqueueManyError",
    "EnqueueUnknown",
    "Enqueued",
    "EnvelopeInvalid",
    "Escalation",
    "Event",
    "Forbidden",
    "Forecast",
    "FormStale",
    "HMSError",
    "HandlerInvalid",
    "Handoff",
    "IdInUse",
    "Incident",
    "IncidentNotFound",
    "InstantInvalid",
    "LeaseLost",
    "MessageNotFound",
    "NameInvalid",
    "NewTask",
    "OperationEnded",
    "OperationNotFound",
    "OperationTimeout",
    "PayloadInvalid",
    "PayloadTooLarge",
    "Point",
    "Promise",
    "PromiseReport",
    "Queue",
    "QueueClosing",
    "QueueFull",
    "QueueNotEmpty",
    "QueueNotFound",
    "QueueStats",
    "RateLimited",
    "ReceiverFailed",
    "RequestInvalid",
    "RequestTooLarge",
    "ResultInvalid",
    "ResultTimeout",
    "RetryPolicy",
    "Role",
    "Series",
    "SignatureInvalid",
    "Spread",
    "StoreError",
    "StoreFull",
    "StoreProtocol",
    "StoreRefused",
    "StoreUnavailable",
    "Supervisor",
    "Task",
    "TaskError",
    "TaskFailed",
    "TaskInProgress",
    "TaskNotFound",
    "TaskPage",
    "TaskRecord",
    "TaskState",
    "Token",
    "TokenInvalid",
    "TokenNotFound",
    "TooFewReplicas",
    "TooManyOperations",
    "Unauthenticated",
    "WrongEventLoop",
    "WrongState",
    "handler",
    "verify_webhook",
]

# Imported when asked for: a service that only enqueues needs no worker, and `hms --help` not even
# redis.
_HOMES = {
    "Actor": "hms_async.domain.audit",
    "AsyncOMSClient": "hms_async.client",
    "AsyncWorker": "hms_async.worker",
    "AuditEntry": "hms_async.domain.audit",
    "AuditPage": "hms_async.domain.audit",
    "Case": "hms_async.domain.case",
    "CaseSummary": "hms_async.domain.case",
    "Escalation": "hms_async.runtime.actions",
    "Forecast": "hms_async.domain.forecast",
    "Incident": "hms_async.domain.incident",
    "Point": "hms_async.domain.series",
    "Promise": "hms_async.runtime.promises",
    "PromiseReport": "hms_async.runtime.objectives",
    "Role": "hms_async.domain.access",
    "Series": "hms_async.domain.series",
    "Spread": "hms_async.domain.series",
    "Supervisor": "hms_async.supervisor",
    "Task": "hms_async.runtime.task",
    "Token": "hms_async.domain.token",
    "handler": "hms_async.runtime.handlers",
    "verify_webhook": "hms_async.runtime.webhook",
}

if not TYPE_CHECKING:  # else a checker would take any name to be there

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES})
