"""The routes, one module for each thing that callers deal with."""

from hms_async.api.routes import (
    audit,
    cases,
    enqueue,
    events,
    health,
    messages,
    operations,
    promises,
    queues,
    tasks,
    work,
)

ROUTERS = (
    work.router,
    enqueue.router,
    tasks.router,
    queues.router,
    cases.router,
    promises.router,
    messages.router,
    events.router,
    operations.router,
    audit.router,
    health.router,
)
