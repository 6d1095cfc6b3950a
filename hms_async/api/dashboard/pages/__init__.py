"""The pages, one module for each."""

from hms_async.api.dashboard.pages import about, live, overview, queue, search, signin

ROUTERS = (
    overview.router,
    queue.router,
    search.router,
    signin.router,
    about.router,
    live.router,
)
