"""How a server stands: what it keeps, how full, fast and far off it is, and what we may do."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from hms_async.domain.diagnosis.finding import Finding, Level, size, span, untold


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
    up = span(int(info.get("uptime_in_seconds", 0)) * 1_000)
    return Finding("server", Level.GREEN, f"{name}, up for {up}")


def judge_persistence(info: Mapping[str, Any], config: Mapping[str, str]) -> Finding:
    """Judge what a server that dies keeps."""
    check, aof = "persistence", "CONFIG SET appendonly yes"
    if "aof_enabled" not in info:
        return untold(check, "whether data survive a crash")
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
        return untold("eviction", "whether a full server drops tasks")
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
        return untold("memory", "how full the server is")
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
        f"the server's clock is {span(int(off))} {way} this machine's; its clock decides",
        "timedatectl on both: an `eta` is meant by the one and done by the other",
    )


def judge_replicas(info: Mapping[str, Any]) -> Finding:
    """Judge whether copies keep up."""
    if "connected_slaves" not in info:
        return untold("replicas", "whether there are any")
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
