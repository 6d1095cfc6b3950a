"""The leases that this process holds."""

import threading
import time
from collections.abc import Iterable, Iterator

from anyio import CancelScope

from hms_async.errors import CancelRequested, LeaseLost
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
        self._suspects: set[str] = set()
        self._handing_back = False
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._attempts)

    def add(self, *attempts: Attempt) -> None:
        """Hold the leases of these attempts from now on."""
        claimed = {attempt.claim.token: attempt for attempt in attempts}
        with self._lock:
            self._attempts |= claimed

    def suspect(self, token: str) -> None:
        """Take note that one more crash fails this task: it may be what kills its workers."""
        self._suspects.add(token)

    def may_take_suspect(self, settling: Iterable[Attempt] = ()) -> bool:
        """Tell whether this process holds none, beside those that are being settled (R15)."""
        if not self._suspects:
            return True
        return self._suspects <= {attempt.claim.token for attempt in settling}

    def watch(self, attempt: Attempt, scope: CancelScope, *, in_thread: bool) -> None:
        """Cancel this scope when the attempt's lease is lost, or the task is not to be done.

        A thread cannot be stopped: a task in one is handed back as late as can be, and has the
        last word when it is to be cancelled.
        """
        self._scopes[attempt.claim.token] = scope
        if in_thread:
            self._threads.add(attempt.claim.token)
        cancelled = self._handing_back or attempt.cancel_asked
        if attempt.lost or (cancelled and not in_thread):
            scope.cancel()

    def unwatch(self, attempt: Attempt) -> None:
        """Leave the scope alone: it will be another attempt's."""
        self._scopes.pop(attempt.claim.token, None)
        self._threads.discard(attempt.claim.token)

    def drop(self, *attempts: Attempt) -> list[bool]:
        """Let go of leases that have been settled; returns for each whether it was held."""
        tokens = [attempt.claim.token for attempt in attempts]
        with self._lock:
            held = [self._attempts.pop(token, None) is not None for token in tokens]
        self._suspects.difference_update(tokens)
        return held

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

    def lose(self, tokens: Iterable[str]) -> None:
        """Take note that these leases are gone, and cancel what runs under them."""
        for token, attempt in self._running(tokens):
            attempt.lost = True
            log.warning(
                "task.lease_lost",
                **attempt.names(),
                held_s=round(time.monotonic() - attempt.claimed, 3),
            )
            self._cancel(token)

    def ask_to_cancel(self, tokens: Iterable[str]) -> None:
        """Take note that these tasks are to be cancelled, and cancel what can be (R17)."""
        for token, attempt in self._running(tokens):
            if attempt.cancel_asked:
                continue
            attempt.cancel_asked = True
            log.info("task.cancelling", **attempt.names())
            if token not in self._threads:
                self._cancel(token)

    def _running(self, tokens: Iterable[str]) -> Iterator[tuple[str, Attempt]]:
        """Those without an outcome: of the others the store knows, or will know, what came."""
        for token in tokens:
            attempt = self._attempts.get(token)
            if attempt is not None and attempt.outcome is None:
                yield token, attempt

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
            CancelRequested: If it is, and the task is to be cancelled.
        """
        task_id = attempt.claim.id
        if attempt.lost:
            raise LeaseLost(task_id, f"the lease of task {task_id} is lost")
        if attempt.cancel_asked:
            raise CancelRequested(task_id)
