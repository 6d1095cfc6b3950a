"""What a process says of itself at its start: enough to see that it is the right one."""

import inspect
import os
import platform
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from hms_async.cli import show
from hms_async.cli.errors import shortened, unknown_queue
from hms_async.domain.queue import Queue, QueueStats
from hms_async.errors import QueueNotFound, StoreRefused
from hms_async.runtime.handlers import Handler
from hms_async.storage.connect import is_memory, redact
from hms_async.storage.store import Store, name_of
from hms_async.telemetry.logs import package_version
from hms_async.worker import AsyncWorker

READY = "ready.  Ctrl-C once to finish work, twice to hand it back."


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a process finds at its start.

    Attributes:
        info: What the server says of itself and lets us see.
        latency_s: How long it took to answer, at best.
        queues: The queues, and one look at each.
    """

    info: Mapping[str, str]
    latency_s: float
    queues: Sequence[tuple[Queue, QueueStats]]


async def look(store: Store, names: Sequence[str]) -> Scene:
    """Look at the server and the queues that a process is about to work with.

    Raises:
        Failure: If nobody created one of the queues.
    """
    try:
        queues = [(await store.queue(name), await store.stats(name)) for name in names]
    except QueueNotFound as error:
        raise unknown_queue(error.queue, await store.queue_names(), create=True) from error
    latency_s = min([took async for took in _pings(store)])
    return Scene(info=await store.server_info(), latency_s=latency_s, queues=queues)


async def _pings(store: Store) -> AsyncIterator[float]:
    for _ in range(3):
        start = time.perf_counter()
        await store.ping()
        yield time.perf_counter() - start


def lines(worker: AsyncWorker, scene: Scene) -> list[str]:
    """Return the lines that introduce a worker."""
    loop = ", uvloop" if find_spec("uvloop") else ""
    python = f"python {platform.python_version()}{loop}"
    head = f"hms_async {package_version()}  worker {worker.name}  pid {os.getpid()}  {python}"
    stop = (
        f"{worker.concurrency} slots in all   {worker.shutdown_timeout_s:g} s to finish at a stop"
    )
    act = "supervises these queues" if worker.supervise else "off: run `hms act` beside it"
    rows = [("store", store_line(worker.url, scene))]
    rows += [("queues", line) for line in _queue_lines(worker, scene)]
    rows += [("handlers", line) for line in _handler_lines(worker.handlers)]
    rows += [("slots", stop), ("act", "supervises every queue" if worker.supervise_all else act)]
    return [head, *_labelled(rows)]


def shown_lines(urls: Mapping[str, str]) -> list[str]:
    """Return where probes and scrapers are answered."""
    return [f"{name:<10} {urls[name]}" for name in ("ready", "metrics") if name in urls]


def faults(url: str, scene: Scene) -> list[str]:
    """Return what makes a server lose tasks, each with what to type on it.

    Only what is known: a server may keep to itself how it is set.
    """
    if is_memory(url):
        return ["memory:// keeps nothing and no other process sees it: for tests and trials only"]
    found: list[str] = []
    policy = scene.info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        found.append(
            f"the server's eviction policy is {policy}: at its maxmemory it drops tasks; "
            "CONFIG SET maxmemory-policy noeviction"
        )
    if scene.info.get("aof_enabled") == "0":
        found.append(f"the server's append-only file is off{_loss(scene)}; {_AOF}")
    return found


_AOF = "CONFIG SET appendonly yes"


def _loss(scene: Scene) -> str:
    """What a server without an append-only file loses when it ends."""
    match scene.info.get("save"):
        case "":
            return " and it takes no snapshots: its end loses every task"
        case None:
            return ": a crash loses what came after its last snapshot, or all if it takes none"
        case _:
            return ": a crash loses the minutes after its last snapshot"


def warnings(url: str, scene: Scene) -> list[str]:
    """Return what is dangerous about a server, and what of that could not be seen."""
    unseen = [text for key, text in _TOLD.items() if key not in scene.info]
    if is_memory(url) or not unseen:
        return faults(url, scene)
    return [
        *faults(url, scene),
        f"whether the server {' or '.join(unseen)} could not be checked: its INFO does not say",
    ]


_TOLD = {"maxmemory_policy": "drops tasks when it is full", "aof_enabled": "loses them in a crash"}


def refuse_faults(url: str, scene: Scene) -> None:
    """Refuse a server that is known to lose tasks, as `--strict` asks.

    Raises:
        StoreRefused: If it is one; the message says what to type on it.
    """
    if found := faults(url, scene):
        raise StoreRefused(f"--strict refuses {redact(url)}: {'; and '.join(found)}")


def store_line(url: str, scene: Scene) -> str:
    """Return the server in a line: address, kind, what it does with data, how far away it is."""
    info = scene.info
    parts = [
        redact(url),
        "in this process" if is_memory(url) else name_of(info),
        info.get("maxmemory_policy", ""),
        {"1": "aof", "0": "no aof"}.get(info.get("aof_enabled", ""), ""),
        f"{scene.latency_s * 1e3:.1f} ms",
    ]
    return "   ".join(filter(None, parts))


def _queue_lines(worker: AsyncWorker, scene: Scene) -> list[str]:
    limits = {one.queue: one.limit for one in worker.handlers}
    rows = [
        [
            queue.name,
            f"{min(limits[queue.name] or worker.concurrency, worker.concurrency)} slots",
            f"promise {show.span(queue.settings.sla_ms)}"
            if queue.settings.sla_ms
            else "no promise",
            f"waiting {stats.waiting}",
            _oldest(stats),
            f"paused {queue.reason}".strip() if queue.paused else "",
        ]
        for queue, stats in scene.queues
    ]
    return _aligned(rows)


def _oldest(stats: QueueStats) -> str:
    if not stats.oldest_arrived_ms:
        return ""
    return f"oldest {show.span(max(stats.now_ms - stats.oldest_arrived_ms, 0))}"


def _handler_lines(handlers: Sequence[Handler]) -> list[str]:
    functions = {id(one.function): one for one in handlers}
    return _aligned([[one.name, _payload(one), _place(one.function)] for one in functions.values()])


def _payload(handler: Handler) -> str:
    kind = handler.payload_type
    return "" if kind is None else f"({getattr(kind, '__name__', kind)})"


def _place(function: Any) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{shortened(code.co_filename)}:{code.co_firstlineno}" if code else ""


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "   ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width
        ).rstrip()
        for row in rows
    ]


def _labelled(rows: list[tuple[str, str]]) -> list[str]:
    previous = ""
    result: list[str] = []
    for label, line in rows:
        result.append(f"{'' if label == previous else label:<10} {line}")
        previous = label
    return result
