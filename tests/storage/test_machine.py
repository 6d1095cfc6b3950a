"""Any order of anything: late and duplicate exchanges, acts in any state, foreign hands."""

import asyncio
from collections.abc import Coroutine
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from hms_async.domain.counters import ATTEMPTS
from hms_async.domain.queue import QueueSettings
from hms_async.domain.retry import RetryPolicy
from hms_async.storage import codec
from hms_async.storage.replies import Enqueue, Settle
from hms_async.storage.store import Store
from hms_async.testing import ManualClock
from tests.servers import Raw
from tests.storage.model import (
    LEASE_MS,
    MAX_ATTEMPTS,
    MAX_CRASHES,
    QUEUE,
    LaneModel,
    Model,
    Request,
    View,
    left_behind,
)

WORKERS = [("ab", 0), ("ab", 1), ("cd", 0)]
IDS = st.sampled_from([f"t{number}" for number in range(8)])
LANES = st.integers(0, len(WORKERS) - 1)
# Which attempt is meant: a low one is live if possible, the others are any, the latest first.
PICKS = st.integers(0, 11)
SETTLES = st.lists(
    st.tuples(PICKS, st.sampled_from(["done", "fail", "retry", "error", "release"])), max_size=4
)
T = TypeVar("T")
RAW = st.sampled_from(["json", "json-known", "garbage", "unknown", "known", "half"])


class QueueMachine(RuleBasedStateMachine):
    """Workers, supervisors, operators and strangers at one queue."""

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.raw = Raw(self.url)
        self.raw("FLUSHALL")
        self.store = Store(self.url, clock=self.clock)
        self.model = Model([LaneModel() for _ in WORKERS])
        self.claims: list[tuple[str, str]] = []
        self.sent: list[Request] = []
        self.numbers = 0
        self.view = View({}, {}, {}, {})
        settings = QueueSettings.create(
            sla="1m",
            retry=RetryPolicy(max_attempts=MAX_ATTEMPTS, base="10s", cap="1m"),
            lease=LEASE_MS / 1_000,
            max_crashes=MAX_CRASHES,
            keep_done_max=2,
            keep_failed_max=2,
        )
        self.do(self.store.configure(QUEUE, settings))
        items = [Enqueue(f"t{number}", b'{"payload":1}') for number in range(4)]
        self.do(self.store.enqueue(QUEUE, items))
        self.view = View.take(self.raw, self.store.keys)
        self.deliver(self.request(0, 2, []))

    def do(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def teardown(self) -> None:
        self.do(self.store.aclose())
        self.runner.close()
        self.raw.close()

    # Tasks in.

    @rule(
        task_ids=st.lists(IDS, min_size=1, max_size=4),
        delay=st.sampled_from([0, 0, 0, 5_000, 60_000]),
        prio=st.sampled_from(["normal", "normal", "high"]),
        key=st.sampled_from([None, None, None, "k0", "k1"]),
    )
    def enqueue(self, task_ids: list[str], delay: int, prio: str, key: str | None) -> None:
        options = codec.encode_json({"delay": delay, "prio": prio, "key": key})
        items = [Enqueue(task_id, b'{"payload":1}', options) for task_id in task_ids]
        created = set[str]()
        for item, answer in zip(items, self.do(self.store.enqueue(QUEUE, items)), strict=True):
            holder = self.model.keys.get(key or "")
            if holder is not None:
                assert answer is not None
                assert answer.id == holder
            elif item.id in self.view.runs:
                assert answer == ("exists", item.id, self.view.state(item.id))
            elif item.id in created:
                assert answer is not None
            else:
                assert answer is None
                created.add(item.id)
                if key is not None:
                    self.model.keys[key] = item.id

    @rule(kind=RAW, task_id=IDS)
    def push_raw(self, kind: str, task_id: str) -> None:
        self.numbers += 1
        entry = {
            "json": b'{"id":"raw%d","payload":1}' % self.numbers,
            "json-known": b'{"id":"%s","payload":1}' % task_id.encode(),
            "garbage": b"\xff\xfe %d" % self.numbers,
            "unknown": b"ghost%d" % self.numbers,
            "known": task_id.encode(),
            "half": b'{"id":"half%d"' % self.numbers,
        }[kind]
        self.raw("RPUSH", self.store.keys.queue(QUEUE), entry)
        if kind in ("unknown", "known"):
            self.model.strangers += 1

    def some_attempt(self, pick: int) -> tuple[str, str]:
        """Id and token of an attempt that is live, if the pick is low, or of any."""
        live = sorted((task_id, token) for token, task_id in self.model.live.items())
        return live[pick] if pick < len(live) else self.claims[-1 - pick % len(self.claims)]

    def some_task(self, pick: int, *states: str) -> str:
        """A task, if there is one in one of these states; else any, or one that never was."""
        tasks = sorted(self.view.in_state(*states)) or sorted(self.view.runs) or ["never"]
        return tasks[pick % len(tasks)]

    # Exchanges: sent, lost on the way, sent again, arriving late.

    def request(
        self,
        lane: int,
        want: int,
        settles: list[tuple[int, str]],
        *,
        suspects: bool = True,
        ahead: int = 0,
    ) -> Request:
        words = [
            Settle(*self.some_attempt(pick), word, 0.5, b'{"type":"X"}') for pick, word in settles
        ]
        request = Request(
            lane, self.model.lanes[lane].next_seq, tuple(words), want, suspects, ahead
        )
        self.model.lanes[lane].next_seq += 1
        self.sent.append(request)
        return request

    def deliver(self, request: Request) -> None:
        incarnation, number = WORKERS[request.lane]
        superseded = request.seq < self.model.lanes[request.lane].answered
        before = self.raw.snapshot() if superseded else None
        reply = self.do(
            self.store.exchange(
                QUEUE,
                worker=incarnation,
                incarnation=incarnation,
                lane=number,
                seq=request.seq,
                settles=request.settles,
                want=request.want,
                suspects=request.suspects,
                ahead=request.ahead,
            )
        )
        if superseded:
            assert reply is None
            assert self.raw.snapshot() == before
            return
        assert reply is not None
        fresh = request.seq > self.model.lanes[request.lane].answered
        told = {token for token in self.model.cancelling if token.startswith(f"{incarnation}-")}
        assert reply.cancelling == told
        self.model.after_exchange(request, reply, self.view, self.clock())
        if fresh:
            self.claims += [(claim.id, claim.token) for claim in reply.claims]

    @rule(
        lane=LANES,
        want=st.integers(0, 3),
        settles=SETTLES,
        suspects=st.booleans(),
        ahead=st.integers(0, 3),
    )
    def exchange(
        self, lane: int, want: int, settles: list[tuple[int, str]], *, suspects: bool, ahead: int
    ) -> None:
        self.deliver(self.request(lane, want, settles, suspects=suspects, ahead=ahead))

    @rule(lane=LANES, want=st.integers(1, 4), settles=SETTLES)
    def send_into_a_stuck_connection(
        self, lane: int, want: int, settles: list[tuple[int, str]]
    ) -> None:
        self.request(lane, want, settles)

    @rule(pick=st.integers(0, 12))
    def deliver_again_or_late(self, pick: int) -> None:
        self.deliver(self.sent[-1 - pick % len(self.sent)])

    @rule()
    def give_up_waiting(self) -> None:
        self.deliver(self.sent[-1]._replace(want=0, ahead=0))

    @rule(picks=st.lists(PICKS, max_size=4))
    def extend(self, picks: list[int]) -> None:
        leases = [self.some_attempt(pick) for pick in picks]
        lost, cancelling = self.do(self.store.extend(QUEUE, leases))
        live = {token: i for i, token in leases if self.model.live.get(token) == i}
        assert lost == {token for _, token in leases} - set(live)
        assert cancelling == self.model.cancelling & set(live)
        for task_id, token in leases:
            if token in lost:
                self.model.take_back(task_id, token, self.view)
        self.model.expires_ms |= dict.fromkeys(live.values(), self.clock() + LEASE_MS)

    @rule(word=st.sampled_from(["done", "release"]), pick=PICKS)
    def settle_another_task_with_a_live_token(self, word: str, pick: int) -> None:
        token, other = self.some_attempt(0)[1], self.some_task(pick)
        before = self.view.runs.get(other)
        if self.model.live.get(token) == other or before is None:
            return
        request = self.request(2, 0, [])._replace(settles=(Settle(other, token, word),))
        self.deliver(request)
        if before["state"] == "in_progress":
            after = View.take(self.raw, self.store.keys).runs[other]
            assert after == before

    # Supervisors and operators.

    @rule(duration=st.sampled_from(["100ms", "5s", "20s", "31s", "48s", "2m"]))
    def time_passes(self, duration: str) -> None:
        self.clock.advance(duration)

    @rule()
    def sweep(self) -> None:
        swept = self.do(self.store.sweep(QUEUE))
        expired = {i for i, at_ms in self.model.expires_ms.items() if at_ms < self.clock()}
        if not self.model.watch.may_rescue(self.clock()):
            expired.clear()
        ended = [token for token, i in self.model.live.items() if i in expired]
        begun = {self.model.live[t] for t in ended if not self.model.never_started(t)}
        assert sorted(rescued.id for rescued in swept.rescued) == sorted(begun)
        states = {rescued.id: rescued.state for rescued in swept.rescued}
        for token in ended:
            state = states.get(self.model.live[token])
            assert (state == "cancelled") == (token in self.model.cancelling)
            self.model.rescue(token)

    @rule(pick=PICKS, state=st.sampled_from(["waiting", "waiting", "retrying", "in_progress", ""]))
    def cancel(self, pick: int, state: str) -> None:
        task_id = self.some_task(pick, state)
        state = self.view.state(task_id)
        words = {"in_progress": "asked"} | dict.fromkeys(("waiting", "scheduled", "retrying"), "ok")
        assert self.do(self.store.cancel(QUEUE, task_id)) == words.get(state, state)
        if state == "in_progress":
            self.model.cancelling.add(self.view.runs[task_id]["token"])

    @rule(pick=PICKS, state=st.sampled_from(["failed", "cancelled", ""]), reset=st.booleans())
    def requeue(self, pick: int, state: str, *, reset: bool) -> None:
        task_id = self.some_task(pick, state)
        state = self.view.state(task_id)
        expected = "ok" if state in ("failed", "cancelled", "expired") else state
        word = self.do(self.store.requeue(QUEUE, task_id, reset_clock=reset))
        assert word == expected or (word == "body_lost" and expected == "ok")
        if word == "ok":
            self.model.start_anew(task_id)

    @rule(pick=PICKS, state=st.sampled_from(["waiting", "waiting", ""]))
    def bump(self, pick: int, state: str) -> None:
        task_id = self.some_task(pick, state)
        state = self.view.state(task_id)
        word = self.do(self.store.bump(QUEUE, task_id))
        assert word == state or (state == "waiting" and word in ("ok", "already"))

    @rule(paused=st.sampled_from([False, False, True]))
    def pause(self, *, paused: bool) -> None:
        changed = self.do(self.store.pause(QUEUE, paused=paused))
        assert changed == (paused != self.model.paused)
        self.model.paused = paused

    @rule()
    def prune(self) -> None:
        self.do(self.store.prune(QUEUE))
        after = View.take(self.raw, self.store.keys)
        gone = set(self.view.runs) - set(after.runs)
        assert gone <= self.view.in_state("done", "failed", "cancelled", "expired")
        for task_id in gone:
            self.model.start_anew(task_id)
        assert all(len(after.sets[state]) <= 2 for state in ("done", "failed", "cancelled"))

    @rule()
    def reconcile(self) -> None:
        self.do(self.store.reconcile(QUEUE))
        after = View.take(self.raw, self.store.keys)
        extra, unknown = left_behind(after)
        assert after.counts.get("stale", 0) >= extra
        self.model.strangers = unknown

    @invariant()
    def holds(self) -> None:
        self.view = View.take(self.raw, self.store.keys)
        self.model.check(self.view)
        known = all(entry in self.view.runs for entry in self.view.entries())
        if self.model.strangers == 0 and known:
            stats = self.do(self.store.stats(QUEUE))
            assert stats.balanced
            assert stats.waiting == len(self.view.in_state("waiting"))
            ended = sum(stats.totals.get(field, 0) for field in ATTEMPTS.values())
            assert stats.totals.get("claimed", 0) == ended + stats.in_progress


@pytest.mark.timeout(180)
def test_r2_r4_r5_the_queue_holds_whatever_happens_in_whatever_order(store_url: str) -> None:
    machine = type("Machine", (QueueMachine,), {"url": store_url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
