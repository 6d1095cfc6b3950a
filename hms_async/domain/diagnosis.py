"""What is said of a system's state: red, amber or green, why, and what to do.

Red: tasks are lost, or promises are broken, now or at the next mishap. Amber: it works, and
somebody should look. Everything is judged from facts, which others have read.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from statistics import median
from typing import Any, Final

import msgspec

from hms_async.domain.duration import to_text
from hms_async.domain.worker import WorkerCard

_GB: Final = 1 << 30


class Level(StrEnum):
    """How things stand."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


class Finding(msgspec.Struct, frozen=True):
    """What one check has found.

    Attributes:
        check: Its name.
        level: How things stand.
        found: What was found.
        todo: What to do about it, if anything: a line to type, or a place to look.
        queue: Of which queue, if of one.
    """

    check: str
    level: Level
    found: str
    todo: str = ""
    queue: str | None = None


def worst(findings: Sequence[Finding]) -> Level:
    """Return the worst level; green of nothing."""
    order = list(Level)
    return max((one.level for one in findings), key=order.index, default=Level.GREEN)


# The server.


def judge_server(info: Mapping[str, Any], name: str) -> Finding:
    """Judge what kind of server it is."""
    if info.get("role") == "slave":
        return Finding(
            "server",
            Level.RED,
            f"{name} is a replica, where nothing can be written",
            f"use its primary, {info.get('master_host')}:{info.get('master_port')}",
        )
    if int(info.get("cluster_enabled", 0)):
        return Finding(
            "server",
            Level.RED,
            f"{name} is a cluster, on which this does not run",
            "use one server",
        )
    if int(info.get("loading", 0)):
        return Finding("server", Level.RED, f"{name} is still loading its data", "wait for it")
    up = _span(int(info.get("uptime_in_seconds", 0)) * 1_000)
    return Finding("server", Level.GREEN, f"{name}, up for {up}")


def judge_persistence(info: Mapping[str, Any], config: Mapping[str, str]) -> Finding:
    """Judge what a server that dies keeps."""
    check, aof = "persistence", "CONFIG SET appendonly yes"
    if "aof_enabled" not in info:
        return _untold(check, "whether data survive a crash")
    if info.get("aof_last_write_status", "ok") != "ok":
        return Finding(
            check,
            Level.RED,
            "the append-only file cannot be written",
            "look at the server's log and its disk; it refuses writes meanwhile",
        )
    if not int(info["aof_enabled"]):
        saves = config.get("save")
        if saves == "":
            return Finding(
                check, Level.RED, "neither a file nor snapshots: its end loses every task", aof
            )
        if info.get("rdb_last_bgsave_status", "ok") != "ok":
            return Finding(
                check,
                Level.RED,
                "the last snapshot failed",
                "look at the server's log and its disk",
            )
        return Finding(
            check, Level.RED, "snapshots only: a crash loses the minutes after the last one", aof
        )
    fsync = config.get("appendfsync", "everysec")
    if fsync == "no":
        return Finding(
            check,
            Level.AMBER,
            "an append-only file that goes to the disk when the system likes",
            "CONFIG SET appendfsync everysec",
        )
    when = "at each write" if fsync == "always" else "each second"
    return Finding(check, Level.GREEN, f"append-only file, on the disk {when}")


def judge_eviction(info: Mapping[str, Any]) -> Finding:
    """Judge whether a full server drops keys."""
    policy = info.get("maxmemory_policy")
    if policy is None:
        return _untold("eviction", "whether a full server drops tasks")
    if policy == "noeviction":
        return Finding("eviction", Level.GREEN, "none: a full server refuses tasks and drops none")
    dropped = int(info.get("evicted_keys", 0))
    said = f"; {dropped:,} keys are gone already" if dropped else ""
    limited = int(info.get("maxmemory", 0)) > 0
    return Finding(
        "eviction",
        Level.RED if limited or dropped else Level.AMBER,
        f"{policy}: a full server drops tasks{said}",
        "CONFIG SET maxmemory-policy noeviction",
    )


def judge_memory(info: Mapping[str, Any]) -> Finding:
    """Judge how much room is left."""
    if "used_memory" not in info:
        return _untold("memory", "how full the server is")
    used, limit = int(info["used_memory"]), int(info.get("maxmemory", 0))
    of = "its limit"
    if not limit:
        limit, of = int(info.get("total_system_memory", 0)), "the machine"
    if not limit:
        return Finding("memory", Level.GREEN, f"{size(used)} used, no limit")
    share = used / limit
    found = f"{size(used)} used, {share:.0%} of {of} ({size(limit)})"
    if share < 0.8:  # noqa: PLR2004  # time to act is left
        return Finding("memory", Level.GREEN, found)
    return Finding(
        "memory",
        Level.RED if share >= 0.95 else Level.AMBER,  # noqa: PLR2004  # hardly any room is left
        f"{found}: when it is full, enqueue is refused",
        "CONFIG SET maxmemory with more; `size` below says which queue takes it",
    )


def judge_latency(pings_ms: Sequence[float]) -> Finding:
    """Judge how fast the server answers."""
    usual, longest = median(pings_ms), max(pings_ms)
    found = f"answers in {usual:.1f} ms, at worst in {longest:.1f} ms"
    if usual < 20 and longest < 250:  # noqa: PLR2004  # a few round trips a task are made
        return Finding("latency", Level.GREEN, found)
    red = usual >= 200  # noqa: PLR2004  # the same
    return Finding(
        "latency",
        Level.RED if red else Level.AMBER,
        found,
        "SLOWLOG GET 10 shows slow commands; else it is the network, or the machine",
    )


def judge_clock(ahead_ms: float, unsure_ms: float) -> Finding:
    """Judge how far the server's clock is ahead of ours.

    Args:
        ahead_ms: By how much.
        unsure_ms: By how much that may be wrong.
    """
    off = max(abs(ahead_ms) - unsure_ms, 0)
    if off < 1_000:  # noqa: PLR2004  # a second
        return Finding("clock", Level.GREEN, "the server's clock agrees with this machine's")
    way = "ahead of" if ahead_ms > 0 else "behind"
    return Finding(
        "clock",
        Level.RED if off >= 60_000 else Level.AMBER,  # noqa: PLR2004  # a minute
        f"the server's clock is {_span(int(off))} {way} this machine's; its clock decides",
        "timedatectl on both: an `eta` is meant by the one and done by the other",
    )


def judge_replicas(info: Mapping[str, Any]) -> Finding:
    """Judge whether copies keep up."""
    if "connected_slaves" not in info:
        return _untold("replicas", "whether there are any")
    replicas = [value for key, value in info.items() if _is_replica(key, value)]
    if not replicas:
        return Finding("replicas", Level.GREEN, "none: one machine has the tasks")
    behind = [
        one
        for one in replicas
        if one.get("state") != "online" or int(one.get("lag", 0)) > 10  # noqa: PLR2004  # seconds
    ]
    if behind:
        names = ", ".join(f"{one.get('ip')}:{one.get('port')}" for one in behind)
        return Finding(
            "replicas",
            Level.AMBER,
            f"{len(behind)} of {len(replicas)} do not keep up: {names}",
            "INFO replication",
        )
    return Finding("replicas", Level.GREEN, f"{len(replicas)}, which keep up")


def _is_replica(key: str, value: object) -> bool:
    return key.startswith("slave") and key[5:].isdecimal() and isinstance(value, Mapping)


def judge_rights(
    user: str, lacking: Sequence[str], excess: str | None, *, closed: bool | None
) -> Finding:
    """Judge what our user may do.

    Args:
        user: Who we are.
        lacking: What it may not and should.
        excess: What it may and need not; `None` when that cannot be told.
        closed: Whether no other machine gets to a server that asks for no password; `None` when it
            asks for one.
    """
    check, page = "rights", "docs/server.md has the line for ACL SETUSER"
    if lacking:
        to_look = {"+info", "+config|get"}  # without them the doctor sees less; all else works
        return Finding(
            check,
            Level.AMBER if to_look.issuperset(lacking) else Level.RED,
            f'the user "{user}" lacks {", ".join(lacking)}',
            f"ACL SETUSER {user} {' '.join(lacking)}",
        )
    if closed is False:
        return Finding(
            check,
            Level.RED,
            "no password, and any machine that gets there may do anything",
            f"ACL SETUSER default on >PASSWORD, or bind to this machine; {page}",
        )
    if closed:
        return Finding(check, Level.GREEN, "no password, and only this machine gets there")
    if excess:
        return Finding(check, Level.AMBER, f'the user "{user}" may {excess}', page)
    return Finding(check, Level.GREEN, f'the user "{user}" may do what is needed')


# What runs.


def judge_versions(cards: Sequence[WorkerCard], ours: str) -> Finding:
    """Judge whether all run the same release."""
    found = Counter(card.version or "unknown" for card in cards if card.via == "native")
    if len(found | Counter([ours])) <= 1:
        return Finding("versions", Level.GREEN, f"{ours} everywhere")
    said = ", ".join(f"{version} {count}" for version, count in sorted(found.items()))
    return Finding(
        "versions",
        Level.AMBER,
        f"workers run {said}; this is {ours}",
        "hms workers ls; it works, but finish the roll-out",
    )


def judge_workers(queue: str, cards: Sequence[WorkerCard], waiting: int) -> Finding:
    """Judge whether somebody does a queue's tasks."""
    serving = [card for card in cards if queue in card.queues]
    if serving:
        slots = sum(card.slots or 0 for card in serving)
        said = f"{_many(len(serving), 'worker')}" + (f", {_many(slots, 'slot')}" if slots else "")
        return Finding("workers", Level.GREEN, said, queue=queue)
    todo = f"hms run MODULE:HANDLER -Q {queue}"
    if waiting:
        return Finding(
            "workers",
            Level.RED,
            f"no live worker for {queue}: {_many(waiting, 'task')} wait{'s'[waiting != 1 :]}",
            todo,
            queue,
        )
    return Finding("workers", Level.AMBER, f"no live worker for {queue}", todo, queue)


def judge_supervisor(queue: str, now_ms: int, swept_ms: int | None, open_tasks: int) -> Finding:
    """Judge whether somebody watches a queue's clocks, and rescues its tasks."""
    todo = "hms act, or a worker without --no-act"
    grave = Level.RED if open_tasks else Level.AMBER
    if swept_ms is None:
        return Finding("supervisor", grave, f"nobody has ever watched {queue}", todo, queue)
    ago_ms = max(now_ms - swept_ms, 0)
    if ago_ms < 10_000:  # noqa: PLR2004  # a round takes a second
        return Finding("supervisor", Level.GREEN, f"watched {_span(ago_ms)} ago", queue=queue)
    level = grave if ago_ms >= 30_000 else Level.AMBER  # noqa: PLR2004  # a lease
    return Finding(
        "supervisor", level, f"nobody has watched {queue} for {_span(ago_ms)}", todo, queue
    )


def judge_overdue(queue: str, late_ms: int) -> Finding:
    """Judge by how much the oldest rung that is due has not been spoken."""
    if late_ms < 10_000:  # noqa: PLR2004  # a few rounds
        return Finding("overdue", Level.GREEN, "no rung is overdue", queue=queue)
    return Finding(
        "overdue",
        Level.RED if late_ms >= 60_000 else Level.AMBER,  # noqa: PLR2004  # a minute
        f"a rung of {queue} has been due for {_span(late_ms)}",
        "more supervisors do not help a slow server: see `latency` and `supervisor`",
        queue,
    )


def judge_receivers(queue: str, undelivered: int) -> Finding:
    """Judge whether whoever is to hear of broken promises does."""
    if not undelivered:
        return Finding("receivers", Level.GREEN, "all was delivered", queue=queue)
    return Finding(
        "receivers",
        Level.AMBER,
        f"{_many(undelivered, 'message')} of {queue} found no receiver",
        f"hms sla undelivered {queue}; then hms sla send {queue}",
        queue,
    )


def judge_stale(queue: str, stale: int, entries: int) -> Finding:
    """Judge how much of a queue's lanes was left behind by tasks that have moved on."""
    if entries < 1_000 or stale < entries / 2:  # noqa: PLR2004  # little to drop
        return Finding("stale", Level.GREEN, "hardly an entry is left behind", queue=queue)
    return Finding(
        "stale",
        Level.AMBER,
        f"{stale:,} of {entries:,} entries of {queue} are left behind",
        "claims drop them: resume the queue, or give it workers",
        queue,
    )


class Size(msgspec.Struct, frozen=True):
    """How large a queue is.

    Attributes:
        tasks: How many it has, those that have ended included.
        task_bytes: What they take, reckoned from some of them.
        counter_bytes: What its counters by the minute take, reckoned from some of them.
        other_bytes: What its indexes, events and all else take.
        oldest_ms: How old the task is that goes next, if one waits.
    """

    tasks: int
    task_bytes: int
    counter_bytes: int
    other_bytes: int
    oldest_ms: int | None

    @property
    def bytes(self) -> int:
        """What it takes in all."""
        return self.task_bytes + self.counter_bytes + self.other_bytes


def tell_size(queue: str, one: Size) -> Finding:
    """Tell how large a queue is."""
    oldest = "" if one.oldest_ms is None else f", the next waits for {_span(one.oldest_ms)}"
    return Finding(
        "size",
        Level.GREEN,
        f"{queue}: {_many(one.tasks, 'task')}, about {size(one.bytes)} "
        f"(counters {size(one.counter_bytes)}){oldest}",
        queue=queue,
    )


ORPHANS: Final = {
    "no_place": "waiting, and in no list",
    "no_lease": "in progress without a lease, so nobody rescues it",
    "no_record": "without a record",
    "unlisted": "ended, and never to be forgotten",
    "no_body": "open without a payload",
    "nothing": "listed with nothing behind it",
    "no_queue": "of a queue that is gone",
}
"""What may be wrong with a task, by the script's word."""

MENDABLE: Final = frozenset({"no_place", "no_lease", "no_record", "unlisted"})
_GRAVE: Final = frozenset({"no_place", "no_lease", "no_record", "no_body"})


def judge_orphans(queue: str, found: Mapping[str, int], examples: Sequence[str]) -> Finding:
    """Judge what nothing leads to any more in a queue, or what leads to nothing."""
    parts = [f"{found[word]:,} {text}" for word, text in ORPHANS.items() if found.get(word)]
    mendable = any(found.get(word) for word in MENDABLE)
    todo = (
        f"hms queue pause {queue}; hms doctor --fix {queue}; hms queue resume {queue}"
        if mendable
        else f"their claim ends them in failed: hms job ls {queue} --state failed"
    )
    if found.get("no_queue"):
        todo = f"hms queue create {queue} brings them back under a queue; then hms doctor"
    grave = any(found.get(word) for word in _GRAVE)
    return Finding(
        "orphans",
        Level.RED if grave else Level.AMBER,
        f"tasks of {queue}: {'; '.join(parts)} ({', '.join(examples)})",
        todo,
        queue,
    )


def tell_refused(check: str, why: str, todo: str = "") -> Finding:
    """Tell that a check could not be made."""
    return Finding(check, Level.AMBER, f"could not be looked at: {why}", todo)


def _untold(check: str, what: str) -> Finding:
    return Finding(check, Level.AMBER, f"the server does not say {what}", "ACL SETUSER USER +info")


def size(count: int) -> str:
    """Return a number of bytes as people read it."""
    number, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 1_000:  # noqa: PLR2004  # the next unit
            break
        number, unit = number / 1_000, larger
    return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"


def _span(ms: int) -> str:
    return to_text(ms // 1_000 * 1_000).replace(" ", "") if ms >= 1_000 else f"{ms}ms"  # noqa: PLR2004  # a second


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
