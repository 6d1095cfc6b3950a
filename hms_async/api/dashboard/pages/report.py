"""How promises were kept against their goals, and where the time of the worst misses went."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from hms_async.api.dashboard import words
from hms_async.api.dashboard.entry import Looking
from hms_async.api.dashboard.export import Export, exported
from hms_async.api.dashboard.parts import Part, show
from hms_async.runtime.objectives import PromiseReport

router = APIRouter()

Since = Literal["1d", "7d", "28d", "90d"]


@router.get("/sla")
async def report(
    look: Looking,
    since: Annotated[Since, Query(description="How far back")] = "28d",
    export: Export | None = None,
) -> Response:
    """Show how promises were kept, those with the least budget left first."""
    if export is not None:
        found = await look.oms.sla.report(since=since, sees=look.sees)
        return exported([_flat(one) for one in found], export, f"promises-{since}")

    async def build() -> Part:
        found = await look.oms.sla.report(since=since, sees=look.sees)
        misses = [(one, missed, look.visible(missed.task)) for one in found for missed in one.worst]
        misses.sort(key=lambda miss: -miss[1].late_ms)
        return Part.of(
            "report.html",
            title="promises",
            base=look.base,
            rest_url=look.rest_url,
            now_ms=found[0].now_ms if found else 0,
            since=since,
            reports=found,
            misses=misses[:10],
            sentence=sentence(found),
        )

    return await show(look, ["report"], build)


def sentence(found: list[PromiseReport]) -> str:
    """Return how it went, in plain words."""
    if not found:
        return "No queue promises anything yet."
    judged = [one for one in found if one.kept.ratio is not None]
    if not judged:
        return "No promise has closed in that time."
    failed = [one for one in judged if (one.kept.ratio or 0) < one.queue.settings.goal]
    if not failed:
        if len(judged) == 1:
            return f"{judged[0].queue.name} kept its goal."
        which = "" if len(judged) == len(found) else " whose promises closed"
        return f"All {words.several(len(judged), 'queue')}{which} kept their goals."
    names = words.listed([one.queue.name for one in failed])
    return f"{words.several(len(failed), 'queue')} of {len(judged)} missed the goal: {names}."


def _flat(one: PromiseReport) -> dict[str, object]:
    hour, day, span = one.windows
    return {
        "queue": one.queue.name,
        "goal": one.queue.settings.goal,
        "kept_1h": hour.kept.ratio,
        "kept_24h": day.kept.ratio,
        "kept": span.kept.ratio,
        "met": span.kept.met,
        "missed": span.kept.missed,
        "budget_left": one.budget_left,
    }
