"""The supervisor's rounds: one-shot and bounded, each returns what it did.

Tests call them as they are; `Supervisor` repeats them.
"""

from collections.abc import MutableMapping, Sequence

import msgspec

from hms_async.domain.forecast import Forecast
from hms_async.errors import QueueNotFound, StoreError, StoreProtocol, StoreRefused
from hms_async.storage import series, watching
from hms_async.storage.replies import Rescued, RungFired
from hms_async.storage.store import SWEEP_LIMIT, Store

_PAGES_A_ROUND = 10


class Report(msgspec.Struct):
    """What a round did.

    Attributes:
        promoted: Scheduled and retrying tasks that may run now.
        rescued: Tasks taken from workers that fell silent.
        rungs: Rungs of the promise that were due.
        to_do: Queues with something in their outbox to be carried out now.
        waiting: Queues in which tasks wait.
        idle_operations: How many acts on many tasks nobody works on.
        foreseen: What is newly foreseen for a queue, and was told by this round.
        pruned: Ended tasks that were forgotten.
        mended: Index entries that the records did not confirm.
        broken: Queues whose round failed, and why.
        more: Whether another round is worth it at once.
    """

    promoted: int = 0
    rescued: list[Rescued] = []
    rungs: list[RungFired] = []
    to_do: list[str] = []
    waiting: list[str] = []
    idle_operations: int = 0
    foreseen: dict[str, Forecast] = {}
    pruned: int = 0
    mended: int = 0
    broken: dict[str, StoreError] = {}
    more: bool = False


async def sweep(store: Store, queues: Sequence[str], limit: int = SWEEP_LIMIT) -> Report:
    """Promote what is due, rescue, speak up at each rung, ring: once for each queue."""
    report = Report()
    for queue in queues:
        try:
            swept = await store.sweep(queue, limit)
        except QueueNotFound:
            continue  # removed a moment ago
        except (StoreProtocol, StoreRefused) as error:
            # Something foreign is in its keys, or it is not for us; the others' promises must not
            # suffer from it.
            report.broken[queue] = error
            continue
        report.promoted += swept.promoted
        report.rescued += swept.rescued
        report.rungs += swept.rungs
        report.to_do += [queue] if swept.to_do else []
        report.waiting += [queue] if swept.waiting else []
        report.idle_operations = swept.idle_operations
        report.more = report.more or swept.more
    return report


async def forecast(store: Store, queues: Sequence[str]) -> Report:
    """Tell what has changed in the future of queues in which tasks wait."""
    report = Report()
    for queue in queues:
        try:
            backlog = await watching.read_backlog(store, queue)
            if backlog.paused:
                continue  # somebody did so on purpose; the ladder still speaks
            foreseen = backlog.predict()
            if backlog.is_news(foreseen) and await watching.tell_forecast(
                store, queue, backlog.told, foreseen
            ):
                report.foreseen[queue] = foreseen
        except QueueNotFound:
            continue  # removed a moment ago
        except (StoreProtocol, StoreRefused) as error:
            report.broken[queue] = error
    return report


async def tidy(
    store: Store,
    queues: Sequence[str],
    limit: int = SWEEP_LIMIT,
    places: MutableMapping[str, int] | None = None,
    *,
    supervisor: str = "",
) -> Report:
    """Forget what is past its retention, roll up counters, and hold indexes against the records.

    Args:
        store: Where the queues are.
        queues: Which.
        limit: How many tasks a call looks at.
        places: Where the next round goes on in each queue's indexes; a million tasks are not
            looked at in one round.
        supervisor: Whose round it is, so that those can be counted that live.
    """
    report = Report()
    places = {} if places is None else places
    for queue in queues:
        try:
            pruned, more = await store.prune(queue, limit, supervisor=supervisor)
            mended = 0 if more else await _reconcile(store, queue, limit, places)
            await _roll_up(store, queue)
        except QueueNotFound:
            continue  # removed a moment ago
        except (StoreProtocol, StoreRefused) as error:
            # Something foreign is in its keys, or it is not for us; the others' promises must not
            # suffer from it.
            report.broken[queue] = error
            continue
        report.pruned += pruned
        report.mended += mended
        report.more = report.more or more
    return report


async def _roll_up(store: Store, queue: str) -> None:
    for _ in range(_PAGES_A_ROUND):
        if not await series.roll_up(store, queue):
            break


async def _reconcile(store: Store, queue: str, limit: int, places: MutableMapping[str, int]) -> int:
    mended = 0
    for _ in range(_PAGES_A_ROUND):
        more, places[queue] = await store.reconcile(queue, places.get(queue, 0), limit)
        mended += more
        if not places[queue]:
            break
    return mended
