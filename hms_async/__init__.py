"""An asyncio worker runtime on Redis that keeps a queue's promise.

A service drops tasks into queues with `AsyncOMSClient`; `AsyncWorker` runs the handlers;
`Supervisor` (ACT) watches the clocks. The README shows each at work.
"""

from hms_async.client import AsyncOMSClient
from hms_async.domain.event import Event
from hms_async.domain.queue import Queue, QueueStats
from hms_async.domain.retry import RetryPolicy
from hms_async.domain.task import Enqueued, NewTask, TaskPage, TaskRecord, TaskState
from hms_async.errors import (
    AlreadySettled,
    CancelRequested,
    ClientClosed,
    ConfigInvalid,
    DurationInvalid,
    EnqueueManyError,
    EnqueueUnknown,
    EnvelopeInvalid,
    HandlerInvalid,
    HMSError,
    IdInUse,
    InstantInvalid,
    LeaseLost,
    NameInvalid,
    PayloadInvalid,
    PayloadTooLarge,
    QueueFull,
    QueueNotFound,
    ResultInvalid,
    ResultTimeout,
    StoreError,
    StoreFull,
    StoreProtocol,
    StoreRefused,
    StoreUnavailable,
    TaskError,
    TaskFailed,
    TaskInProgress,
    TaskNotFound,
    TooFewReplicas,
    WrongEventLoop,
    WrongState,
)
from hms_async.runtime.handlers import handler
from hms_async.runtime.task import Task
from hms_async.supervisor import Supervisor
from hms_async.worker import AsyncWorker

__all__ = [
    "AlreadySettled",
    "AsyncOMSClient",
    "AsyncWorker",
    "CancelRequested",
    "ClientClosed",
    "ConfigInvalid",
    "DurationInvalid",
    "EnqueueManyError",
    "EnqueueUnknown",
    "Enqueued",
    "EnvelopeInvalid",
    "Event",
    "HMSError",
    "HandlerInvalid",
    "IdInUse",
    "InstantInvalid",
    "LeaseLost",
    "NameInvalid",
    "NewTask",
    "PayloadInvalid",
    "PayloadTooLarge",
    "Queue",
    "QueueFull",
    "QueueNotFound",
    "QueueStats",
    "ResultInvalid",
    "ResultTimeout",
    "RetryPolicy",
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
    "TooFewReplicas",
    "WrongEventLoop",
    "WrongState",
    "handler",
]
