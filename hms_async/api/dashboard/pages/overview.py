"""The overview: which queues need somebody, in one sentence, and how all of them stand."""

from typing import NamedTuple

from fastapi import APIRouter
from starlette.responses import Response

from hms_async.api.dashboard import words
from hms_async.api.dashboard.entry import Looking
from hms_async.api.dashboard.parts import Part, show
from hms_async.api.dashboard.standing import Standing, serving
from hms_async.runtime.promises import Promise

router = APIRouter()

_FAR_MS = 10**15


class Row(NamedTuple):
    """A queue, as the overview shows it.

    Attributes:
        promise: How it stands.
        trouble: Why somebody should look, in a few words; empty if nobody needs to.
        slots: How many tasks its live workers can run at once.
        busy: How many they run.
        workers: How many there are.
    """

    promise: Promise
    trouble: str
    slots: int
    busy: int
    workers: int

    @property
    def name(self) -> str:
        """The queue's name."""
        return self.promise.queue.name


@router.get("/")
async def overview(look: Looking) -> Response:
    """Show all queues that the caller may see, those first that are nearest to harm."""

    async def build() -> Part:
        standing = await look.standing()
        rows = [_row(one, standing) for one in standing.promises if look.sees(one.queue.name)]
        rows.sort(key=lambda row: (minutes_to_harm(row.promise), row.name))
        needy = [row for row in rows if row.trouble]
        return Part.of(
            "overview.html",
            title=_title(needy),
            base=look.base,
            now_ms=standing.now_ms,
            rows=rows,
            needy=needy,
            sentence=_sentence(rows, needy),
            workers=len(standing.workers),
            silent=[row for row in rows if not row.workers and row.promise.stats.open],
            incidents=[
                incident for row in rows for incident in row.promise.incidents if incident.open
            ],
            can_operate=look.can_operate,
        )

    return await show(look, ["overview"], build)


def _row(promise: Promise, standing: Standing) -> Row:
    cards = serving(standing.workers, promise.queue.name)
    return Row(
        promise=promise,
        trouble=trouble(promise, workers=len(cards)),
        slots=sum(card.slots or 0 for card in cards),
        busy=sum(card.running or 0 for card in cards),
        workers=len(cards),
    )


def minutes_to_harm(promise: Promise) -> tuple[int, float]:
    """Return what queues are sorted by: broken promises first, then the next to be broken."""
    now_ms = promise.stats.now_ms
    if promise.stats.breached:
        return 0, -promise.stats.breached
    if promise.forecast.misses:
        return 1, (promise.forecast.first_miss_ms or now_ms) - now_ms
    if promise.stats.at_risk:
        return 2, -promise.stats.at_risk
    if promise.stats.clock_stopped_ms is not None or promise.stats.paused:
        return 3, 0
    if promise.stats.next_rung_ms is None:
        return 4, _FAR_MS
    return 4, promise.stats.next_rung_ms - now_ms


def trouble(promise: Promise, *, workers: int) -> str:
    """Return why somebody should look at a queue, in a few words; empty if nobody needs to."""
    stats, forecast = promise.stats, promise.forecast
    found: list[str] = []
    if stats.breached:
        found.append(f"{words.several(stats.breached, 'task')} late")
    if forecast.misses:
        first_ms = (forecast.first_miss_ms or stats.now_ms) - stats.now_ms
        when = f"from {words.span(first_ms)} on" if first_ms > 0 else "from now on"
        found.append(f"{words.several(forecast.misses, 'task')} will be late {when}")
    elif stats.at_risk:
        found.append(f"{words.several(stats.at_risk, 'task')} at risk")
    if not workers and stats.open and not stats.paused:
        found.append("no worker serves it")
    if stats.undelivered:
        found.append(f"{words.several(stats.undelivered, 'message')} undelivered")
    return ", ".join(found)


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
    return f"({len(needy)}) {words.CLOCKS[worst.promise.clock].word} - {worst.name}"
