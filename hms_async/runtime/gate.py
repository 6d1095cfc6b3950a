"""Who is let in: tokens looked up from a table that is never older than two seconds."""

import time
from collections.abc import Callable, Mapping

import anyio
import msgspec

from hms_async.domain.access import ON_LOOPBACK, Principal
from hms_async.domain.bucket import Bucket
from hms_async.domain.token import Token, verify
from hms_async.errors import RateLimited, StoreUnavailable, Unauthenticated
from hms_async.storage import tokens
from hms_async.storage.store import Store

FRESH_S = 2.0
GOOD_S = 30.0
"""For how long the last table serves when the store is away."""

AGAIN_S = 1.0
"""How long after a try that found the store away the next one is made, however many ask."""

_BURST = 2


class _Table(msgspec.Struct, frozen=True):
    """All tokens, and when they were asked for: on the server's clock, and on ours."""

    tokens: Mapping[str, Token]
    server_ms: int
    asked_at: float


class Gate:
    """Lets callers in, and tells what each may do.

    Args:
        store: Where the tokens are.
        clock: Seconds that only go forward.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._table: _Table | None = None
        self._away: tuple[float, str] | None = None
        self._reading = anyio.Lock()
        self._buckets: dict[str, Bucket] = {}

    async def admit(self, authorization: str | None, *, loopback: bool) -> Principal:
        """Return who makes a call.

        Args:
            authorization: What the caller says, as the header of that name.
            loopback: Whether the call comes from this machine: it needs no token while there is
                none.

        Raises:
            Unauthenticated: If there is no token where one is needed, or it is not good.
            RateLimited: If the token makes too many calls.
            StoreError: If nobody can say which tokens are good.
        """
        table = await self._current()
        if authorization is None:
            if loopback and not table.tokens:
                return ON_LOOPBACK
            raise Unauthenticated("a token is needed: Authorization: Bearer hms_<id>_<secret>")
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated(f"{scheme[:20]!r} is not spoken here: send Bearer and a token")
        now_s = self._clock()
        now_ms = table.server_ms + int((now_s - table.asked_at) * 1_000)
        token = verify(table.tokens, text.strip(), now_ms)
        bucket = self._buckets.get(token.id)
        if bucket is None:
            self._buckets[token.id] = bucket = Bucket(token.rate, _BURST * token.rate)
        if after_s := bucket.take(now_s):
            raise RateLimited(token.principal.name, token.rate, after_s)
        return token.principal

    async def _current(self) -> _Table:
        """Return the table; however many ask, one reads it anew."""
        if (table := self._fresh()) is not None:
            return table
        async with self._reading:
            if (table := self._fresh()) is not None:
                return table
            # From before the send on, so that an answer that took long is not taken for a new one.
            asked_at = self._clock()
            if self._away is not None and asked_at - self._away[0] < AGAIN_S:
                return self._last(self._away[1])
            try:
                found, now_ms = await tokens.read_table(self._store)
            except StoreUnavailable as error:
                self._away = (self._clock(), str(error))
                return self._last(str(error))
            self._away = None
            self._table = _Table(found, now_ms, asked_at)
            for gone in self._buckets.keys() - found.keys():
                del self._buckets[gone]
            return self._table

    def _last(self, why: str) -> _Table:
        """Return the last table while it may serve."""
        if self._table is None or self._clock() - self._table.asked_at >= GOOD_S:
            raise StoreUnavailable(why)
        return self._table

    def _fresh(self) -> _Table | None:
        table = self._table
        return table if table is not None and self._clock() - table.asked_at < FRESH_S else None
