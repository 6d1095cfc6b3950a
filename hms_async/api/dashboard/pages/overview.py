"""The overview: which queues need somebody, in one sentence, and how all of them stand."""

from typing import NamedTuple

import msgspec
from fastapi import APIRouter
from starlette.responses import Response

from hms_async.api import documents
from hms_async.api.dashboard import charts, words
from hms_async.api.dashboard.entry import Looking
from hms_async.api.dashboard.export import Export, exported
from hms_async.api.dashboard.parts import Part, show
from hms_async.api.dashboard.standing import Look as AllQueues
from hms_async.api.dashboard.standing import Slots, serving
from hms_async.domain.forecast import Forecast
from hms_async.runtime.board import Standing
from hms_async.runtime.promises import Promise

router = APIRouter()


class Row(NamedTuple):
    """A queue, as the overview shows it.

    Attributes:
        standing: How it stands.
        trouble: Why somebody should look, in a few words; empty if nobody needs to.
        workers: How many live workers serve it.
        slots: What these can do at once.
        waits: How long attempts waited lately; `None` if none began, or nobody knows yet.
    """

    standing: Standing
    trouble: str
    workers: int
    slots: Slots
    waits: charts.Sparkline | None

    @property
    def promise(self) -> Promise:
        """How its promise stands."""
        return self.standing.promise

    @property
    def name(self) -> str:
        """The queue's name."""
        return self.standing.name


@router.get("/")
async def overview(look: Looking, export: Export | None = None) -> Response:
    """Show all queues that the caller may see, those first that are nearest to harm."""
    if export is not None:
        everything = await look.all_queues()
        seen = [_flat(one) for one in everything.queues if look.sees(one.name)]
        return exported(seen, export, "queues")

    async def build() -> Part:
        everything = await look.all_queues()
        rows = [_row(one, everything) for one in everything.queues if look.sees(one.name)]
        needy = [row for row in rows if row.trouble]
        return Part.of(
            "overview.html",
            title=_title(needy),
            base=look.base,
            rest_url=look.rest_url,
            now_ms=everything.now_ms,
            rows=rows,
            needy=needy,
            sentence=_sentence(rows, needy),
            workers=len(everything.workers),
            incidents=[one for row in rows for one in row.promise.incidents if one.open],
            can_operate=look.can_operate,
        )

    return await show(look, ["overview"], build)


def _flat(one: Standing) -> dict[str, object]:
    glance = msgspec.structs.asdict(documents.Glance.of_standing(one))
    return {name: value for name, value in glance.items() if not isinstance(value, dict | list)}


def _row(standing: Standing, everything: AllQueues) -> Row:
    cards = serving(everything.workers, standing.name)
    trend = everything.trends.get(standing.name, {})
    return Row(
        standing=standing,
        trouble=trouble(standing, workers=len(cards)),
        workers=len(cards),
        slots=Slots.of(cards),
        waits=charts.sparkline(trend, standing.stats.sla_ms, standing.stats.now_ms),
    )


def trouble(standing: Standing, *, workers: int) -> str:
    """Return why somebody should look at a queue, in a few words; empty if nobody needs to."""
    stats, forecast = standing.stats, standing.promise.forecast
    found: list[str] = []
    if stats.breached:
        found.append(f"{words.several(stats.breached, 'task')} late")
    elif standing.clock == "breached":
        found.append("tasks are late")
    if forecast.misses:
        found.append(foreseen(forecast, stats.waiting, stats.now_ms))
    elif stats.at_risk:
        found.append(f"{words.several(stats.at_risk, 'task')} at risk")
    if not workers and stats.open and not stats.paused:
        found.append("no worker serves it")
    if standing.unwatched:
        found.append("no supervisor watches it")
    if stats.undelivered:
        found.append(f"{words.several(stats.undelivered, 'message')} undelivered")
    return ", ".join(found)


def foreseen(forecast: Forecast, waiting: int, now_ms: int) -> str:
    """Return how many of those that wait will end late: those that are late by now among them."""
    misses = forecast.misses or 0
    if misses < waiting:
        which = f"{misses:,} of {waiting:,} that wait"
    else:
        which = f"all {misses:,} that wait" if misses > 1 else "the one that waits"
    first_ms = (forecast.first_miss_ms or now_ms) - now_ms
    when = f", the first in {words.span(first_ms)}" if first_ms > 0 else ""
    return f"{which} will end late{when}"


def _sentence(rows: list[Row], needy: list[Row]) -> str:
    """Return how it goes, in plain words."""
    if not rows:
        return "There is no queue yet."
    if not needy:
        waiting = sum(row.promise.stats.open for row in rows)
        queues = words.several(len(rows), "queue")
        return f"All is well: {words.several(waiting, 'open task')} in {queues}, none late."
    told = [f"{row.name}: {row.trouble}." for row in needy[:2]]
    rest = len(needy) - len(told)
    if rest:
        told.append(f"And {words.several(rest, 'more queue')}.")
    verb = "needs" if len(needy) == 1 else "need"
    return f"{words.several(len(needy), 'queue')} {verb} you. {' '.join(told)}"


def _title(needy: list[Row]) -> str:
    if not needy:
        return "all well"
    worst = needy[0]
    return f"({len(needy)}) {words.CLOCKS[worst.standing.clock].word} - {worst.name}"
