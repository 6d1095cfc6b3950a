"""What is said next, and to which queue: what has an outcome is settled, what is free is claimed.

Nothing here waits; `Books` knows which slots are free, `Choice` which queue goes first.
"""

from hms_async.runtime.books import Books, Call
from hms_async.runtime.choice import Choice
from hms_async.runtime.feed import Feed
from hms_async.runtime.leases import Held
from hms_async.runtime.shutdown import Stop
from hms_async.storage.replies import MOST_A_CALL


class Plan:
    """Makes the calls that an exchange loop carries out, one after the other.

    Args:
        books: What is free and what is at hand.
        held: The leases of this process, for the suspects among them (R15).
        stop: Nothing is claimed while stopping, and what has not begun goes back.
    """

    def __init__(self, books: Books, held: Held, stop: Stop) -> None:
        self._books = books
        self._held = held
        self._stop = stop
        self._choice = Choice()
        self._others_first = False
        if len(books.feeds) > 1:
            for feed in books.feeds:
                feed.on_move = self._choice.place
                self._choice.place(feed)

    def next_call(self) -> Call | None:
        """Return what is to be said now, if there is anything.

        What it settles has left its outbox, so it has to be made; its slots are to be reserved
        before anything else is asked.
        """
        if len(self._books.feeds) == 1:
            feed = self._books.feeds[0]
            return None if feed.shut else self._call_for(feed, may_claim=True)
        self._books.note_due()
        first = self._choice.among(self._books.free)
        others = [
            feed
            for feed in self._books.astir
            if (feed.engaged or feed.suspects_wait) and feed is not first
        ]
        others.sort(key=lambda feed: feed.heard_at)
        chosen = [] if first is None else [first]
        # In turns, so that neither outcomes nor claims wait for long; but outcomes go together.
        self._others_first = not self._others_first
        complete = [feed for feed in others if feed.outbox and not feed.running]
        for feed in complete + chosen if self._others_first and complete else chosen + others:
            if feed.shut:
                continue
            if call := self._call_for(feed, may_claim=first is None or feed is first):
                if feed is first and call.claims:
                    self._choice.taken()
                return call
        return None

    def wakes_at(self, free_slots: int) -> float | None:
        """Return when there is something to say without any news, on the monotonic clock."""
        wakes = [feed.wakes_at(free_slots) for feed in self._books.astir]
        return min((at for at in wakes if at is not None), default=None)

    def _call_for(self, feed: Feed, *, may_claim: bool) -> Call | None:
        self._books.start(feed)
        lane = feed.idle_lane
        if lane is None:
            return None
        if not feed.claiming and feed.at_hand and (self._stop.draining or feed.waits_too_long):
            self._books.hand_back(feed)
        batch = feed.outbox[: MOST_A_CALL if self._stop.draining else feed.share()]
        suspects = not self._books.suspect_asked and self._held.may_take_suspect(batch)
        free = self._books.free
        opens = bool(lane.ahead) and free > 0
        news = feed.wants_news and not any(one.busy for one in feed.lanes)
        del feed.outbox[: len(batch)]
        want = ahead = 0
        if may_claim and not self._stop.draining:
            anyway = bool(batch) or opens or news
            want = feed.want(free, suspects=suspects, anyway=anyway)
            ahead = feed.ahead(want)
            # Others wait for these slots, too: nothing is put by for one queue then.
            if ahead and not all(one is feed or one.quiet for one in self._choice):
                ahead = 0
        if not (batch or want or opens or news):
            return None
        return Call(feed, lane, batch, want, ahead, suspects and want > 0, feed.rings)
