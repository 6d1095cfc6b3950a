"""An asyncio worker runtime on Redis that keeps a queue's promise.

    async with AsyncOMSClient() as oms:
        await oms.create_queue("passport.photo", sla="2h")
        await oms.enqueue("passport.photo", {"file": "s3://uploads/sam.jpg"})

    AsyncWorker(queue="passport.photo", handler=validate_photo).run_forever()
"""

from hms_async.client import AsyncOMSClient
from hms_async.domain.event import Event
from hms_async.domain.queue import Queue, QueueStats
from hms_async.domain.retry import RetryPolicy
from hms_async.domain.task import Enqueued, NewTask, TaskPage, TaskRecord, TaskState
from hms_async.errors import *  # noqa: F403  # errors.__all__ is the tree that callers may catch
from hms_async.errors import __all__ as _errors
from hms_async.runtime.handlers import handler
from hms_async.runtime.task import Task
from hms_async.supervisor import Supervisor
from hms_async.worker import AsyncWorker

__all__ = [  # noqa: PLE0604  # the errors are named where they are defined
    "AsyncOMSClient",
    "AsyncWorker",
    "Enqueued",
    "Event",
    "NewTask",
    "Queue",
    "QueueStats",
    "RetryPolicy",
    "Supervisor",
    "Task",
    "TaskPage",
    "TaskRecord",
    "TaskState",
    "handler",
    *_errors,
]
