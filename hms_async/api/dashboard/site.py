"""The dashboard as an application: pages, files, errors, and the stream that keeps pages fresh."""

from typing import TYPE_CHECKING, Final, cast
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from hms_async.api import problems
from hms_async.api.dashboard import render, words
from hms_async.api.dashboard.hub import Hub
from hms_async.api.dashboard.pages import ROUTERS
from hms_async.api.dashboard.parts import ONLY_THE_PART, Part, Parts
from hms_async.api.dashboard.standing import Standings
from hms_async.api.dashboard.topics import Pulse
from hms_async.errors import HMSError, Unauthenticated

if TYPE_CHECKING:
    from hms_async.api.house import House

_TITLES: Final = {
    400: "That cannot be shown",
    403: "That is not for you to do",
    404: "Nothing is here",
    422: "That cannot be shown",
    429: "Too much at once",
    503: "That cannot be done now",
}
"""What went wrong, in the words of those who look at pages; of others that of HTTP."""


def create_dashboard(house: "House") -> FastAPI:
    """Return the dashboard of a house, to be mounted at `/ui`."""
    site = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    standings = Standings()
    hub = Hub(Pulse(house, standings))
    house.beside["dashboard"] = hub.run
    site.state.house = house
    site.state.standings = standings
    site.state.hub = hub
    site.state.parts = Parts(hub)
    for router in ROUTERS:
        site.include_router(router)
    site.add_exception_handler(HMSError, _refused)
    site.add_exception_handler(RequestValidationError, _invalid)
    site.add_exception_handler(HTTPException, _unknown)
    return site


async def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, Unauthenticated) and not request.headers.get(ONLY_THE_PART):
        base = str(request.scope.get("root_path", ""))
        where = request.url.path.removeprefix(base)
        if request.method == "GET" and where != "/":
            where = f"?next={quote(where + (f'?{request.url.query}' if request.url.query else ''))}"
        else:
            where = ""
        return RedirectResponse(f"{base}/sign-in{where}", 303)
    problem = problems.problem_of(cast("HMSError", error))
    title = _TITLES.get(problem.status, problem.title)
    return _trouble(request, problem.status, title, problem.detail, problem.code)


async def _invalid(request: Request, error: Exception) -> Response:
    faults = cast("RequestValidationError", error).errors()
    problem = problems.invalid_parameters([dict(one) for one in faults])
    return _trouble(request, 400, _TITLES[400], problem.detail)


async def _unknown(request: Request, error: Exception) -> Response:
    failed = cast("HTTPException", error)
    return _trouble(request, failed.status_code, _TITLES[404], f"No page is at {request.url.path}.")


def _trouble(request: Request, status: int, title: str, detail: str, code: str = "") -> Response:
    base = str(request.scope.get("root_path", ""))
    part = Part.of("trouble.html", title=title, base=base, detail=words.told(detail), code=code)
    if request.headers.get(ONLY_THE_PART):
        return render.html(part.main, status)
    caller = getattr(request.state, "caller", None)
    return render.framed(request, part.main, title=title, status=status, caller=caller)
