"""Serving HTTP from the command line: which addresses are let, and what is said at the start."""

import gc
import signal
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import msgspec

from hms_async.api.app import create_app
from hms_async.api.door import is_loopback
from hms_async.api.serve import TLS, serve
from hms_async.cli import show
from hms_async.cli.errors import USAGE, Failure
from hms_async.cli.session import reachable
from hms_async.client import AsyncOMSClient
from hms_async.storage.store import Store
from hms_async.telemetry.address import Bind

__all__ = ["TLS", "Address", "Bind", "serve_alone", "served"]


class Address(msgspec.Struct, frozen=True):
    """Where the API is served, and as what.

    Attributes:
        bind: Where to listen.
        prefix: Where a proxy shows it.
        hosts: Names that requests may ask for.
        tls: With which certificate; plain HTTP without one.
        pages: Whether the dashboard is served there, too.
    """

    bind: Bind
    prefix: str = ""
    hosts: tuple[str, ...] = ()
    tls: TLS | None = None
    pages: bool = False

    @property
    def url(self) -> str:
        """What to open on this machine."""
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://{self.bind.shown}{self.prefix}"


async def serve_alone(url: str, namespace: str, address: Address) -> None:
    """Serve until a signal comes."""
    async with reachable(url, namespace) as store:
        await check(store, address)
        async with served(store, address, address.bind.listen()):
            with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                # What is here now stays: the collector is not to go through it again and again,
                # which would hold up every twentieth page for as long as half a page takes.
                gc.freeze()
                show.say("ready.  Ctrl-C to stop.")
                async for _ in signals:
                    break


@asynccontextmanager
async def served(store: Store, address: Address, listening: socket.socket) -> AsyncGenerator[None]:
    """Serve while inside, and say where."""
    hosts = address.hosts
    if not hosts and address.bind.host not in ("0.0.0.0", "::"):  # noqa: S104  # compared with
        hosts = (address.bind.host,)
    app = create_app(
        store=store, prefix=address.prefix, allowed_hosts=hosts, dashboard=address.pages
    )
    async with anyio.create_task_group() as group:
        await group.start(partial(serve, app, listening, tls=address.tls), name="api")
        # With port 0 the system has chosen one.
        say(
            msgspec.structs.replace(
                address, bind=address.bind._replace(port=listening.getsockname()[1])
            )
        )
        yield
        group.cancel_scope.cancel()


async def check(store: Store, address: Address) -> None:
    """Make sure that not everybody can come in.

    Raises:
        Failure: If others than this machine could, and nobody needs a token.
    """
    if is_loopback(address.bind.host):
        return
    async with AsyncOMSClient(store=store) as oms:
        if not await oms.tokens.list():
            raise Failure(
                f"{address.bind.host} is open to others, and nobody needs a token yet. "
                "Make one first: hms token create --role admin",
                exit_code=USAGE,
            )


def say(address: Address) -> None:
    """Say where it is."""
    show.say(f"API:     {address.url}/oms   (reference: {address.url}/oms/docs)")
    if address.pages:
        show.say(f"Pages:   {address.url}/ui/")
