"""From what a page is about to its HTML: templates, assets, the frame around each page."""

import hashlib
import mimetypes
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import Response

from hms_async.api.dashboard import words
from hms_async.api.dashboard.flash import flash
from hms_async.domain.duration import ms_to_rfc3339

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
THEMES: Final = ("system", "light", "dark")
DENSITIES: Final = ("comfortable", "compact")
_HERE: Final = files("hms_async.api.dashboard")
_ASSETS: Final = (
    "style.css",
    "live.js",
    "keys.js",
    "acts.js",
    "icon.svg",
    "icon-trouble.svg",
    "vendor/idiomorph-0.8.0.min.js",
)


@cache
def environment() -> Environment:
    """Return the templates, with the words that they are written in."""
    made = Environment(
        loader=PackageLoader("hms_async.api.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "span": words.span,
        "exact": words.exact_span,
        "number": words.number,
        "share": words.share,
        "part": words.part,
        "rate": words.rate,
        "short_id": words.short_id,
        "several": words.several,
        "iso": ms_to_rfc3339,
    }
    made.filters.update(filters)
    said: dict[str, Any] = {"CLOCKS": words.CLOCKS, "NOTHING": words.NOTHING}
    made.globals.update(said)
    return made


@cache
def assets() -> Mapping[str, bytes]:
    """Return the files that pages ask for, by name."""
    return {name: _HERE.joinpath("static", name).read_bytes() for name in _ASSETS}


@cache
def edition() -> str:
    """Return what changes with any of the files, so that browsers may keep them for ever."""
    return hashlib.sha256(b"".join(assets().values())).hexdigest()[:12]


async def asset(name: str) -> Response:
    """Return one of the files; a 404 for others."""
    body = assets().get(name)
    if body is None:
        return Response(status_code=404)
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Response(
        body, media_type=kind, headers={"Cache-Control": "public, max-age=31536000, immutable"}
    )


def part(template: str, **about: Any) -> Markup:
    """Return the inner part of a page."""
    return Markup(environment().get_template(template).render(**about))  # noqa: S704  # escaped there


def framed(
    request: Request, main: Markup, *, title: str, status: int = 200, **about: Any
) -> Response:
    """Return a page: a part with the frame around it.

    Args:
        request: What was asked for.
        main: The part.
        title: What the tab says.
        status: The response's.
        about: What else the frame says.
    """
    base = str(request.scope.get("root_path", ""))
    page = (
        environment()
        .get_template("frame.html")
        .render(
            base=base,
            rest=base.removesuffix("/ui"),
            edition=edition(),
            title=title,
            main=main,
            theme=_chosen(request, "hms_theme", THEMES),
            density=_chosen(request, "hms_density", DENSITIES),
            path=request.url.path.removeprefix(base),
            flash=flash(request.query_params),
            **({"caller": None, "topics": (), "search": "", "wall": False} | about),
        )
    )
    return html(page, status)


def html(page: str, status: int = 200) -> Response:
    """Return HTML as a response, with the policy that lets nothing else in."""
    headers = {
        "Content-Security-Policy": POLICY,
        # Without a referrer a browser hides the origin of forms, too, which the door asks for.
        "Referrer-Policy": "same-origin",
    }
    return Response(page, status, headers, "text/html")


def _chosen(request: Request, cookie: str, allowed: tuple[str, ...]) -> str:
    given = request.cookies.get(cookie, "")
    return given if given in allowed else allowed[0]
