"""Failed tasks by what went wrong: a kind at a time, and one of it before the others."""

from typing import Annotated, NamedTuple

from fastapi import APIRouter, Query
from starlette.responses import Response

from hms_async.api.dashboard import words
from hms_async.api.dashboard.entry import Look, Looking
from hms_async.api.dashboard.parts import Part, show
from hms_async.api.kinds import Kind, kinds_of
from hms_async.domain.access import Permission
from hms_async.domain.fingerprint import check_fingerprint
from hms_async.domain.queue import QueueStats
from hms_async.domain.task import TaskRecord
from hms_async.errors import TaskNotFound

router = APIRouter()

LOOKED_AT = 2_000
"""So many failed tasks are looked at, the newest of each queue."""
_FEWEST = 20


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
            operated={one.name for one in theirs if look.caller.may(Permission.OPERATE, one.name)},
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
    newest = "" if found.seen >= found.total else f"the newest {found.seen:,}"
    if asked is not None:
        among = f" among {newest}" if newest else ""
        count = sum(one.count for one in asked)
        return f"{words.several(count, 'failed task')} of this kind{among}."
    partly = f"; {newest} are" if newest else ""
    kinds = words.several(len(found.kinds), "kind")
    return f"{words.several(found.total, 'failed task')}{partly} of {kinds}."


async def _find(look: Look, queues: list[QueueStats]) -> Found:
    """Look at the newest failed tasks of some queues."""
    share = max(LOOKED_AT // max(len(queues), 1), _FEWEST)
    kinds: list[Kind] = []
    for stats in sorted(queues, key=lambda one: -one.failed)[: LOOKED_AT // _FEWEST]:
        kinds += await kinds_of(look.oms, stats, share, look.visible)
    seen = sum(one.count for one in kinds)
    ranked = sorted(kinds, key=lambda one: one.rank)
    return Found(ranked, seen, max(seen, sum(one.failed for one in queues)))
