"""What is kept of workers that are not here: their cards, and the suspects that they hold (R15)."""

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress

from anyio.abc import TaskGroup

from hms_async.errors import StoreError
from hms_async.storage.store import Store

MOST_GUESTS = 10_000
CARD_EVERY_S = 5.0
_CARD_TTL_S = 60


class _Guest:
    """A worker elsewhere.

    Attributes:
        queues: Those that it asked for last.
        written: When its card was written last, on the monotonic clock.
        suspect: The token of the suspect that it holds; empty without one.
        lease_s: How long that lease is.
        until: When it ends if it is not renewed, on the monotonic clock.
        asks: Whether a call that may claim a suspect for it is under way.
    """

    __slots__ = ("asks", "lease_s", "queues", "suspect", "until", "written")

    def __init__(self) -> None:
        self.queues: Sequence[str] = ()
        self.written = -CARD_EVERY_S
        self.suspect = ""
        self.lease_s = 0.0
        self.until = 0.0
        self.asks = False


class Guests:
    """Workers that are not in this process, by name; of very many the longest unheard go.

    Args:
        store: Where the list of workers is.
        group: Where cards are written: nobody waits for that.
    """

    def __init__(self, store: Store, group: TaskGroup) -> None:
        self._store = store
        self._group = group
        self._guests: dict[str, _Guest] = {}

    def __len__(self) -> int:
        return len(self._guests)

    def seen(self, worker: str, queues: Sequence[str] | None = None) -> None:
        """Take note that a worker lives, and leave its card where operators look."""
        guest = self._guest(worker)
        if queues is not None:
            guest.queues = queues
        now = time.monotonic()
        if now - guest.written >= CARD_EVERY_S:
            guest.written = now
            self._group.start_soon(self._write, worker, guest.queues, name="registry")

    @contextmanager
    def asking(self, worker: str) -> Generator[bool]:
        """Tell whether what is asked for it meanwhile may be a suspect."""
        guest = self._guest(worker)
        may = not (guest.asks or (guest.suspect and time.monotonic() < guest.until))
        guest.asks = guest.asks or may
        try:
            yield may
        finally:
            if may:
                guest.asks = False

    def took(self, worker: str, suspect: str | None, lease_ms: int) -> None:
        """Take note of the suspect among its claims, if there is one."""
        if suspect:
            guest = self._guest(worker)
            guest.suspect, guest.lease_s = suspect, lease_ms / 1_000
            guest.until = time.monotonic() + guest.lease_s

    def renewed(self, worker: str, token: str) -> None:
        """Take note that a lease goes on."""
        guest = self._guests.get(worker)
        if guest and guest.suspect == token:
            guest.until = time.monotonic() + guest.lease_s

    def settled(self, worker: str, token: str) -> None:
        """Take note that a lease has ended."""
        guest = self._guests.get(worker)
        if guest and guest.suspect == token:
            guest.suspect = ""

    def _guest(self, worker: str) -> _Guest:
        self._guests[worker] = guest = self._guests.pop(worker, None) or _Guest()
        if len(self._guests) > MOST_GUESTS:
            del self._guests[next(iter(self._guests))]
        return guest

    async def _write(self, worker: str, queues: Sequence[str]) -> None:
        card = {"via": "rest", "queues": " ".join(queues)}
        with suppress(StoreError):
            await self._store.register_worker(worker, card, _CARD_TTL_S)
