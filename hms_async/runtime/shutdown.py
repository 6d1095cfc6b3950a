"""How a worker stops: drain, then hand back, then leave."""

import signal
import time
from collections.abc import Callable, Sequence

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from hms_async.errors import HMSError, StoreError
from hms_async.runtime.exchange import settlement_of, to_settle
from hms_async.runtime.feed import Feed
from hms_async.runtime.leases import Held
from hms_async.runtime.report import Reporter
from hms_async.runtime.task import Attempt
from hms_async.storage.replies import MOST_A_CALL
from hms_async.telemetry.logs import get_logger

log = get_logger("hms_async.worker")

CANCEL_GRACE_S = 1.0
"""How long a cancelled handler may take to end before its task is handed back over its head."""

_LAST_ACT_S = 1.0


class Stop:
    """Whether a worker is to stop, and how quickly."""

    def __init__(self) -> None:
        self.draining = False
        self.handing_back = False
        self.signal: int | None = None
        self._asked_at: float | None = None
        self._drain = anyio.Event()
        self._hand_back = anyio.Event()
        self._listeners: list[Callable[[], None]] = []

    @property
    def exit_code(self) -> int:
        """What the process ends with when work was handed back."""
        return 128 + self.signal if self.signal else 1

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call this whenever the answer changes."""
        self._listeners.append(listener)

    def for_s(self) -> float:
        """Return for how many seconds it has been stopping; 0 if it is not."""
        return 0.0 if self._asked_at is None else time.monotonic() - self._asked_at

    def ask(self) -> None:
        """Stop; asked again, at once."""
        if self.draining:
            self.hand_back()
        else:
            self.drain()

    def drain(self) -> None:
        """Take nothing more, and finish what runs."""
        self.draining = True
        self._asked_at = self._asked_at or time.monotonic()
        self._drain.set()
        self._tell()

    def hand_back(self) -> None:
        """Cancel what runs, and hand it back."""
        self.drain()
        self.handing_back = True
        self._hand_back.set()
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    async def run(self, held: Held, *, timeout_s: float, worker_id: str) -> None:
        """Wait for the word to stop, then see it through.

        Returns when all that runs has been cancelled and had its time to end.
        """
        await self._drain.wait()
        log.info(
            "worker.draining",
            worker_id=worker_id,
            reason=signal.Signals(self.signal).name if self.signal else "asked to stop",
            running=len(held),
        )
        with anyio.move_on_after(timeout_s):
            await self._hand_back.wait()
        self.hand_back()
        held.cancel_all()
        await anyio.sleep(CANCEL_GRACE_S)

    async def watch_signals(
        self,
        leave: Callable[[int], object],
        *,
        task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
    ) -> None:
        """The first SIGTERM or SIGINT drains, the second hands back, the third ends at once.

        Args:
            leave: Ends the process with a code.
            task_status: Told when signals are heard.
        """
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            task_status.started()
            async for number in signals:
                self.signal = int(number)
                if self.handing_back:
                    leave(self.exit_code)
                self.ask()


class LastAct:
    """Settles what has an outcome, and hands back all else: what was cancelled, or would not end.

    Args:
        feeds: The queues.
        held: The leases of this process.
        reporter: Writes the log.
    """

    def __init__(self, feeds: Sequence[Feed], held: Held, reporter: Reporter) -> None:
        self._feeds = feeds
        self._held = held
        self._reporter = reporter
        self._done = False

    async def run(self) -> None:
        """Do it once, in bounded time; leases that cannot be settled end by themselves."""
        if self._done:
            return
        self._done = True
        with anyio.move_on_after(_LAST_ACT_S) as scope:
            async with anyio.create_task_group() as group:
                for feed in self._feeds:
                    group.start_soon(self._part_from, feed, name=f"last-act-{feed.name}")
        if scope.cancelled_caught:
            error = "the server did not answer in time"
            log.warning("worker.not_handed_back", running=len(self._held), error=error)

    async def _part_from(self, feed: Feed) -> None:
        attempts = [one for one in self._held.attempts() if one.queue == feed.name]
        attempts.sort(key=lambda one: one.claim.arrived_ms)
        # The newest first: each call puts what it hands back before the last one's.
        for start in reversed(range(0, len(attempts), MOST_A_CALL)):
            await self._settle(feed, attempts[start : start + MOST_A_CALL])

    async def _settle(self, feed: Feed, attempts: list[Attempt]) -> None:
        policy = feed.queue.settings.retry
        settlements = [settlement_of(attempt, policy) for attempt in attempts]
        settles = [
            to_settle(attempt, one) for attempt, one in zip(attempts, settlements, strict=True)
        ]
        began = time.monotonic()
        try:
            reply = await feed.last_lane.exchange(
                settles, unanswered=self._unanswered, shielded=False
            )
        except HMSError as error:
            if len(attempts) == 1:
                log.warning("worker.not_handed_back", queue=feed.name, error=str(error))
                return
            for attempt in attempts:
                await self._settle(feed, [attempt])
            return
        held = self._held.drop(*attempts)
        self._reporter.closed(held, attempts, settlements, reply.settled, began)

    def _unanswered(self, error: StoreError) -> int:
        self._reporter.store_down(error)
        return 0
