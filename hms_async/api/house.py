"""What all requests of a process share: the store, the client, the leases of absent workers."""

import os
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import anyio
from fastapi import Request

from hms_async.api.door import is_loopback
from hms_async.client import AsyncOMSClient
from hms_async.config import namespace as chosen_namespace
from hms_async.config import redactor as chosen_redactor
from hms_async.config import store_url
from hms_async.domain.access import Principal
from hms_async.errors import ClientClosed
from hms_async.runtime.gate import Gate
from hms_async.runtime.operations import run_operations
from hms_async.runtime.remote import RemoteWorkers
from hms_async.storage.connect import check_url
from hms_async.storage.store import Store
from hms_async.telemetry.metrics import QueueMetrics
from hms_async.telemetry.process_metrics import ProcessMetrics
from hms_async.telemetry.vitals import Vitals

_BY_A_PROXY = frozenset(
    {"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"}
)


class _Parts(NamedTuple):
    oms: AsyncOMSClient
    workers: RemoteWorkers
    gate: Gate
    store: Store
    metrics: QueueMetrics


class House:
    """Where requests are served; open it with `async with house.open()`.

    Args:
        url: Where the server is; `HMS_URL` if not given.
        namespace: Goes in front of every key; `HMS_NAMESPACE` if not given.
        trusts_loopback: Whether a caller on this machine needs no token while there is none.
        store: A store to use instead of a URL; it stays open afterwards.

    Attributes:
        redactor: Leaves secrets out of what is shown.
        stopping: Set when the process is about to end: what waits is to answer now.
        streams: How many event streams are open.
        beside: What runs while requests are served, by its name.
        vitals: What the process notes of itself.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        namespace: str = "",
        trusts_loopback: bool = True,
        store: Store | None = None,
    ) -> None:
        self._url = check_url(store_url(url)) if store is None else store.url
        self._namespace = chosen_namespace(namespace)
        self._given = store
        self._trusts_loopback = trusts_loopback
        self.redactor = chosen_redactor()
        self._parts: _Parts | None = None
        self.stopping = anyio.Event()
        self.streams = 0
        self.beside: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {}
        self.vitals = Vitals()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Serve requests while inside."""
        if self._given is not None:
            async with self._open(self._given):
                yield
        else:
            async with Store(self._url, namespace=self._namespace) as store, self._open(store):
                yield

    @asynccontextmanager
    async def _open(self, store: Store) -> AsyncGenerator[None]:
        name = f"{socket.gethostname()}-{os.getpid()}-api"
        async with (
            AsyncOMSClient(store=store) as oms,
            RemoteWorkers.open(store, name) as workers,
            anyio.create_task_group() as group,
        ):
            group.start_soon(run_operations, store, name="operations")
            self.stopping = anyio.Event()
            self._parts = _Parts(oms, workers, Gate(store), store, QueueMetrics(store))
            for part, run in self.beside.items():
                group.start_soon(run, name=part)
            try:
                yield
            finally:
                self.stop()
                self._parts = None
                group.cancel_scope.cancel()

    def stop(self) -> None:
        """Let what waits answer at once: the process is about to end."""
        self.stopping.set()
        if self._parts is not None:
            self.workers.drain()

    def _opened(self) -> _Parts:
        if self._parts is None:
            raise ClientClosed(
                "the API is not running: enter `async with api.running():` in the lifespan of the "
                "application that it is mounted in"
            )
        return self._parts

    @property
    def oms(self) -> AsyncOMSClient:
        """The client."""
        return self._opened().oms

    @property
    def workers(self) -> RemoteWorkers:
        """The leases of workers that are not here."""
        return self._opened().workers

    async def metrics(self) -> bytes:
        """Return what the queues have to tell, and then this process, as text for Prometheus.

        Raises:
            ConfigInvalid: If the library that writes it is not installed.
        """
        parts = self._opened()
        process = ProcessMetrics(self.vitals, parts.store.traffic)
        return await parts.metrics.text() + process.text()

    async def admit(self, request: Request) -> Principal:
        """Return who makes a request.

        Raises:
            Unauthenticated: If nobody knows.
            RateLimited: If they ask too often.
        """
        gate = self._opened().gate
        return await gate.admit(_said(request), loopback=self._is_from_here(request))

    async def check(self, request: Request) -> None:
        """Make sure that whoever made a request that goes on still is let in.

        Raises:
            Unauthenticated: If not: the token was revoked, or has expired.
            StoreError: If nobody can say.
        """
        gate = self._opened().gate
        await gate.check(_said(request), loopback=self._is_from_here(request))

    def _is_from_here(self, request: Request) -> bool:
        host = request.client.host if request.client else ""
        passed_on = _BY_A_PROXY.intersection(request.headers.keys())
        return self._trusts_loopback and is_loopback(host) and not passed_on

    async def ready(self) -> str:
        """Return why this process should get no requests now; empty when it may."""
        if self.stopping.is_set():
            return "draining"
        store = self._opened().store
        with anyio.move_on_after(2):
            await store.ping()
            return ""
        return "the store does not answer"


def _said(request: Request) -> str | None:
    """Return how the caller says who they are; a page that was signed in to says it for them."""
    signed_in: str | None = getattr(request.state, "signed_in", None)
    return signed_in or request.headers.get("authorization")
