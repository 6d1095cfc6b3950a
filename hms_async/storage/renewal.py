"""Renewing leases from a thread, on a connection of its own."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from redis.exceptions import NoScriptError

from hms_async.storage import connect
from hms_async.storage.keys import Keys
from hms_async.storage.replies import MOST_A_CALL
from hms_async.storage.scripts import load


class LeaseRenewer:
    """The blocking twin of `Store.extend`.

    Args:
        url: Where the server is.
        namespace: Goes in front of every key.
        clock: As for `Store`.
        lease_ms: Returns how long to renew a queue's leases for: what its caller reckons its
            pauses by, even where the queue's settings have changed since. As these settings say
            if not given.
    """

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "",
        clock: Callable[[], int] | None = None,
        lease_ms: Callable[[str], int] | None = None,
    ) -> None:
        self._keys = Keys(namespace)
        self._clock = clock
        self._lease_ms = lease_ms
        self._redis: Any = connect.connect_for_thread(url)

    def extend(self, queue: str, leases: Sequence[tuple[str, str]]) -> set[str]:
        """Renew leases, given as pairs of id and token; returns the tokens that are lost.

        Raises:
            StoreError: If the server cannot be asked.
        """
        lost: set[str] = set()
        for start in range(0, len(leases), MOST_A_CALL):
            pairs = [part for lease in leases[start : start + MOST_A_CALL] for part in lease]
            lost |= self._extend(queue, pairs)
        return lost

    def _extend(self, queue: str, pairs: list[str]) -> set[str]:
        script = load("extend")
        now = "" if self._clock is None else self._clock()
        lease = "" if self._lease_ms is None else self._lease_ms(queue)
        sent = (1, self._keys.queue(queue), self._keys.task_prefix(queue), now, lease, *pairs)
        with connect.translated():
            try:
                reply = self._redis.execute_command("EVALSHA", script.sha, *sent)
            except NoScriptError:
                reply = self._redis.execute_command("EVAL", script.text, *sent)
        return {token.decode() for token in cast("list[bytes]", reply)}

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()
