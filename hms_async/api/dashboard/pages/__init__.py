"""The pages, one module for each."""

from hms_async.api.dashboard.pages import (
    about,
    acts,
    again,
    bundle,
    case,
    failed,
    live,
    many,
    messages,
    operations,
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
    # The first that fits is taken: those with a word where others have any come first.
    again.router,
    bundle.router,
    many.router,
    acts.router,
    failed.router,
    operations.router,
    messages.router,
    search.router,
    signin.router,
    about.router,
    live.router,
)
