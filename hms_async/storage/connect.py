"""From a URL to connections, and from Redis' errors to ours."""

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import redis
import redis.asyncio
from redis import exceptions
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from hms_async.errors import (
    ConfigInvalid,
    StoreError,
    StoreFull,
    StoreProtocol,
    StoreRefused,
    StoreUnavailable,
)
from hms_async.storage.greeting import ServerTooOld, greet, greet_from_thread

if TYPE_CHECKING:
    from fakeredis import FakeServer

CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 5.0
_SCHEMES = ("redis", "rediss", "unix", "memory")

# A right that is missing inside of a script has no class, and another text in each server.
_NO_RIGHT_WORDS = r"ACL failure in script|The user executing the script can't"
_NOT_NOW = (
    exceptions.BusyLoadingError,
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
)
# Words without a class in redis-py; from inside a script 6.2 puts them into the text.
_NOT_NOW_WORDS = r"\b(MISCONF|NOREPLICAS|BUSY|READONLY|MASTERDOWN|UNKILLABLE)\b"
_FULL_WORDS = r"\bOOM command not allowed\b|used memory > 'maxmemory'"
# uvloop says so to whoever writes to a connection that the server has just closed; asyncio drops
# the bytes without a word, and the read that follows meets the end.
_UVLOOP_CLOSED = "the handler is closed"

# With them redis-py takes no notice that a pooled connection was closed by the server, and the
# first command after a restart fails.
_NO_NOTIFICATIONS = MaintNotificationsConfig(enabled=False)

_memory_servers: dict[str, "FakeServer"] = {}


def check_url(url: str) -> str:
    """Return a store URL that can be used.

    Raises:
        ConfigInvalid: If it is not one.
    """
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        raise ConfigInvalid(
            f"{redact(url)!r} is not a store URL: write redis://host:6379/0, rediss://..., "
            "unix:///path/to.sock or memory://name"
        )
    try:
        _ = parts.port
    except ValueError as error:
        raise ConfigInvalid(f"{redact(url)!r} is not a store URL: {error}") from error
    return url


def redact(url: str) -> str:
    """Return a URL without its password, for people and logs."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{host}"))


def is_memory(url: str) -> bool:
    """Tell whether a URL names a store that lives in this process only."""
    return urlsplit(url).scheme == "memory"


def connect(url: str, *, blocking: bool = False) -> "redis.asyncio.Redis":
    """Return a client for an event loop; it connects at its first command.

    redis-py's own retries are off: they repeat a command whose answer was lost, and only
    the caller knows whether that is safe.

    Args:
        url: Where the server is.
        blocking: For commands that wait on the server; without a time limit of its own,
            since one that is shorter than the wait would cut it off.
    """
    if is_memory(url):
        return _memory_client(url)
    return redis.asyncio.Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
        check_url(url),
        socket_timeout=None if blocking else COMMAND_TIMEOUT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        retry=AsyncRetry(NoBackoff(), 0),
        redis_connect_func=greet,
        max_connections=1_000,
        **_network(url),
    )


def connect_for_thread(url: str, *, timeout_s: float = COMMAND_TIMEOUT_S) -> "redis.Redis":
    """Return a client for a thread beside the event loop.

    Args:
        url: Where the server is.
        timeout_s: How long to wait for an answer; never longer than `COMMAND_TIMEOUT_S`.
    """
    if is_memory(url):
        from fakeredis import FakeRedis  # noqa: PLC0415  # an extra, for memory:// only

        return FakeRedis(server=_memory_server(url))
    return redis.Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
        check_url(url),
        socket_timeout=min(timeout_s, COMMAND_TIMEOUT_S),
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        redis_connect_func=greet_from_thread,
        **_network(url),
    )


def _network(url: str) -> dict[str, Any]:
    """What only connections over a network have."""
    if urlsplit(url).scheme == "unix":
        return {}
    return {"socket_keepalive": True, "maint_notifications_config": _NO_NOTIFICATIONS}


def _memory_client(url: str) -> "redis.asyncio.Redis":
    from fakeredis import FakeAsyncRedis  # noqa: PLC0415  # an extra, for memory:// only

    return FakeAsyncRedis(server=_memory_server(url))


def _memory_server(url: str) -> "FakeServer":
    try:
        from fakeredis import FakeServer  # noqa: PLC0415  # an extra, for memory:// only
    except ImportError as error:
        raise ConfigInvalid("memory:// needs an extra: pip install 'hms-async[memory]'") from error
    name = _memory_name(url)
    if name not in _memory_servers:
        _memory_servers[name] = FakeServer()
    return _memory_servers[name]


def _memory_name(url: str) -> str:
    parts = urlsplit(url)
    return (parts.netloc + parts.path) or "default"


def forget_memory(url: str) -> None:
    """Drop what a `memory://` URL stands for; whoever connects next finds it empty."""
    _memory_servers.pop(_memory_name(url), None)


@contextmanager
def translated(note: Callable[[StoreError], None] | None = None) -> Generator[None]:
    """Turn what redis-py raises into the errors of this package.

    Args:
        note: Told of each.
    """
    try:
        yield
    except (exceptions.RedisError, OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and _UVLOOP_CLOSED not in str(error):
            raise
        translation = translate(error)
        if note is not None:
            note(translation)
        raise translation from error


def translate(error: BaseException) -> StoreError:
    """Return the error of this package that says what a Redis error means (R11)."""
    text = str(error) or type(error).__name__
    if (reason := _refusal(error, text)) is not None:
        return StoreRefused(reason)
    if isinstance(error, exceptions.OutOfMemoryError) or re.search(_FULL_WORDS, text):
        return StoreFull(f"the server is at its maxmemory: {text}")
    if _is_not_now(error):
        return StoreUnavailable(text)
    if isinstance(error, exceptions.ResponseError):
        return StoreProtocol(f"the server answered: {text}")
    return StoreUnavailable(text)


def _refusal(error: BaseException, text: str) -> str | None:
    """Why the server will have nothing to do with us until somebody changes something."""
    if isinstance(error, ServerTooOld):
        return text
    if isinstance(error, exceptions.NoPermissionError) or re.search(_NO_RIGHT_WORDS, text):
        return f"the user in the URL lacks a right: {text}"
    if isinstance(error, exceptions.AuthenticationError):
        # A server without a word from us complains of a HELLO that users have never heard of.
        asks = getattr(error, "status_code", None) == "NOAUTH"
        why = "asks for a password" if asks else f"refuses the password: {text.rstrip('.')}"
        return f"the server {why}. It goes into the URL: redis://:PASSWORD@host:6379/0"
    return None


def is_ambiguous(error: StoreUnavailable) -> bool:
    """Tell whether the command may have been carried out although no answer came (R11)."""
    return error.__cause__ is not None and not _is_not_now(error.__cause__)


def _is_not_now(error: BaseException) -> bool:
    """Whether the server did nothing, and may do it later."""
    if isinstance(error, _NOT_NOW):
        return True
    # A refused or failed connection has carried nothing over.
    if isinstance(error, exceptions.ConnectionError) and "connecting to" in str(error):
        return True
    return (
        isinstance(error, exceptions.ResponseError)
        and re.search(_NOT_NOW_WORDS, f"{getattr(error, 'status_code', '')} {error}") is not None
    )
