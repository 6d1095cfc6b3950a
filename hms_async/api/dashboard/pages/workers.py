"""Workers: who is there, native and over REST, what they serve and how busy they are."""

from fastapi import APIRouter
from starlette.responses import Response

from hms_async.api.dashboard import words
from hms_async.api.dashboard.entry import Looking
from hms_async.api.dashboard.parts import Part, show
from hms_async.api.dashboard.standing import Look as AllQueues
from hms_async.api.dashboard.standing import Slots, serving
from hms_async.domain.worker import WorkerCard

router = APIRouter()

SILENT_MS = 45_000
"""A worker renews its card every twenty seconds: two of them missed are worth a word."""


@router.get("/workers")
async def workers(look: Looking) -> Response:
    """Show the workers of the queues that the caller may see."""

    async def build() -> Part:
        everything = await look.all_queues()
        cards = [card for card in everything.workers if any(map(look.sees, card.queues))]
        cards.sort(key=lambda card: (card.queues, card.name))
        return Part.of(
            "workers.html",
            title=words.several(len(cards), "worker"),
            base=look.base,
            rest_url=look.rest_url,
            now_ms=everything.now_ms,
            cards=cards,
            silent_ms=SILENT_MS,
            sentence=sentence(cards, everything),
            unserved=[name for name in _unserved(everything) if look.sees(name)],
        )

    return await show(look, ["workers"], build)


def sentence(cards: list[WorkerCard], everything: AllQueues) -> str:
    """Return who is there, in plain words."""
    if not cards:
        return "No worker has been heard of in the last minute."
    slots = Slots.of(cards)
    silent = [card for card in cards if everything.now_ms - card.seen_ms > SILENT_MS]
    quiet = f", {len(silent)} silent" if silent else ""
    used = f" {slots.busy} of {words.several(slots.there, 'slot')} busy." if slots.there else ""
    return f"{words.several(len(cards), 'worker')} alive{quiet}.{used}"


def _unserved(everything: AllQueues) -> list[str]:
    return [
        one.name
        for one in everything.queues
        if one.stats.open and not serving(everything.workers, one.name)
    ]
