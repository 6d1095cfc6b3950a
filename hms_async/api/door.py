"""What stands before every request: which host, which origin, how large; and what answers say.

A browser on this machine can be made to send requests here by any page that it shows. What keeps
those out is the Host, which a rebound name gives away, and the Origin of unsafe requests.
"""

import logging
import time
from collections.abc import Iterable
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hms_async.api import problems
from hms_async.errors import HMSError, RequestTooLarge
from hms_async.telemetry.logs import get_logger, writes
from hms_async.telemetry.vitals import Vitals

log = get_logger("hms_async.api")

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
OUR_NAME: Final = "hms-act.local"
LARGEST_BODY: Final = 16 * 1_048_576
_UNSAFE: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_METHODS: Final = _UNSAFE | {"GET", "HEAD", "OPTIONS"}
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
UNBOUNDED: Final = "application/x-ndjson"
"""A body of this type may have any length: it is read line by line, and each line is bounded."""


class Door:
    """Refuses requests that should not come in, and dresses every answer.

    Args:
        app: What is behind.
        hosts: Names that a request may ask for beside the loopback's; `*` for any.
        largest_body: Bytes of a body.
        prefix: Where a proxy shows what is behind, and may or may not take it off.
        vitals: Where it is noted how long requests took.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Iterable[str] = (),
        largest_body: int = LARGEST_BODY,
        prefix: str = "",
        vitals: Vitals | None = None,
    ) -> None:
        self._app = app
        self._vitals = vitals or Vitals()
        self._prefix = prefix.rstrip("/")
        self._hosts = LOOPBACK | {OUR_NAME} | {host.lower() for host in hosts}
        self._largest = largest_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._prefix:
            scope = self._under_prefix(scope)
        request = Request(scope)
        came, status = time.monotonic(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if not status:
                status = message["status"]
                self._note(scope, status, time.monotonic() - came)
            await send(_dressed(message))

        try:
            problem = self._refusal(request)
            if problem is not None:
                await problems.answer(problem)(scope, receive, sending)
            else:
                await self._app(scope, self._bounded(request.headers, receive), sending)
        except Exception as error:  # noqa: BLE001  # nobody is told of our insides
            answer = (
                problems.from_error(error)
                if isinstance(error, HMSError)
                else problems.from_bug(request, error)
            )
            if not status:
                await answer(scope, receive, sending)
        finally:
            _tell(scope, status, time.monotonic() - came)

    def _under_prefix(self, scope: Scope) -> Scope:
        """Return a request as it was made, whether or not a proxy took the prefix off."""
        root = scope.get("root_path", "") + self._prefix
        path = scope["path"]
        if not f"{path}/".startswith(f"{root}/"):
            path = self._prefix + path
        return {**scope, "root_path": root, "path": path}

    def _note(self, scope: Scope, status: int, took_s: float) -> None:
        # A path or a method that is none of ours may be anything.
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._vitals.answered(route, method, status, took_s)

    def _refusal(self, request: Request) -> problems.Problem | None:
        host = _host_of(request.headers.get("host", ""))
        if host not in self._hosts and "*" not in self._hosts:
            return problems.plain(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"no host {host!r} is served here: --allowed-host adds a name",
                code="HMS-E083",
            )
        origin = request.headers.get("origin")
        if request.method in _UNSAFE and origin is not None and not self._is_own(origin, request):
            return problems.plain(
                HTTPStatus.FORBIDDEN,
                "a page of another origin may not change anything here",
                code="HMS-E084",
            )
        return None

    def _is_own(self, origin: str, request: Request) -> bool:
        """Whether a page of this origin came from here: browsers say so with every unsafe request.

        The scheme is not compared: behind a proxy that speaks TLS ours is another.
        """
        return urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()

    def _bounded(self, headers: Headers, receive: Receive) -> Receive:
        if is_unbounded(headers):
            return receive
        length = headers.get("content-length", "")
        seen = int(length) if length.isdecimal() and int(length) > self._largest else 0

        async def receiving() -> Message:
            nonlocal seen
            message: Message = {} if seen > self._largest else await receive()
            seen += len(message.get("body", b""))
            if seen > self._largest:
                raise RequestTooLarge(_too_large(self._largest))
            return message

        return receiving


def _tell(scope: Scope, status: int, took_s: float) -> None:
    level = logging.WARNING if status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.DEBUG
    if not writes(log, level):
        return
    (log.debug if level == logging.DEBUG else log.warning)(
        "http.request",
        method=scope["method"],
        # As it was declared: a path that nobody serves may hold anything.
        route=getattr(scope.get("route"), "path", None),
        status=status,
        duration_s=round(took_s, 3),
        ip=(scope.get("client") or [None])[0],
    )


def is_loopback(address: str) -> bool:
    """Whether an address, or `localhost`, is this machine's own."""
    if address == "localhost":
        return True
    try:
        found = ip_address(address)
    except ValueError:  # a name, or nothing
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def is_unbounded(headers: Headers) -> bool:
    """Whether a request's body is a stream of lines."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == UNBOUNDED


def _dressed(message: Message) -> Message:
    if message["type"] == "http.response.start":
        headers = MutableHeaders(scope=message)
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
    return message


def _too_large(largest: int) -> str:
    return f"the body is over {largest} bytes: send less at once, or as {UNBOUNDED}"


def _host_of(header: str) -> str:
    """Return the name or address in a Host header, without its port."""
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:  # a bracket without its other half
        return ""
