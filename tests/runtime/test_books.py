"""The books of the slots and the plan that is made with them; there is neither store nor loop."""

from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hms_async.domain.outcome import Completed
from hms_async.runtime.books import Books, Call
from hms_async.runtime.handlers import Handler
from hms_async.runtime.leases import Held
from hms_async.runtime.plan import Plan
from hms_async.runtime.shutdown import Stop
from hms_async.runtime.task import Attempt
from hms_async.storage.replies import Claim
from tests.runtime.support import NOW_MS, answered, feeds_of

if TYPE_CHECKING:
    from hms_async.runtime.feed import Feed

_numbers = count(1)


class Seats:
    """Stands for the slots: an attempt sits there until a test has it end."""

    def __init__(self, number: int) -> None:
        self.free = number
        self.taken: deque[Attempt] = deque()

    def on_finished(self, listener: Any) -> None:
        self._finished = listener

    def give(self, attempt: Attempt, _handler: Handler) -> None:
        assert self.free > 0
        self.free -= 1
        self.taken.append(attempt)

    def finish(self) -> None:
        attempt = self.taken.popleft()
        attempt.outcome = Completed(b"null")
        self.free += 1
        self._finished(attempt)


class Desk:
    """The books of a worker with so many slots, and what they are kept of."""

    def __init__(self, slots: int, *names: str, limit: int = 10) -> None:
        self.seats, self.stop, self.held = Seats(slots), Stop(), Held()
        self.feeds = feeds_of(*(names or ("q",)), limit=limit)
        self.feed = self.feeds[0]
        self.books = Books(self.feeds, cast("Any", self.seats), self.stop)
        self.plan = Plan(self.books, self.held, self.stop)

    def call(self, want: int, ahead: int = 0) -> Call:
        """A call that claims, reserved for."""
        feed = self.feed
        call = Call(feed, feed.lanes[0], [], want, ahead, suspects=False, rings=feed.rings)
        self.books.reserve(call)
        return call

    def bring(self, call: Call, number: int, *, ahead: int = 0, left: int = 0) -> list[Attempt]:
        """Let a call have claimed so many, the last ones ahead."""
        claims = [_claim() for _ in range(number)]
        attempts = [
            Attempt(claim, call.feed.name, server_ms=NOW_MS, max_result_bytes=100)
            for claim in claims
        ]
        call.feed.engaged += number
        self.books.take(call, attempts, answered(*claims, ahead=ahead, left=left))
        return attempts


def _claim() -> Claim:
    number = next(_numbers)
    return Claim(f"task-{number}", f"token-{number}", 1, 0, NOW_MS, None, 0, b"{}")


def test_what_is_reserved_for_a_call_is_nobody_elses_until_the_call_is_over() -> None:
    desk = Desk(4)
    call = desk.call(3)
    assert (desk.books.free, desk.feed.asked, call.lane.busy) == (1, 3, True)
    assert list(desk.books.astir) == [desk.feed]

    desk.books.release(call)
    assert (desk.books.free, desk.feed.asked, call.lane.busy) == (4, 0, False)
    assert list(desk.books.astir) == []
    assert desk.books.changed.is_set()


def test_what_comes_has_its_slots_and_the_others_are_free_again() -> None:
    desk = Desk(4)
    call = desk.call(3)
    brought = desk.bring(call, 2)
    desk.books.release(call)
    assert (list(desk.seats.taken), desk.feed.running, desk.books.free) == (brought, 2, 2)


def test_what_is_lent_to_the_bell_is_not_free_until_it_is_taken_back() -> None:
    desk = Desk(4)
    desk.books.lend(desk.feed, 3)
    assert (desk.books.free, desk.feed.room(desk.books.free)) == (1, 1)
    desk.books.take_back(desk.feed, 3)
    assert (desk.books.free, desk.feed.asked) == (4, 0)


def test_what_was_claimed_ahead_is_promised_no_slot_before_the_next_answer() -> None:
    desk = Desk(4)
    call = desk.call(1, ahead=2)
    first, *ahead = desk.bring(call, 3, ahead=2)
    desk.books.release(call)
    assert (list(desk.seats.taken), desk.books.free) == ([first], 3)

    call = desk.call(0)
    desk.bring(call, 0)
    desk.books.release(call)
    assert (list(desk.seats.taken), desk.books.free) == ([first, *ahead], 1)


def test_what_finds_no_slot_is_promised_the_next_ones_in_its_order() -> None:
    desk = Desk(2)
    call = desk.call(2)
    brought = desk.bring(call, 4)
    desk.books.release(call)
    assert (list(desk.seats.taken), desk.books.free) == (brought[:2], -2)

    desk.seats.finish()
    assert (list(desk.seats.taken), desk.books.free) == (brought[1:3], -1)
    assert desk.feed.outbox == brought[:1]


def test_what_is_handed_back_gives_its_slots_back() -> None:
    desk = Desk(1)
    call = desk.call(1, ahead=1)
    brought = desk.bring(call, 3, ahead=1)
    desk.books.release(call)
    assert desk.books.free == -1

    desk.books.hand_back(desk.feed)
    assert (desk.books.free, desk.feed.at_hand, desk.feed.outbox) == (0, 0, brought[1:])
    desk.seats.finish()
    assert (desk.books.free, list(desk.seats.taken)) == (1, [])


@pytest.mark.parametrize("fate", ["lost", "cancel_asked"])
def test_what_is_not_to_be_done_any_more_takes_no_slot(fate: str) -> None:
    desk = Desk(1)
    call = desk.call(1)
    first, gone, last = desk.bring(call, 3)
    desk.books.release(call)
    setattr(gone, fate, True)
    desk.seats.finish()
    assert (list(desk.seats.taken), desk.books.free) == ([last], 0)
    assert desk.feed.outbox == [first, gone]


def test_a_call_that_is_planned_at_a_stop_hands_back_and_claims_nothing() -> None:
    desk = Desk(1)
    call = desk.call(1)
    brought = desk.bring(call, 3, left=5)
    desk.books.release(call)
    desk.stop.drain()
    planned = desk.plan.next_call()
    assert planned is not None
    assert (planned.batch, planned.want, planned.ahead) == (brought[1:], 0, 0)
    assert desk.plan.next_call() is None


def test_two_calls_at_once_ask_for_each_slot_once() -> None:
    desk = Desk(10)
    desk.feed.learn(answered(left=100))
    wanted: list[int] = []
    while call := desk.plan.next_call():
        desk.books.reserve(call)
        wanted.append(call.want)
    assert (wanted, desk.books.free) == ([5, 5], 0)


def test_of_two_calls_at_once_one_may_bring_a_suspect() -> None:
    desk = Desk(10)
    desk.feed.learn(answered(left=100))
    calls: list[Call] = []
    while call := desk.plan.next_call():
        desk.books.reserve(call)
        calls.append(call)
    assert [call.suspects for call in calls] == [True, False]

    desk.books.release(calls[0])
    call = desk.plan.next_call()
    assert call is not None
    assert call.suspects


class Shift(RuleBasedStateMachine):
    """Calls, rings, answers and ends in whatever order: the slots are what they are."""

    @initialize(slots=st.integers(1, 6), limit=st.integers(1, 6), several=st.booleans())
    def begin(self, slots: int, limit: int, *, several: bool) -> None:
        names = ("a", "b", "c") if several else ("q",)
        self.count = slots
        self.desk = Desk(slots, *names, limit=min(limit, slots))
        self.calls: list[Call] = []
        self.lent: list[tuple[Feed, int]] = []
        for feed in self.desk.feeds:  # so that something is claimed ahead
            feed.learn(answered(left=9))
            feed.pace.tripped(0.01)
            feed.pace.ran(0.001)

    @rule()
    def plan(self) -> None:
        free = self.desk.books.free
        call = self.desk.plan.next_call()
        if call is not None:
            assert call.want <= max(free, 0)
            self.desk.books.reserve(call)
            self.calls.append(call)

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), left=st.integers(0, 9), heard=st.booleans())
    def answer(self, data: st.DataObject, left: int, *, heard: bool) -> None:
        call = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        if heard:
            call.feed.engaged -= len(call.batch)
            brought = data.draw(st.integers(0, call.want + call.ahead))
            self.desk.bring(call, brought, ahead=max(brought - call.want, 0), left=left)
        else:
            call.feed.outbox[:0] = call.batch
        self.desk.books.release(call)

    @precondition(lambda self: self.desk.seats.taken)
    @rule()
    def finish(self) -> None:
        self.desk.seats.finish()

    @rule(data=st.data())
    def lend(self, data: st.DataObject) -> None:
        feed = data.draw(st.sampled_from(self.desk.feeds))
        number = feed.room(self.desk.books.free) - 1
        if number > 0:
            self.desk.books.lend(feed, number)
            self.lent.append((feed, number))

    @precondition(lambda self: self.lent)
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        feed, number = self.lent.pop()
        again = Call(feed, feed.bell_lane, [], 0, 0, suspects=False, rings=feed.rings, again=True)
        self.desk.bring(again, data.draw(st.integers(0, number)))
        self.desk.books.take_back(feed, number)

    @rule(data=st.data())
    def ring(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.desk.feeds)).rang()

    @rule()
    def stop(self) -> None:
        self.desk.stop.drain()

    @invariant()
    def each_slot_is_free_or_promised_once(self) -> None:
        feeds = self.desk.feeds
        promised = sum(len(feed.ready) + feed.asked for feed in feeds)
        assert self.desk.books.free == self.desk.seats.free - promised
        assert self.desk.seats.free + sum(feed.running for feed in feeds) == self.count

    @invariant()
    def those_astir_are_known(self) -> None:
        assert {feed for feed in self.desk.feeds if feed.astir} <= set(self.desk.books.astir)

    def teardown(self) -> None:
        if not hasattr(self, "desk"):
            return
        while self.calls:
            self.desk.books.release(self.calls.pop())
        while self.lent:
            self.desk.books.take_back(*self.lent.pop())
        for feed in self.desk.feeds:
            self.desk.books.hand_back(feed)
        while self.desk.seats.taken:
            self.desk.seats.finish()
        assert self.desk.books.free == self.count
        assert all(not feed.asked and not feed.claiming for feed in self.desk.feeds)


def test_r13_whatever_happens_each_slot_is_free_or_promised_once() -> None:
    run_state_machine_as_test(
        Shift,
        settings=settings(max_examples=100, deadline=None, derandomize=True, print_blob=True),
    )
