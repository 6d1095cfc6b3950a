"""How long attempts waited in the last half hour, by the minute: what is over is read but once."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hms_async.domain.histogram import WAIT_MS, percentile, seen
from hms_async.domain.series import MINUTE_MS, Piece
from hms_async.storage.series import read_pieces_of
from hms_async.storage.store import Store

TREND_MS = 30 * MINUTE_MS
"""How far back a trend goes."""

_AT_ONCE = 25
"""So many queues at a look, so that none takes much longer than others."""

_FORGOTTEN_AFTER_MS = 5 * MINUTE_MS
"""What nobody looked at for so long is read as a whole: the queue may be another of its name."""

Trend = Mapping[int, float]
"""By the minutes in which attempts began, as ms since the epoch: the wait, in ms, that 95 of a
hundred did not exceed. Only minutes that are over."""


class _Known(NamedTuple):
    read_ms: int
    trend: dict[int, float]


class Trends:
    """Looks at the trends of queues, as often as one likes.

    Args:
        store: Where they are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, _Known] = {}

    async def look(self, queues: Sequence[str], now_ms: int) -> dict[str, Trend]:
        """Return the trends of queues as far as they are known; a look makes a few more known.

        Args:
            queues: All that there are, those first whose trends are wanted first.
            now_ms: The server's clock.

        Raises:
            StoreError: If the store cannot be asked.
        """
        self._known = {
            name: self._known[name]
            for name in queues
            if name in self._known and 0 <= now_ms - self._read_ms(name) < _FORGOTTEN_AFTER_MS
        }
        due = [name for name in queues if self._read_ms(name) < now_ms // MINUTE_MS * MINUTE_MS]
        if some := sorted(due, key=self._read_ms)[:_AT_ONCE]:
            await self._read(some, now_ms)
        return {name: known.trend for name, known in self._known.items()}

    def _read_ms(self, name: str) -> int:
        return self._known[name].read_ms if name in self._known else 0

    async def _read(self, queues: Sequence[str], now_ms: int) -> None:
        # A minute that was not over the last time is read anew, from its begin.
        span_ms = min(now_ms - min(map(self._read_ms, queues)) + MINUTE_MS, TREND_MS)
        found = await read_pieces_of(self._store, queues, span_ms, MINUTE_MS)
        for name, pieces in zip(queues, found, strict=True):
            known = self._known[name].trend if name in self._known else {}
            trend = known | _p95_ms(pieces)
            over = range(now_ms - TREND_MS, now_ms - MINUTE_MS + 1)
            self._known[name] = _Known(now_ms, {at: ms for at, ms in trend.items() if at in over})


def _p95_ms(pieces: Sequence[Piece]) -> dict[int, float]:
    waits = {at_ms: seen(counts, "wait", WAIT_MS) for at_ms, counts in pieces}
    return {at_ms: percentile(n, WAIT_MS, 0.95) for at_ms, n in waits.items() if any(n)}
