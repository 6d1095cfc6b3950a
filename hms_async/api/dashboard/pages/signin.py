"""Signing in with a token, and out."""

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from hms_async.api.dashboard import entry, render, words
from hms_async.api.dashboard.pages.about import local_path
from hms_async.api.dashboard.parts import Part
from hms_async.domain.access import Permission
from hms_async.errors import AccessError

router = APIRouter()


@router.get("/sign-in")
async def ask(request: Request) -> Response:
    """Ask for a token."""
    return _page(request, "")


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Take a token that is good for looking."""
    form = await entry.Form.read(request)
    token = form.get("token").strip()
    request.state.signed_in = f"Bearer {token}"
    try:
        caller = await request.app.state.house.admit(request)
    except AccessError as error:
        return _page(request, words.told(str(error)))
    if not caller.may(Permission.VIEW):
        return _page(request, f"{caller.name} may not look at pages: that takes the role viewer")
    base = str(request.scope.get("root_path", ""))
    response = RedirectResponse(base + local_path(form.get("next", "/")), 303)
    entry.sign_in(request, response, token)
    return response


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """Forget the token."""
    response = RedirectResponse(f"{request.scope.get('root_path', '')}/sign-in", 303)
    entry.sign_out(request, response)
    return response


def _page(request: Request, why_not: str) -> Response:
    base = str(request.scope.get("root_path", ""))
    after = local_path(request.query_params.get("next", "/"))
    part = Part.of("signin.html", title="sign in", base=base, why_not=why_not, after=after)
    return render.framed(request, part.main, title="sign in", status=401 if why_not else 200)
