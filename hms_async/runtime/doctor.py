"""The doctor: makes one check after the other, and none that fails hides another."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from hms_async.domain.audit import Actor
from hms_async.domain.diagnosis import queues, server
from hms_async.domain.diagnosis.finding import Finding, Level, tell_refused
from hms_async.domain.queue import QueueStats
from hms_async.domain.worker import WorkerCard
from hms_async.errors import QueueNotFound, StoreProtocol, StoreRefused
from hms_async.storage import examining, weighing
from hms_async.storage.rights import read_rights
from hms_async.storage.store import Store, name_of
from hms_async.telemetry.logs import package_version

SCANNED_KEYS = 20_000
MOST_QUEUES = 1_000
_LISTED = 200
_EXAMPLES = 3
_MOST_TOLD = 10

_Check = Callable[[], Awaitable[list[Finding]]]


async def examine(store: Store, *, scan: int = SCANNED_KEYS) -> list[Finding]:
    """Look at a server, at what runs on it and at every queue.

    Args:
        store: Where.
        scan: How many keys to look at in search of tasks that nothing leads to; 0 for none.

    Raises:
        StoreUnavailable: If the server does not answer. Whatever else fails is a finding.
    """
    doctor = _Doctor(store, scan)
    findings: list[Finding] = []
    for name, check in (
        ("server", doctor.server),
        ("latency", doctor.latency),
        ("clock", doctor.clock),
        ("rights", doctor.rights),
        ("queues", doctor.queues),
        ("orphans", doctor.orphans),
    ):
        findings += await _tried(name, check)
    return findings


async def examine_one(store: Store, queue: str | None) -> list[Finding]:
    """Look at one queue and at who works on it, or at the server alone; nothing is searched for.

    Args:
        store: Where.
        queue: Which; the server if not given.

    Raises:
        StoreUnavailable: If the server does not answer. Whatever else fails is a finding.
    """
    doctor = _Doctor(store, 0)
    if queue is None:
        return await _tried("server", doctor.server)
    return await _tried("queues", lambda: doctor.queue(queue))


async def fix(
    store: Store, queue: str, by: Actor, *, scan: int = SCANNED_KEYS
) -> Counter[str] | None:
    """Put back what nothing leads to in a queue, and return how much of what.

    Returns:
        `None` when the queue is not paused; nothing was done then.

    Raises:
        QueueNotFound: If nobody created it.
        StoreError: If the server cannot be asked.
    """
    if await examining.mend(store, queue, ["hms-doctor-asks"], by) is None:
        return None
    mended: Counter[str] = Counter()
    async for found in examining.stored_tasks(store, scan):
        words = await examining.mend(store, queue, found.get(queue, []), by)
        mended.update((words or {}).values())
    return Counter({word: n for word, n in mended.items() if word in queues.MENDABLE})


async def _tried(name: str, check: _Check) -> list[Finding]:
    try:
        return await check()
    except (StoreRefused, StoreProtocol) as error:
        return [tell_refused(name, str(error))]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # A server says what it likes, and a foreign hand may have written what we read.
        return [tell_refused(name, f"{type(error).__name__}: {error}")]


class _Doctor:
    """One examination."""

    def __init__(self, store: Store, scan: int) -> None:
        self._store = store
        self._scan = scan
        self._names: Sequence[str] = ()

    async def server(self) -> list[Finding]:
        info, config = await examining.facts(self._store)
        if not info:
            return [tell_refused("server", "it does not answer INFO", "+info")]
        judged: list[tuple[str, Callable[[], Finding]]] = [
            ("server", lambda: server.judge_server(info, name_of(info))),
            ("persistence", lambda: server.judge_persistence(info, config)),
            ("eviction", lambda: server.judge_eviction(info)),
            ("memory", lambda: server.judge_memory(info)),
            ("replicas", lambda: server.judge_replicas(info)),
        ]
        findings: list[Finding] = []
        for name, judge in judged:

            async def check(judge: Callable[[], Finding] = judge) -> list[Finding]:
                return [judge()]

            findings += await _tried(name, check)
        return findings

    async def latency(self) -> list[Finding]:
        return [server.judge_latency(await examining.pings_ms(self._store))]

    async def clock(self) -> list[Finding]:
        return [server.judge_clock(*await examining.clock_ahead_ms(self._store))]

    async def rights(self) -> list[Finding]:
        ours = await read_rights(self._store)
        closed = None
        if ours.nopass:
            _, config = await examining.facts(self._store)
            closed = config.get("protected-mode") != "no" or _is_here(config.get("bind", ""))
            closed = closed or urlsplit(self._store.url).scheme == "unix"
        return [server.judge_rights(ours.user, ours.lacking, ours.excess, closed=closed)]

    async def queues(self) -> list[Finding]:
        """Look at each queue; of a check that is green everywhere one line is enough."""
        self._names = (await self._store.queue_names())[:MOST_QUEUES]
        cards = await self._store.workers()
        findings = [queues.judge_versions(cards, package_version())]
        if not self._names:
            return findings
        found: list[Finding] = []
        for name in self._names:

            async def look(name: str = name) -> list[Finding]:
                return await self._queue(name, cards)

            found += await _tried("queues", look)
        return findings + _folded(found)

    async def queue(self, name: str) -> list[Finding]:
        """Look at one queue."""
        cards = [card for card in await self._store.workers() if name in card.queues]
        versions = queues.judge_versions(cards, package_version())
        return [versions, *await self._queue(name, cards)]

    async def _queue(self, name: str, cards: Sequence[WorkerCard]) -> list[Finding]:
        store = self._store
        try:
            stats = await store.stats(name)
        except QueueNotFound:
            return []  # removed a moment ago
        entries, stale = await examining.lanes(store, name)
        findings = [
            queues.judge_workers(name, cards, stats.waiting),
            queues.judge_supervisor(
                name, stats.now_ms, await examining.swept_ms(store, name), stats.open
            ),
            queues.judge_overdue(name, _late_ms(stats)),
            queues.judge_receivers(name, stats.undelivered),
            queues.judge_stale(name, stale, entries),
        ]
        return findings + await _tried("size", lambda: self._size(name, stats))

    async def _size(self, name: str, stats: QueueStats) -> list[Finding]:
        return [queues.tell_size(name, await weighing.size_of(self._store, name, stats))]

    async def orphans(self) -> list[Finding]:
        if not self._scan:
            return []
        wrong: dict[str, dict[str, str]] = {}
        for name in self._names:
            await self._hold(wrong, name, await examining.listed_ids(self._store, name, _LISTED))
        async for found in examining.stored_tasks(self._store, self._scan):
            for name, ids in found.items():
                await self._hold(wrong, name, ids)
        findings = [
            queues.judge_orphans(name, Counter(words.values()), list(words)[:_EXAMPLES])
            for name, words in sorted(wrong.items())
        ]
        keys = await examining.key_count(self._store)
        looked = f"of {min(keys, self._scan):,} of {keys:,} keys" if keys > self._scan else "of all"
        return findings or [Finding("orphans", Level.GREEN, f"none ({looked} was looked at)")]

    async def _hold(self, wrong: dict[str, dict[str, str]], queue: str, ids: Sequence[str]) -> None:
        if ids and (found := await examining.orphans(self._store, queue, ids)):
            wrong.setdefault(queue, {}).update(found)


def _together(found: Sequence[Finding]) -> str:
    """Return what findings say that are green of all queues."""
    if len({one.found for one in found}) == 1:
        return found[0].found
    said = "; ".join(f"{one.queue}: {one.found}" for one in found[:_MOST_TOLD])
    return said + (f"; {len(found) - _MOST_TOLD} more" if len(found) > _MOST_TOLD else "")


def _late_ms(stats: QueueStats) -> int:
    return max(stats.now_ms - stats.next_rung_ms, 0) if stats.next_rung_ms else 0


def _is_here(bind: str) -> bool:
    """Whether a server listens on this machine's own addresses only."""
    hosts = [one.lstrip("-") for one in bind.split()]
    return bool(hosts) and all(one.startswith("127.") or one == "::1" for one in hosts)


def _folded(found: Sequence[Finding]) -> list[Finding]:
    """Return each check's findings together; those that are green of all queues as one."""
    findings: list[Finding] = []
    for check in dict.fromkeys(one.check for one in found):
        mine = [one for one in found if one.check == check]
        bad = [one for one in mine if one.level != Level.GREEN]
        if check == "size":
            findings += mine
        elif bad:
            findings += bad
        else:
            findings.append(Finding(check, Level.GREEN, _together(mine)))
    return findings
