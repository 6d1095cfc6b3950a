"""Renewing leases from a thread, on a connection of its own."""

from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import NoScriptError

from hms_async.storage import connect
from hms_async.storage.keys import Keys
from hms_async.storage.replies import MOST_A_CALL, Extended
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
        timeout_s: How long to wait for an answer at the most: a beat whose answer is lost must not
            take so long that the lease is over before the next.
    """

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "",
        clock: Callable[[], int] | None = None,
        lease_ms: Callable[[str], int] | None = None,
        timeout_s: float = connect.COMMAND_TIMEOUT_S,
    ) -> None:
        self._keys = Keys(namespace)
        self._clock = clock
        self._lease_ms = lease_ms
        self._redis: Any = connect.connect_for_thread(url, timeout_s=timeout_s)

    def extend(self, queue: str, leases: Sequence[tuple[str, str]]) -> Extended:
        """Renew leases, given as pairs of id and token.

        Raises:
            StoreError: If the server cannot be asked.
        """
        lost, cancelling = set[str](), set[str]()
        for start in range(0, len(leases), MOST_A_CALL):
            pairs = [part for lease in leases[start : start + MOST_A_CALL] for part in lease]
            extended = self._extend(queue, pairs)
            lost |= extended.lost
            cancelling |= extended.cancelling
        return Extended(frozenset(lost), frozenset(cancelling))

    def _extend(self, queue: str, pairs: list[str]) -> Extended:
        script = load("extend")
        now = "" if self._clock is None else self._clock()
        lease = "" if self._lease_ms is None else self._lease_ms(queue)
        sent = (1, self._keys.queue(queue), self._keys.task_prefix(queue), now, lease, *pairs)
        with connect.translated():
            try:
                reply = self._redis.execute_command("EVALSHA", script.sha, *sent)
            except NoScriptError:
                reply = self._redis.execute_command("EVAL", script.text, *sent)
        return Extended.read(reply)

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()
