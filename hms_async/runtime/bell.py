"""The doorbell: sleeping until there is work, on one connection for all queues.

Tokens travel here, so this is the one wait that may be cancelled (R12, R13). Tasks do so only where
the listener claims at the bell, and then it also sees to what a cancellation leaves.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress

import anyio
from anyio import CancelScope

from hms_async.errors import QueueNotFound, StoreError
from hms_async.runtime.exchange import Backoff
from hms_async.storage.store import Store

WAIT_S = 1.0
SUPERVISED_WAIT_S = 3.0
MARGIN_S = 3.0


class Bell:
    """Listens to the bells of the queues that could be served right now.

    Args:
        store: Where the bells are.
        rung: Called with the queue that rang, or `None` when nothing did for a while; returns
            whether the token is of use. One that is not is rung again for others.
        claim: Waits at the bells in our place, for so many seconds, and claims when one rings;
            returns whether it did, since it may have no slot for that.
        supervised: Whether a supervisor runs beside it, whose sweep rings each second for work
            that nobody was woken for. The end of a wait is of no use to anybody then, so it is
            longer; else the queue is asked when it ends (R12).
    """

    def __init__(
        self,
        store: Store,
        rung: Callable[[str | None], bool],
        *,
        claim: Callable[[Sequence[str], float], Awaitable[bool]] | None = None,
        supervised: bool = False,
    ) -> None:
        self._store = store
        self._rung = rung
        self._claim = claim
        self._supervised = supervised
        self._wanted: frozenset[str] = frozenset()
        self._listening: frozenset[str] = frozenset()
        self._asked = asyncio.Event()
        self._scope: CancelScope | None = None

    def listen(self, queues: Collection[str]) -> None:
        """Listen to these queues from now on, until one rings or the wait is over."""
        self._wanted = frozenset(queues)
        if self._wanted <= self._listening:
            return
        self._asked.set()
        if self._scope is not None:
            self._scope.cancel()

    async def look(
        self, queues: Callable[[], Collection[str]], every_s: Callable[[], float]
    ) -> None:
        """Look now and then at the bells that are not listened to, until cancelled.

        A worker that is busy with one queue takes no tokens of the others, as it could not use
        them; but it must hear that something more urgent has come. A token that still lies there
        has found nobody idle. It is left where it is.

        Args:
            queues: Returns those that something may have come into unheard.
            every_s: Returns how long they may wait until they are looked at.
        """
        while True:
            await anyio.sleep(every_s())
            if names := [name for name in queues() if name not in self._listening]:
                with suppress(StoreError):  # the exchanges tell of it
                    for queue in await self._store.rung(names):
                        self._rung(queue)

    async def run(self) -> None:
        """Listen until cancelled."""
        backoff = Backoff()
        while True:
            await self._asked.wait()
            self._asked.clear()
            self._listening = self._wanted
            try:
                with CancelScope() as self._scope:
                    await self._wait(sorted(self._listening))
                backoff = Backoff()
            except (StoreError, QueueNotFound):
                await backoff.wait()
                # One queue that is refused to us makes us deaf to all of them, so each is asked.
                for queue in self._listening:
                    self._rung(queue)
                self._rung(None)
            finally:
                self._scope = None
                self._listening = frozenset()

    async def _wait(self, queues: list[str]) -> None:
        wait_s = SUPERVISED_WAIT_S if self._supervised else WAIT_S
        if self._claim is not None and await self._claim(queues, wait_s):
            return
        # The connection has no time-out of its own: a half-open one would wait for ever.
        with anyio.move_on_after(wait_s + MARGIN_S):
            queue = await self._store.wait_for_bell(queues, wait_s)
            self._listening = frozenset()
            if not self._rung(queue) and queue is not None:
                with CancelScope(shield=True):
                    await self._store.ring(queue)
            return
        self._rung(None)
