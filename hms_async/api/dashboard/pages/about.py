"""What the words mean, which keys there are, and how pages look."""

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from hms_async.api.dashboard import render
from hms_async.api.dashboard.entry import Form, Looking
from hms_async.api.dashboard.parts import Part, show

router = APIRouter()

_YEAR_S = 365 * 86_400


@router.get("/help")
async def about(look: Looking) -> Response:
    """Show the glossary and the keys."""

    async def build() -> Part:
        return Part.of("help.html", title="help", base=look.base)

    return await show(look, [], build)


@router.post("/settings")
async def settings(request: Request) -> Response:
    """Keep how pages are to look, in this browser."""
    form = await Form.read(request)
    base = str(request.scope.get("root_path", ""))
    response = RedirectResponse(base + local_path(form.get("back", "/")), 303)
    for name, allowed in (("theme", render.THEMES), ("density", render.DENSITIES)):
        if (given := form.get(name)) in allowed:
            response.set_cookie(
                f"hms_{name}", given, max_age=_YEAR_S, path=base or "/", samesite="lax"
            )
    return response


def local_path(given: str) -> str:
    """Return a path of the dashboard's own, whatever a form says."""
    return given if given.startswith("/") and not given.startswith(("//", "/\\")) else "/"
