"""Failed tasks by what went wrong: a kind at a time, and one of it before the others."""

from typing import Annotated, NamedTuple
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from hms_async.api.dashboard import words
from hms_async.api.dashboard.entry import Look, Looking
from hms_async.api.dashboard.parts import Part, show
from hms_async.domain.access import Permission
from hms_async.domain.fingerprint import check_fingerprint, fingerprint
from hms_async.domain.fingerprint import words as words_of
from hms_async.domain.queue import QueueStats
from hms_async.domain.task import TaskRecord, TaskState
from hms_async.errors import TaskNotFound

router = APIRouter()

LOOKED_AT = 2_000
"""So many failed tasks are looked at, the newest of each queue."""
_A_PAGE = 500
_FEWEST = 20


class Kind(msgspec.Struct, kw_only=True):
    """Failed tasks of one queue, whose faults are of one kind.

    Attributes:
        queue: The queue.
        fingerprint: That of their faults.
        error_type: What their faults are called.
        words: What they say, with `#` for what differs.
        sample: The newest of them.
        says: What its fault says.
        count: How many there are among those that were looked at.
        first_ms: When the first of them failed.
        last_ms: When the last did.
        retrying: How many that met the same are to be tried again.
        can_retry: Whether whoever looks may bring them back.
    """

    queue: str
    fingerprint: str
    error_type: str
    words: str
    sample: str
    says: str
    count: int = 0
    first_ms: int = 0
    last_ms: int = 0
    retrying: int = 0
    can_retry: bool = False

    @property
    def query(self) -> str:
        """How an address says that these are meant."""
        return urlencode({"state": "failed", "fingerprint": self.fingerprint})


class Found(NamedTuple):
    """What a look at failed tasks found.

    Attributes:
        kinds: The largest first.
        seen: How many tasks were looked at.
        total: How many there are.
    """

    kinds: list[Kind]
    seen: int
    total: int


@router.get("/failed")
async def failed(
    look: Looking,
    queue: str = "",
    fingerprint: str = "",
    tried: Annotated[str, Query(max_length=128)] = "",
) -> Response:
    """Show the kinds of failures, of one queue or of all that the caller may see."""
    if queue:
        look.queue(queue)
    if fingerprint:
        check_fingerprint(fingerprint, name="fingerprint")

    async def build() -> Part:
        everything = await look.all_queues()
        theirs = [
            one.stats
            for one in everything.queues
            if one.stats.failed and look.sees(one.name) and queue in ("", one.name)
        ]
        found = await _find(look, theirs)
        kinds = [one for one in found.kinds if fingerprint in ("", one.fingerprint)]
        return Part.of(
            "failed.html",
            title=f"{found.total} failed" if found.total else "none failed",
            base=look.base,
            now_ms=everything.now_ms,
            queue=queue,
            queues=sorted(stats.name for stats in theirs),
            fingerprint=fingerprint,
            kinds=kinds,
            sentence=_sentence(found, kinds if fingerprint else None),
            tried=await _tried(look, tried),
        )

    return await show(look, ["failed"], build)


async def _tried(look: Look, task_id: str) -> TaskRecord | None:
    """Return the one that was tried before the others, if it is still there."""
    try:
        return look.visible(await look.task(task_id)) if task_id else None
    except TaskNotFound:
        return None


def _sentence(found: Found, asked: list[Kind] | None) -> str:
    if not found.total:
        return "Nothing has failed."
    partly = "" if found.seen >= found.total else f", of the newest {found.seen:,}"
    if asked is not None:
        count = sum(one.count for one in asked)
        return f"{words.several(count, 'failed task')} of this kind{partly}."
    kinds = words.several(len(found.kinds), "kind")
    return f"{words.several(found.total, 'failed task')} of {kinds}{partly}."


async def _find(look: Look, queues: list[QueueStats]) -> Found:
    """Look at the newest failed tasks of some queues."""
    share = max(LOOKED_AT // max(len(queues), 1), _FEWEST)
    kinds: dict[tuple[str, str], Kind] = {}
    seen = 0
    for stats in sorted(queues, key=lambda one: -one.failed)[: LOOKED_AT // _FEWEST]:
        for task in await _newest(look, stats.name, TaskState.FAILED, share):
            seen += 1
            _add(look, kinds, task)
        if stats.retrying:
            most = min(share, _A_PAGE)
            for task in await _newest(look, stats.name, TaskState.RETRYING, most):
                if kind := kinds.get((stats.name, fingerprint_of(task))):
                    kind.retrying += 1
    ranked = sorted(kinds.values(), key=lambda one: (-one.count, -one.last_ms))
    return Found(ranked, seen, max(seen, sum(one.failed for one in queues)))


async def _newest(look: Look, queue: str, state: TaskState, most: int) -> list[TaskRecord]:
    tasks: list[TaskRecord] = []
    cursor: str | None = None
    while len(tasks) < most:
        limit = min(most - len(tasks), _A_PAGE)
        page = await look.oms.list_tasks(queue, state, cursor, limit=limit)
        tasks += page.tasks
        if (cursor := page.cursor) is None:
            break
    return tasks


def fingerprint_of(task: TaskRecord) -> str:
    """Return the fingerprint of a task's last fault, as an act on many finds it."""
    if task.error is not None:
        return fingerprint(task.error.get("type", ""), task.error.get("message", ""))
    last = task.attempts[-1] if task.attempts else None
    return fingerprint(last.error_type, last.error) if last else ""


def _add(look: Look, kinds: dict[tuple[str, str], Kind], task: TaskRecord) -> None:
    at_ms = task.finished_ms or task.arrived_ms
    mark = fingerprint_of(task)
    kind = kinds.get((task.queue, mark))
    if kind is None:
        fault = look.visible(task).error or {}
        message = fault.get("message", "")
        kind = kinds[task.queue, mark] = Kind(
            queue=task.queue,
            fingerprint=mark,
            error_type=fault.get("type", ""),
            words=words_of(message) or "nobody said why",
            sample=task.id,
            says=message,
            first_ms=at_ms,
            last_ms=at_ms,
            can_retry=look.caller.may(Permission.OPERATE, task.queue),
        )
    kind.count += 1
    kind.first_ms, kind.last_ms = min(kind.first_ms, at_ms), max(kind.last_ms, at_ms)
