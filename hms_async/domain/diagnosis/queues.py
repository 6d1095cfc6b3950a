"""How queues stand: who serves and watches them, what lies about in them, how large they are."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from hms_async.domain.diagnosis.finding import Finding, Level, many, size, span
from hms_async.domain.worker import WorkerCard


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
        said = f"{many(len(serving), 'worker')}" + (f", {many(slots, 'slot')}" if slots else "")
        return Finding("workers", Level.GREEN, said, queue=queue)
    todo = f"hms run MODULE:HANDLER -Q {queue}"
    if waiting:
        return Finding(
            "workers",
            Level.RED,
            f"no live worker for {queue}: {many(waiting, 'task')} wait{'s'[waiting != 1 :]}",
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
        return Finding("supervisor", Level.GREEN, f"watched {span(ago_ms)} ago", queue=queue)
    level = grave if ago_ms >= 30_000 else Level.AMBER  # noqa: PLR2004  # a lease
    return Finding(
        "supervisor", level, f"nobody has watched {queue} for {span(ago_ms)}", todo, queue
    )


def judge_overdue(queue: str, late_ms: int) -> Finding:
    """Judge by how much the oldest rung that is due has not been spoken."""
    if late_ms < 10_000:  # noqa: PLR2004  # a few rounds
        return Finding("overdue", Level.GREEN, "no rung is overdue", queue=queue)
    return Finding(
        "overdue",
        Level.RED if late_ms >= 60_000 else Level.AMBER,  # noqa: PLR2004  # a minute
        f"a rung of {queue} has been due for {span(late_ms)}",
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
        f"{many(undelivered, 'message')} of {queue} found no receiver",
        f"hms sla undelivered {queue}; then hms sla undelivered {queue} --again",
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
        counter_bytes: What its counters over time take, reckoned from some of them.
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
    oldest = "" if one.oldest_ms is None else f", the next waits for {span(one.oldest_ms)}"
    return Finding(
        "size",
        Level.GREEN,
        f"{queue}: {many(one.tasks, 'task')}, about {size(one.bytes)} "
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
