"""The application: routes, and how requests come in and fail."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from hms_async.api import contract, pages, problems
from hms_async.api.door import LARGEST_BODY, Door
from hms_async.api.house import House
from hms_async.api.routes import ROUTERS
from hms_async.errors import HMSError
from hms_async.storage.store import Store
from hms_async.telemetry.logs import package_version

_ABOUT = """Queues that keep their promise, for programs in any language.

Instants are RFC 3339 in UTC, in fields that end in `_at`. Lengths of time that you send are texts
such as "90s" or numbers of seconds; those that you get are milliseconds, in fields that end in
`_ms`. Errors are problem details (RFC 9457), whose `code` is stable.
"""


class API(FastAPI):
    """The REST API as an ASGI application.

    Mounted in another application it needs `async with api.running():` in that one's lifespan,
    as applications do not start what is mounted in them.
    """

    def __init__(self, house: House, **attributes: Any) -> None:
        self.house = house
        super().__init__(lifespan=self._lifespan, **attributes)
        self.state.house = house

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncGenerator[None]:
        async with self.house.open():
            yield

    def running(self) -> AbstractAsyncContextManager[None]:
        """Return what serves requests while one is inside."""
        return self.house.open()

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, with the schemas of our structs."""
        if self.openapi_schema is None:
            found = super().openapi()
            for operations in found["paths"].values():
                for operation in operations.values():
                    # FastAPI speaks of an answer of its own here, which we never give.
                    refusal = operation["responses"].get("422", {})
                    if "HTTPValidationError" in str(refusal):
                        del operation["responses"]["422"]
            components = found.setdefault("components", {})
            components["schemas"] = contract.schemas()
            components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            found["security"] = [{"token": []}, {}]
            self.openapi_schema = found
        return self.openapi_schema


def create_app(
    url: str | None = None,
    *,
    namespace: str = "",
    prefix: str = "",
    allowed_hosts: Iterable[str] = (),
    trusts_loopback: bool = True,
    largest_body: int = LARGEST_BODY,
    store: Store | None = None,
    dashboard: bool = False,
) -> API:
    """Return the REST API as an ASGI application.

    Args:
        url: Where the server is; `HMS_URL` if not given.
        namespace: Goes in front of every key; `HMS_NAMESPACE` if not given.
        prefix: Where a proxy shows it, such as `/hms`; requests may come with or without it.
        allowed_hosts: Names that requests may ask for, beside those of this machine and
            `hms-act.local`.
        trusts_loopback: Whether a caller on this machine needs no token while there is none.
            Not behind a proxy on this machine: all callers would come from here.
        largest_body: Bytes of a request's body; streams of lines may be longer.
        store: A store to use instead of a URL; it stays open afterwards.
        dashboard: Whether pages for people are served, too, at `/ui/`.

    Raises:
        ConfigInvalid: If the URL or the namespace is not valid.
    """
    app = API(
        House(url, namespace=namespace, trusts_loopback=trusts_loopback, store=store),
        title="hms_async",
        version=package_version(),
        description=_ABOUT,
        openapi_url="/oms/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for router in ROUTERS:
        app.include_router(router)
    app.add_route("/oms/docs", pages.reference, include_in_schema=False)
    if dashboard:
        _add_dashboard(app)
    app.add_middleware(
        Door,
        hosts=allowed_hosts,
        largest_body=largest_body,
        prefix=prefix,
        vitals=app.house.vitals,
    )
    app.add_exception_handler(HMSError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _unknown)
    return app


def _add_dashboard(app: API) -> None:
    # Here, because an API without pages needs no templates.
    from hms_async.api.dashboard.site import create_dashboard  # noqa: PLC0415

    async def to_the_pages(request: Request) -> Response:
        return RedirectResponse(f"{request.scope.get('root_path', '')}/ui/", 307)

    app.mount("/ui", create_dashboard(app.house))
    app.add_route("/", to_the_pages, include_in_schema=False)
    app.add_route("/ui", to_the_pages, include_in_schema=False)


async def _refused(_: Request, error: Exception) -> Response:
    return problems.from_error(cast("HMSError", error))


async def _invalid(_: Request, error: Exception) -> Response:
    faults = cast("RequestValidationError", error).errors()
    return problems.answer(problems.invalid_parameters([dict(one) for one in faults]))


async def _unknown(request: Request, error: Exception) -> Response:
    failed = cast("HTTPException", error)
    detail = {
        404: f"nothing is served at {request.url.path}: see /oms/docs",
        405: f"{request.method} is not served at {request.url.path}: see /oms/docs",
    }.get(failed.status_code, str(failed.detail))
    response = problems.answer(problems.plain(failed.status_code, detail))
    response.headers.update(failed.headers or {})
    return response
