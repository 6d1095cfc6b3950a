"""Whether a process lives, whether it does its work, and what it knows of itself.

Threads ask, so that the answer is right while the event loop stands still.
"""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hms_async.telemetry.address import HEALTH_PORT, METRICS_PORT, Bind
from hms_async.telemetry.logs import package_version
from hms_async.telemetry.vitals import Vitals

if TYPE_CHECKING:
    from hms_async.runtime.feed import Feed
    from hms_async.runtime.leases import Held
    from hms_async.runtime.slots import Slots
    from hms_async.storage.traffic import Traffic
    from hms_async.telemetry.port import Page

READY_WITHIN_S: Final = 5.0
"""How old the last answer of the store may be: at rest there is one each second."""

STALL_LIMIT_S: Final = 60.0
"""For how long an event loop may stand still before its process is better started anew."""

_LONGEST_S = 6.0


class Health:
    """The health of one process.

    Args:
        vitals: What it notes of itself.
        stall_limit_s: For how long its event loop may stand still.
        draining: Whether it is about to end.

    Attributes:
        started: Whether it has begun with its work.
        hindrance: What keeps it from its work although the store answers; empty if nothing does.
        more: What else it has to say of itself.
    """

    def __init__(
        self,
        vitals: Vitals,
        *,
        stall_limit_s: float = STALL_LIMIT_S,
        draining: Callable[[], bool] = lambda: False,
    ) -> None:
        self._vitals = vitals
        self._stall_limit_s = stall_limit_s
        self._draining = draining
        self.started = False
        self.hindrance: Callable[[], str] = str
        self.more: Callable[[], Mapping[str, Any]] = dict[str, Any]

    def why_not_live(self) -> str:
        """Return why the process should be ended and started anew; empty when it should not."""
        still_s = self._vitals.still_for_s()
        if still_s < self._stall_limit_s:
            return ""
        return f"the event loop has stood still for {still_s:.0f} s"

    def why_not_ready(self) -> str:
        """Return why the process does not do its work now; empty when it does."""
        if why := self.why_not_live():
            return why
        if not self.started:
            return "starting"
        if self._draining():
            return "draining"
        if why := self.hindrance():
            return why
        silent_s = self._vitals.silent_for_s()
        if silent_s is None:
            return "the store has not answered yet"
        if silent_s >= READY_WITHIN_S:
            still_s = self._vitals.still_for_s()
            who = "the event loop is blocked" if still_s >= READY_WITHIN_S - 1 else "no word"
            return f"{who}: the store's last answer is {silent_s:.0f} s old"
        return ""

    def status(self) -> dict[str, Any]:
        """Return what the process knows of itself."""
        not_live, not_ready = self.why_not_live(), self.why_not_ready()
        silent_s = self._vitals.silent_for_s()
        return {
            "version": package_version(),
            "pid": os.getpid(),
            "uptime_s": round(time.monotonic() - self._vitals.began, 1),
            "live": not not_live,
            "ready": not not_ready,
            "reason": not_live or not_ready,
            "draining": self._draining(),
            "loop_still_s": round(self._vitals.still_for_s(), 3),
            "store_silent_s": None if silent_s is None else round(silent_s, 3),
            **self.more(),
        }

    def pages(self) -> dict[str, "Callable[[], Page]"]:
        """Return what makes each page, by its path; the shapes are those of the API."""
        return {
            "/live": lambda: _verdict(self.why_not_live()),
            "/ready": lambda: _verdict(self.why_not_ready()),
            "/status": lambda: _page(200, self.status()),
        }


def of_worker(feeds: Sequence["Feed"], held: "Held", slots: "Slots", name: str) -> dict[str, Any]:
    """Return what a worker knows of itself beside its health."""
    return {
        "worker": name,
        "slots": slots.count,
        "running": slots.count - slots.free,
        "leases": len(held),
        "queues": [
            {
                "name": feed.name,
                "state": feed.state,
                "running": feed.running,
                "at_hand": feed.at_hand,
                "to_settle": len(feed.outbox),
            }
            for feed in feeds
        ],
    }


def hindrance_of(feeds: Sequence["Feed"]) -> str:
    """Return why none of a worker's queues can be served; empty when one can."""
    states = {feed.name: feed.state for feed in feeds}
    if not {"gone", "refused", "broken"}.issuperset(states.values()):
        return ""
    return "no queue can be served: " + ", ".join(f"{q} is {word}" for q, word in states.items())


class Outlook:
    """What a process shows to the outside: its health, and its metrics.

    Args:
        traffic: What has gone between it and the store.
        stall_limit_s: For how long its event loop may stand still.
        draining: Whether it is about to end.
        also: Makes what `/metrics` shows beside the process's own, on the event loop.

    Attributes:
        vitals: What it notes of itself.
        health: Its health.
        slots: Where its tasks run, if it runs any.
    """

    def __init__(
        self,
        traffic: "Traffic",
        *,
        stall_limit_s: float = STALL_LIMIT_S,
        draining: Callable[[], bool] = lambda: False,
        also: Callable[[], Coroutine[Any, Any, bytes]] | None = None,
    ) -> None:
        self._also = also
        self.vitals = Vitals()
        self.health = Health(self.vitals, stall_limit_s=stall_limit_s, draining=draining)
        self.slots: Slots | None = None
        self._traffic = traffic

    @contextmanager
    def shown(self, *, health: "Bind | None", metrics: "Bind | None") -> Generator[dict[str, str]]:
        """Answer probes and scrapers while inside; gives the addresses by what is there.

        Args:
            health: Where `/live`, `/ready` and `/status` are, if anywhere.
            metrics: Where `/metrics` is, if anywhere; it may be the same.

        Raises:
            AddressInUse: If nobody can listen there.
            ConfigInvalid: If what writes metrics is not installed.
        """
        pages: dict[Bind, dict[str, Callable[[], Page]]] = {}
        if health is not None:
            pages.setdefault(health, {}).update(self.health.pages())
        if metrics is not None:
            pages.setdefault(metrics, {}).update(self._metrics())
        with ExitStack() as stack:
            urls: dict[str, str] = {}
            for bind, some in pages.items():
                # Who asks for no port does not pay for it.
                from hms_async.telemetry.port import Port  # noqa: PLC0415

                option = HEALTH_PORT if bind == health else METRICS_PORT
                port = stack.enter_context(Port(bind, some, option=option))
                urls |= {path.strip("/"): port.url(path) for path in some}
            yield urls

    def _metrics(self) -> dict[str, "Callable[[], Page]"]:
        from hms_async.telemetry.port import Page  # noqa: PLC0415  # as above
        from hms_async.telemetry.process_metrics import ProcessMetrics  # noqa: PLC0415
        from hms_async.telemetry.writing import CONTENT_TYPE  # noqa: PLC0415

        metrics = ProcessMetrics(self.vitals, self._traffic, self._slots_and_busy)
        metrics.text()  # if it cannot be written, that is said at the start
        also = bytes if self._also is None else _from_loop(self._also)
        return {"/metrics": lambda: Page(200, CONTENT_TYPE, metrics.text() + also())}

    def _slots_and_busy(self) -> tuple[int, int] | None:
        slots = self.slots
        return None if slots is None else (slots.count, slots.count - slots.free)


def _from_loop(make: Callable[[], Coroutine[Any, Any, bytes]]) -> Callable[[], bytes]:
    """Return what a thread calls to have the running event loop make a text.

    It waits for longer than a store is waited for, but not for a loop that is blocked.
    """
    loop = asyncio.get_running_loop()

    def ask() -> bytes:
        made = asyncio.run_coroutine_threadsafe(make(), loop)
        try:
            return made.result(_LONGEST_S)
        except TimeoutError:
            made.cancel()
            return b"# the event loop did not answer in time\n"

    return ask


def _verdict(why_not: str) -> "Page":
    return _page(503 if why_not else 200, {"ok": not why_not, "reason": why_not})


def _page(status: int, document: Mapping[str, Any]) -> "Page":
    from hms_async.telemetry.port import Page  # noqa: PLC0415  # who serves it has it

    return Page(status, "application/json", msgspec.json.encode(document) + b"\n")
