"""Workers: who is there, native and over REST, what they serve and how busy they are."""

from fastapi import APIRouter
from starlette.responses import Response

from hms_async.api.dashboard import words
from hms_async.api.dashboard.entry import Looking
from hms_async.api.dashboard.parts import Part, show
from hms_async.api.dashboard.standing import Standing, serving
from hms_async.domain.worker import WorkerCard

router = APIRouter()

SILENT_MS = 45_000
"""A worker renews its card every twenty seconds: two of them missed are worth a word."""


@router.get("/workers")
async def workers(look: Looking) -> Response:
    """Show the workers of the queues that the caller may see."""

    async def build() -> Part:
        standing = await look.standing()
        cards = [card for card in standing.workers if any(map(look.sees, card.queues))]
        cards.sort(key=lambda card: (card.queues, card.name))
        return Part.of(
            "workers.html",
            title=words.several(len(cards), "worker"),
            base=look.base,
            rest_url=look.rest_url,
            now_ms=standing.now_ms,
            cards=cards,
            silent_ms=SILENT_MS,
            sentence=sentence(cards, standing),
            unserved=[
                one.queue.name
                for one in standing.promises
                if look.sees(one.queue.name)
                and one.stats.open
                and not serving(standing.workers, one.queue.name)
            ],
        )

    return await show(look, ["workers"], build)


def sentence(cards: list[WorkerCard], standing: Standing) -> str:
    """Return who is there, in plain words."""
    if not cards:
        return "No worker has been heard of in the last minute."
    slots = sum(card.slots or 0 for card in cards)
    busy = sum(card.running or 0 for card in cards)
    silent = [card for card in cards if standing.now_ms - card.seen_ms > SILENT_MS]
    quiet = f", {len(silent)} silent" if silent else ""
    used = f" {busy} of {words.several(slots, 'slot')} busy." if slots else ""
    return f"{words.several(len(cards), 'worker')} alive{quiet}.{used}"


def _unserved(standing: Standing) -> list[str]:
    return [
        one.queue.name
        for one in standing.promises
        if one.stats.open and not serving(standing.workers, one.queue.name)
    ]
