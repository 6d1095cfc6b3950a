"""From an entry of a queue's stream to its events."""

import msgspec

from hms_async.domain.event import GAP, Event
from hms_async.storage.about import decode_about, decode_abouts


def events_of(
    queue: str, entry_id: str, fields: dict[bytes, bytes], *, first: int = 0
) -> list[Event]:
    """Return what an entry tells.

    An entry may tell of several tasks. Each is an event of its own, with the id
    `<entry>.<number>`, so that a reader can go on from any of them.

    Args:
        queue: The queue.
        entry_id: The entry's id.
        fields: What it holds.
        first: The number of the first event that is wanted, of an entry of several tasks.
    """
    text = {_text(name): _text(value) for name, value in fields.items()}
    kind, ids = text.pop("type", ""), text.pop("ids", None)
    if ids is None:
        places, tasks = [entry_id], [text.pop("id", None)]
        cases = {0: text.pop("corr", "")}
        abouts = [decode_about(text.pop("about", ""))]
    else:
        tasks = [*ids.split()]
        places = [f"{entry_id}.{number}" for number in range(len(tasks))]
        cases = _cases(text.pop("corrs", ""))
        abouts = decode_abouts(text.pop("abouts", ""), len(tasks))
    return [
        Event(
            id=places[number],
            type=kind,
            queue=queue,
            task_id=tasks[number],
            correlation_id=cases.get(number) or None,
            message=abouts[number].message,
            handoff=abouts[number].handoff,
            fields=text,
        )
        for number in range(first, len(tasks))
    ]


def gap(queue: str, place: str) -> Event:
    """Return the event that says that entries are gone: the state must be looked at again."""
    return Event(id=place, type=GAP, queue=queue, fields={})


def _cases(corrs: str) -> dict[int, str]:
    try:
        return dict(enumerate(msgspec.json.decode(corrs, type=list[str]))) if corrs else {}
    except msgspec.DecodeError:  # a foreign hand's
        return {}


def _text(value: bytes) -> str:
    # A foreign producer's bytes may be none of UTF-8.
    return value.decode(errors="replace")
