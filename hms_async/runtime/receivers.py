"""Delivering a message to the outside: signed webhooks, and notices to people through Apprise.

Both block, and end when the other side likes, so each runs in a thread of a few that are kept for
them. The loop's side holds the time: when it is over, or the caller is cancelled, the thread is
left behind, and its connection cut so that it ends as well.
"""

import base64
import re
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, TypeVar
from urllib.parse import unquote, urlsplit

import anyio
import msgspec
from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

from hms_async.domain.duration import to_text
from hms_async.domain.signature import Secret, sign
from hms_async.domain.sla import Severity
from hms_async.errors import ConfigInvalid, ReceiverFailed

_THREADS = 8
_URL = re.compile(r"https?://[!-~]+", re.IGNORECASE)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31})://")
_WHOLE_SECONDS = re.compile(r"\d{1,9}", re.ASCII)
_TRY_LATER = frozenset({408, 425, 429})
_LONGEST_AFTER_S = 3_600.0
_READ_BYTES = 4_096
_READ_S = 0.5
_PORTS = {"http": 80, "https": 443}
_NOTIFY_TYPES: dict[Severity, str] = {
    "info": "info",
    "warning": "warning",
    "error": "failure",
    "critical": "failure",
}
_INSTALL = 'notices need Apprise: pip install "hms-async[notify]"'

T = TypeVar("T")

# One for each event loop, as its tokens belong to one.
_limiters: RunVar[CapacityLimiter] = RunVar("hms_async.receivers")


def check_receiver_url(url: object, *, kind: Literal["webhook", "notify"] = "webhook") -> str:
    """Return a URL to which a message can be sent, as far as can be known without sending one.

    Args:
        url: What the user gave. It may hold credentials, so no message shows it.
        kind: `webhook` takes absolute http and https URLs. `notify` takes what Apprise knows;
            where it is not installed, anything of the form `scheme://...`. Its first call imports
            all that Apprise supports, which takes most of a second.

    Raises:
        ConfigInvalid: If it is not of that kind.
    """
    if kind == "webhook":
        return _target(url).url
    if not isinstance(url, str) or not _SCHEME.match(url):
        raise ConfigInvalid(
            "a URL for notices is of the form scheme://..., such as "
            '"mailto://user:password@example.com"; this one is not'
        )
    if find_spec("apprise") is not None and _plugin(url) is None:
        raise ConfigInvalid(
            f"Apprise can do nothing with this {_scheme(url)}:// URL: a part is missing or wrong, "
            "or the service needs a package more; `apprise --dry-run` with the URL says which"
        )
    return url


# Webhooks.


async def post(
    url: str,
    secret: Secret,
    message_id: str,
    body: bytes,
    *,
    timeout_s: float = 10.0,
    clock: Callable[[], float] = time.time,
) -> None:
    """Send a webhook: JSON, signed by Standard Webhooks.

    Args:
        url: Absolute, of http or https; a user and password in it are sent as basic
            authentication. Redirects are not followed, and the environment's proxies not used.
        secret: What to sign with; see `signature.sign`.
        message_id: The same for each try.
        body: JSON.
        timeout_s: How long the receiver may take in all; waiting for a thread is not in it.
        clock: Tells the time that is signed, in seconds since the epoch.

    Raises:
        ReceiverFailed: If the receiver did not answer with a 2xx in time. It may have dealt with
            the message all the same.
        ConfigInvalid: If the URL, the secret or the id cannot be used.
    """
    target = _target(url)
    exchange = _Exchange(target, timeout_s)
    try:
        await _in_thread(
            lambda: exchange.run(sign(secret, message_id, int(clock()), body), body), timeout_s
        )
    except TimeoutError:
        if exchange.answer is None:
            raise ReceiverFailed(
                f"receiver {target.name} did not answer within {to_text(timeout_s * 1_000)}",
                retryable=True,
            ) from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ReceiverFailed(
            f"receiver {target.name} did not answer: {reason}", retryable=True
        ) from error
    finally:
        exchange.abort()
    if exchange.answer is not None:
        _judge(target.name, *exchange.answer, now_s=clock())


class _Target(msgspec.Struct, frozen=True):
    """Where a webhook goes.

    Attributes:
        url: As it was given.
        name: Host, and port if it is a special one: all that messages show.
        secure: Whether it is https.
        address: Host and port to connect to.
        path: What is asked for there, with the query.
        headers: What the URL adds to the headers: basic authentication.
    """

    url: str
    name: str
    secure: bool
    address: tuple[str, int]
    path: str
    headers: dict[str, str]


def _target(url: object) -> _Target:
    try:
        if not isinstance(url, str) or not _URL.fullmatch(url):
            raise ValueError  # noqa: TRY301  # one refusal for all that is wrong with it
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
        if not host or port == 0:
            raise ValueError  # noqa: TRY301
    except ValueError:  # and UnicodeError, for labels that are empty or too long
        raise ConfigInvalid(
            "a webhook URL is absolute, of http or https, in ASCII and without spaces, such as "
            '"https://hooks.example.com/queue"; this one is not'
        ) from None
    headers: dict[str, str] = {}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(login).decode()
    shown = f"[{host}]" if ":" in host else host
    return _Target(
        url=url,
        name=shown if port is None else f"{shown}:{port}",
        secure=parts.scheme == "https",
        # The port always: http.client would look for one in an IPv6 address.
        address=(host, port or _PORTS[parts.scheme]),
        path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        headers=headers,
    )


class _Exchange:
    """One request and its answer, on a connection of its own; blocks, but can be cut off.

    Attributes:
        answer: The status, and what `Retry-After` says, as soon as they are known.
    """

    def __init__(self, target: _Target, timeout_s: float) -> None:
        self.answer: tuple[int, str | None] | None = None
        self._target = target
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._aborted = False

    def run(self, signature: dict[str, str], body: bytes) -> None:
        """Send the message and wait for the answer; to be called in a thread."""
        kind = HTTPSConnection if self._target.secure else HTTPConnection
        connection = kind(*self._target.address, timeout=self._timeout_s)
        try:
            connection.connect()
            self._socket = connection.sock
            if not self._aborted:  # else nobody waits for it any more
                self._exchange(connection, signature, body)
        finally:
            connection.close()

    def _exchange(self, connection: HTTPConnection, signature: dict[str, str], body: bytes) -> None:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "hms-async",
            "Connection": "close",
            **self._target.headers,
            **signature,
        }
        # Who refuses a message may do so before it is sent whole, and close; the answer is there.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", self._target.path, body, headers)
        with connection.getresponse() as response:
            self.answer = (response.status, response.getheader("Retry-After"))
            # A little of the body, so that a small answer is not cut off while it is written.
            with suppress(OSError, HTTPException, ValueError):
                if self._socket is not None:
                    self._socket.settimeout(_READ_S)
                response.read1(_READ_BYTES)

    def abort(self) -> None:
        """Cut the connection, so that the thread does not wait on; from any thread."""
        self._aborted = True
        if self._socket is not None:
            with suppress(OSError):
                # Not TLS's own `shutdown`, which would take its state away under the thread.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _judge(name: str, status: int, retry_after: str | None, *, now_s: float) -> None:
    """Raise unless the answer says that the message was taken."""
    if 200 <= status < 300:  # noqa: PLR2004  # the classes of RFC 9110
        return
    message = f"receiver {name} answered {status}"
    if 300 <= status < 400:  # noqa: PLR2004
        message += ": redirects are not followed, so give the address it redirects to"
    retryable = status in _TRY_LATER or not 300 <= status < 500  # noqa: PLR2004
    after_s = _after_s(retry_after, now_s) if retryable and retry_after else None
    raise ReceiverFailed(message, retryable=retryable, after_s=after_s)


def _after_s(text: str, now_s: float) -> float | None:
    """Return how many seconds `Retry-After` asks for, up to an hour; `None` if it makes no sense.

    Source: RFC 9110, section 10.2.3: seconds, or a date.
    """
    if _WHOLE_SECONDS.fullmatch(text.strip()):
        return min(float(text), _LONGEST_AFTER_S)
    try:
        moment = parsedate_to_datetime(text)
        wanted_s = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now_s
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wanted_s, 0.0), _LONGEST_AFTER_S)


# Notices.


async def notify(
    urls: Sequence[str],
    title: str,
    body: str,
    severity: Severity,
    *,
    timeout_s: float = 20.0,
) -> None:
    """Tell people something, through the services that Apprise knows: mail, chat, pagers.

    A further try tells all of them again; to spare those that were reached, give one URL a call.

    Args:
        urls: Apprise's URLs; they hold credentials, so messages name their schemes only.
        title: One line of plain text.
        body: Plain text.
        severity: How urgent it is.
        timeout_s: How long each service may take; waiting for a thread is not in it.

    Raises:
        ReceiverFailed: If one of them was not reached; all others are tried all the same.
        ConfigInvalid: If Apprise is not installed.
    """
    if find_spec("apprise") is None:
        raise ConfigInvalid(_INSTALL)
    failures: list[tuple[str, bool]] = []

    async def tell(url: str) -> None:
        send = partial(_send, url, title, body, _NOTIFY_TYPES[severity])
        try:
            failure = await _in_thread(send, timeout_s)
        except TimeoutError:
            failure = (f"no answer within {to_text(timeout_s * 1_000)}", True)
        if failure is not None:
            why, retryable = failure
            failures.append((f"{_scheme(url)} ({why})", retryable))

    async with anyio.create_task_group() as group:
        for url in urls:
            group.start_soon(tell, url, name=f"notify-{_scheme(url)}")
    if failures:
        raise ReceiverFailed(
            f"{len(failures)} of {len(urls)} notices were not taken: "
            + ", ".join(sorted(text for text, _ in failures)),
            retryable=any(retryable for _, retryable in failures),
        )


def _send(url: str, title: str, body: str, notify_type: str) -> tuple[str, bool] | None:
    """Send one notice; return why it was not taken and whether to try again. For a thread."""
    try:
        plugin = _plugin(url)
        if plugin is None:
            return "Apprise can do nothing with this URL", False
        one = _apprise().Apprise()
        one.add(plugin)
        # Said to be text, it is escaped for those services that show HTML.
        taken = one.notify(body=body, title=title, notify_type=notify_type, body_format="text")
    except Exception as error:  # noqa: BLE001  # a hundred services' code; the text may hold the URL
        return type(error).__name__, True
    return None if taken else ("refused, or not reached", True)


def _plugin(url: str) -> Any:
    """Return Apprise's object for a URL; `None` if it has none."""
    apprise = _apprise()
    # One after the other in our thread, not in threads or a loop of its own.
    asset = apprise.AppriseAsset(app_id="hms_async", app_desc="hms_async", async_mode=False)
    return apprise.Apprise.instantiate(url, asset=asset)


def _apprise() -> Any:
    """Import an extra that takes its time; its own types are known in part only."""
    return import_module("apprise")


def _scheme(url: str) -> str:
    found = _SCHEME.match(url)
    return found[1].lower() if found else "a URL without a scheme"


async def _in_thread(call: Callable[[], T], timeout_s: float) -> T:
    """Call something that blocks.

    Raises:
        TimeoutError: If it took longer, once a thread was free. The thread goes on.
    """
    try:
        limiter = _limiters.get()
    except LookupError:
        limiter = CapacityLimiter(_THREADS)
        _limiters.set(limiter)
    async with limiter:
        with anyio.fail_after(timeout_s):
            return await to_thread.run_sync(
                call, limiter=CapacityLimiter(1), abandon_on_cancel=True
            )
