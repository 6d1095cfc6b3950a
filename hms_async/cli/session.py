"""From a command to the server and back: connect, ask, and say clearly why not."""

import getpass
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TypeVar

import anyio
import click

from hms_async import config
from hms_async.cli.errors import unknown_queue
from hms_async.client import AsyncOMSClient
from hms_async.domain.audit import Actor
from hms_async.errors import QueueNotFound, StoreRefused, StoreUnavailable
from hms_async.storage.connect import redact
from hms_async.storage.store import Store

T = TypeVar("T")


def ask(url: str | None, namespace: str, work: Callable[[AsyncOMSClient], Awaitable[T]]) -> T:
    """Do some work with an open client in an event loop of its own, and return its result.

    Raises:
        StoreUnavailable: At once if nobody answers at the URL.
        Failure: If the work named a queue that nobody created.
    """

    async def session() -> T:
        async with (
            reachable(config.store_url(url), config.namespace(namespace)) as store,
            AsyncOMSClient(store=store, by=operator()) as oms,
        ):
            try:
                return await work(oms)
            except QueueNotFound as error:
                raise unknown_queue(error.queue, await oms.list_queues()) from error

    return anyio.run(session)


@contextmanager
def until_interrupted(wanted: bool = True) -> Generator[None]:  # noqa: FBT001, FBT002  # reads well
    """Take Ctrl-C as the end of a command that has no other, instead of as an interruption."""
    try:
        yield
    except KeyboardInterrupt:
        if not wanted:
            raise
        click.echo(err=True)  # the terminal has just echoed ^C


def operator() -> Actor:
    """Return who sits at the command line: `user@host`."""
    user = "somebody"
    with suppress(OSError, LookupError, ImportError):  # a container's user may have no name
        user = getpass.getuser()
    return Actor(f"{user}@{socket.gethostname()}", "cli")


@asynccontextmanager
async def reachable(url: str, namespace: str) -> AsyncGenerator[Store]:
    """Open the store of a URL that answers.

    A client waits for a server that went away; a person who has mistyped its address does not
    want to, so the first question is whether anybody is there.

    Raises:
        StoreUnavailable: If nobody is; the message says what to do.
        StoreRefused: If it does not let us in, or is too old.
    """
    async with Store(url, namespace=namespace) as store:
        try:
            await store.ping()
        except StoreUnavailable as error:
            raise StoreUnavailable(
                f"no server at {redact(url)} ({_cause(error)}). "
                "Start one with `hms dev`, or name yours with -u or HMS_URL"
            ) from error
        except StoreRefused as error:
            raise StoreRefused(f"{redact(url)}: {error}") from error
        yield store


def _cause(error: BaseException) -> str:
    """Return the system's own words; redis-py puts a number and an address around them."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return _words(cause)
        cause = cause.__cause__ or cause.__context__
    return str(error).rstrip(".")


def _words(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return str(error.strerror).lower()
