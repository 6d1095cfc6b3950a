"""The supervisor's rounds: one-shot and bounded, each returns what it did.

Tests call them as they are; `Supervisor` repeats them.
"""

from collections.abc import Sequence

import msgspec

from hms_async.errors import QueueNotFound, StoreError, StoreProtocol, StoreRefused
from hms_async.storage.replies import Rescued, RungFired
from hms_async.storage.store import SWEEP_LIMIT, Store


class Report(msgspec.Struct):
    """What a round did.

    Attributes:
        promoted: Scheduled and retrying tasks that may run now.
        rescued: Tasks taken from workers that fell silent.
        rungs: Rungs of the promise that were due.
        pruned: Ended tasks that were forgotten.
        mended: Index entries that the records did not confirm.
        broken: Queues whose round failed, and why.
        more: Whether another round is worth it at once.
    """

    promoted: int = 0
    rescued: list[Rescued] = []
    rungs: list[RungFired] = []
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
        report.more = report.more or swept.more
    return report


async def tidy(store: Store, queues: Sequence[str], limit: int = SWEEP_LIMIT) -> Report:
    """Forget what is past its retention, and hold indexes against records."""
    report = Report()
    for queue in queues:
        try:
            pruned, more = await store.prune(queue, limit)
            mended = await _reconcile(store, queue, limit)
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


async def _reconcile(store: Store, queue: str, limit: int) -> int:
    mended, following = await store.reconcile(queue, 0, limit)
    while following:
        more, following = await store.reconcile(queue, following, limit)
        mended += more
    return mended
