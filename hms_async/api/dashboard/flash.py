"""What a page says first when one comes to it from an act: what was done."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from hms_async.api.dashboard import words

_SAID: Final = {
    "acknowledged": "Acknowledged: others see that somebody is at it.",
    "again": "This is the new task; the old one is as it was.",
    "already": "It was so already: nothing has changed.",
    "asked": "Its worker has been asked to cancel it.",
    "begun": "Begun, for {tasks}. It goes on in the background, whether this page is open or not.",
    "bumped": "It goes first now.",
    "cancelled": "Cancelled.",
    "dropped": "Let go of {messages}.",
    "first": "Requeued, the first of its kind. Watch it, then go on with the others.",
    "paused": "Paused: workers leave its tasks alone.",
    "requeued": "Requeued: it waits again.",
    "resumed": "Resumed: workers take its tasks again.",
    "sent_again": "To be tried again: {messages}.",
    "stopping": "It stops; what it has done stays done.",
    "waived": "Let off its promise.",
}
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{8}")
_NUMBER: Final = re.compile(r"\d{1,9}")


class Flash(NamedTuple):
    """What was done.

    Attributes:
        text: In words of ours.
        of: The fingerprint whose first task was tried, so that one can go on with the others.
    """

    text: str
    of: str = ""


def flash(query: Mapping[str, str]) -> Flash | None:
    """Return what an address says was done; nothing of it is shown but a number."""
    text = _SAID.get(query.get("did", ""))
    if text is None:
        return None
    given = query.get("n", "")
    count = int(given) if _NUMBER.fullmatch(given) else 0
    of = query.get("of", "")
    return Flash(
        text.format(tasks=words.several(count, "task"), messages=words.several(count, "message")),
        of if _FINGERPRINT.fullmatch(of) else "",
    )
