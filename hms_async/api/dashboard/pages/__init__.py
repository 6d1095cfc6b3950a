"""The pages, one module for each."""

from hms_async.api.dashboard.pages import (
    about,
    case,
    live,
    overview,
    queue,
    report,
    search,
    signin,
    task,
    tasks,
    workers,
)

ROUTERS = (
    overview.router,
    queue.router,
    tasks.router,
    task.router,
    case.router,
    workers.router,
    report.router,
    search.router,
    signin.router,
    about.router,
    live.router,
)
