"""What an open client consists of, alive in a task of its own.

A task group must be left in the task that entered it, the innermost first. Clients are opened
and closed in fixtures, start-up hooks and exit stacks, which promise neither, so a client's group
lives in a task that belongs to the client alone.
"""

import asyncio
import os
import socket

import anyio
from anyio import CancelScope

from hms_async.errors import WrongEventLoop
from hms_async.runtime.doorbell import Doorbell
from hms_async.runtime.pop import Popper
from hms_async.runtime.submit import Submitter
from hms_async.storage.store import Store


class Session:
    """One opening of a client, in one event loop.

    Args:
        store: Where the queues are.
        closes_store: Whether the store ends with the session.
        durable: How many replicas are to have a task before its `enqueue` returns.
    """

    def __init__(self, store: Store, *, closes_store: bool, durable: int = 0) -> None:
        self.store = store
        self.submitter = Submitter(store, durable=durable)
        self._closes_store = closes_store
        self._loop = asyncio.get_running_loop()
        self._group = anyio.create_task_group()
        name = f"{socket.gethostname()}-{os.getpid()}-client"
        self._doorbell = Doorbell(store)
        self.popper = Popper(store, name, self._group, self._doorbell)
        self._opened = asyncio.Event()
        self._closing = asyncio.Event()
        # The one task outside a task group; `close` waits for it.
        self._life = self._loop.create_task(self._live(), name="hms-client")

    async def open(self) -> None:
        """Wait until it is ready."""
        try:
            await self._opened.wait()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End what runs, let waiting callers go, and close the store."""
        self._closing.set()
        with CancelScope(shield=True):
            await asyncio.wait([self._life])
        await self._life

    def check_loop(self) -> None:
        """Make sure that the caller is in the event loop that opened the client.

        Raises:
            WrongEventLoop: If it is not.
        """
        if asyncio.get_running_loop() is not self._loop:
            raise WrongEventLoop(
                "the client was opened in another event loop: open one in each loop"
            )

    async def _live(self) -> None:
        try:
            async with self._group as group:
                group.start_soon(self.submitter.run, name="client-submit")
                group.start_soon(self.submitter.watch_time, name="client-time")
                group.start_soon(self._doorbell.run, name="client-doorbell")
                self._opened.set()
                await self._closing.wait()
                self._release()
                group.cancel_scope.cancel()
        finally:
            self._release()
            if self._closes_store:
                await self.store.aclose()

    def _release(self) -> None:
        self.submitter.close()
        self.popper.close()
