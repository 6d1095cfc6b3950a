"""The leases that this process holds."""

import threading
import time

from anyio import CancelScope

from hms_async.errors import LeaseLost
from hms_async.runtime.task import Attempt
from hms_async.telemetry.logs import get_logger

log = get_logger("hms_async.worker")


class Held:
    """The attempts under a lease of ours, by token.

    The event loop adds and removes them, the heartbeat thread reads them.
    """

    def __init__(self) -> None:
        self._attempts: dict[str, Attempt] = {}
        self._scopes: dict[str, CancelScope] = {}
        self._threads: set[str] = set()
        self._handing_back = False
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._attempts)

    def add(self, attempt: Attempt) -> None:
        """Hold an attempt's lease from now on."""
        with self._lock:
            self._attempts[attempt.claim.token] = attempt

    def watch(self, attempt: Attempt, scope: CancelScope, *, in_thread: bool) -> None:
        """Cancel this scope when the attempt's lease is lost, or the task is to be handed back.

        A thread cannot be stopped, so a task in one is handed back as late as can be.
        """
        self._scopes[attempt.claim.token] = scope
        if in_thread:
            self._threads.add(attempt.claim.token)
        if attempt.lost or (self._handing_back and not in_thread):
            scope.cancel()

    def drop(self, attempt: Attempt) -> bool:
        """Let go of a lease that has been settled; returns whether it was held."""
        token = attempt.claim.token
        with self._lock:
            held = self._attempts.pop(token, None)
        self._scopes.pop(token, None)
        self._threads.discard(token)
        return held is not None

    def by_queue(self) -> dict[str, list[tuple[str, str]]]:
        """Return pairs of id and token for each queue; safe to call from any thread."""
        pairs: dict[str, list[tuple[str, str]]] = {}
        for attempt in self.attempts():
            pairs.setdefault(attempt.queue, []).append((attempt.claim.id, attempt.claim.token))
        return pairs

    def attempts(self) -> list[Attempt]:
        """Return what is held; safe to call from any thread."""
        with self._lock:
            return list(self._attempts.values())

    def lose(self, tokens: set[str]) -> None:
        """Take note that these leases are gone, and cancel what runs under them."""
        for token in tokens:
            attempt = self._attempts.get(token)
            # Settled in the meantime: the token ended because we ended it.
            if attempt is None or attempt.outcome is not None:
                continue
            attempt.lost = True
            log.warning(
                "task.lease_lost",
                task_id=attempt.claim.id,
                queue=attempt.queue,
                corr_id=attempt.correlation_id,
                held_s=round(time.monotonic() - attempt.claimed, 3),
            )
            self._cancel(token)

    def cancel_all(self) -> None:
        """Cancel all that runs and is about to run, so that it can be handed back."""
        self._handing_back = True
        for token in self._scopes.keys() - self._threads:
            self._cancel(token)

    def _cancel(self, token: str) -> None:
        scope = self._scopes.get(token)
        if scope is not None:
            scope.cancel()

    async def check(self, attempt: Attempt) -> None:
        """Tell a handler whether its lease is alive; the thread renews it.

        Raises:
            LeaseLost: If it is not.
        """
        if attempt.lost:
            task_id = attempt.claim.id
            raise LeaseLost(task_id, f"the lease of task {task_id} is lost")
