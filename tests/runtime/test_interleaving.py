"""Requests for numbered calls, in any order: however often one is repeated, it claims once (R2)."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import anyio
import pytest
from anyio.abc import TaskGroup
from hypothesis import given, settings
from hypothesis import strategies as st

from hms_async import AsyncOMSClient
from hms_async.errors import CallSuperseded, StoreUnavailable
from hms_async.runtime import calls
from hms_async.runtime.calls import STEPS, Call, Walk
from hms_async.runtime.claims import Wish
from hms_async.storage.holding import LaneRecord
from hms_async.storage.replies import Exchanged, Settle
from hms_async.storage.store import Store
from hms_async.testing import memory_url
from tests.runtime.support import PATIENCE_S

CALLER = "caller-0123456789"
QUEUES = ["p", "q", "r"]
MOST = 2
MOST_ASKS = 8

# What happens next: a task comes into a queue, a request is made for a call, one goes a step on and
# may lose its answer, or a task that somebody got is done.
TASKS = st.tuples(st.just("task"), st.sampled_from(QUEUES))
REQUESTS = st.tuples(st.just("request"), st.integers(1, 2))
STEPS_ON = st.tuples(st.just("step"), st.integers(0, 4), st.booleans())
DONE = st.tuples(st.just("done"), st.integers(0, 4))
SCENES = st.lists(st.one_of(TASKS, REQUESTS, STEPS_ON, STEPS_ON, STEPS_ON, DONE), max_size=60)
Scene = list[tuple[object, ...]]


class Claimed(NamedTuple):
    """A task that a script gave to somebody, whether or not the answer was heard."""

    queue: str
    id: str
    token: str

    @property
    def number(self) -> int:
        return int(self.token.rpartition("-")[2].partition(".")[0])


class Gated(Store):
    """A store whose answers come when the test says so, and are lost if it says so."""

    def __init__(self, url: str, claimed: set[Claimed]) -> None:
        super().__init__(url)
        self._claimed = claimed
        self._gate = anyio.Event()
        self._there = anyio.Event()
        self._loses = False
        self.over = False

    async def step(self, *, loses: bool = False) -> None:
        """Let one call through, and return when the next has come to the gate."""
        await self._there.wait()
        if self.over:
            return
        self._there = anyio.Event()
        self._loses = loses
        self._gate.set()
        self._gate = anyio.Event()
        await self._there.wait()

    def end(self) -> None:
        self.over = True
        self._there.set()

    async def lanes(self, queues: Sequence[str], incarnation: str, lane: int) -> list[LaneRecord]:
        await self._pass()
        return await super().lanes(queues, incarnation, lane)

    async def exchange(self, queue: str, **options: Any) -> Exchanged | None:
        await self._pass()
        reply = await super().exchange(queue, **options)
        claims = reply.claims if reply is not None else []
        self._claimed |= {Claimed(queue, claim.id, claim.token) for claim in claims}
        if self._loses:
            raise StoreUnavailable("the answer was lost")
        return reply

    async def _pass(self) -> None:
        self._there.set()
        await self._gate.wait()


class Request:
    """One request for a call, in a process of its own: nobody there knows of the others."""

    def __init__(self, url: str, seq: int, claimed: set[Claimed]) -> None:
        self.seq = seq
        self.store = Gated(url, claimed)
        self.tokens: set[str] = set()

    async def run(self) -> None:
        walk = Walk(self.store, Call(CALLER, 0, self.seq), QUEUES, Wish(MOST, "go"))
        try:
            for _ in range(MOST_ASKS):
                _, reply = await walk.ask(None, suspects=True)
                self.tokens |= {claim.token for claim in reply.claims}
                if walk.ended:
                    break
        except CallSuperseded:
            pass
        finally:
            self.store.end()


class _NoPause:
    async def wait(self) -> None:
        """Go on at once."""


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "Backoff", _NoPause)


class Play:
    """A scene on an empty store."""

    def __init__(self, url: str, oms: AsyncOMSClient, group: TaskGroup) -> None:
        self._url = url
        self._oms = oms
        self._group = group
        self.claimed: set[Claimed] = set()
        self.requests: list[Request] = []

    async def act(self, happens: tuple[object, ...]) -> None:
        match happens:
            case ("task", str(queue)):
                await self._oms.enqueue(queue, 1)
            case ("request", int(seq)):
                self.requests.append(Request(self._url, seq, self.claimed))
                self._group.start_soon(self.requests[-1].run)
            case ("step", int(which), bool(loses)) if self.requests:
                await self.requests[which % len(self.requests)].store.step(loses=loses)
            case ("done", int(which)) if self.claimed:
                await self._settle(sorted(self.claimed)[which % len(self.claimed)])
            case _:
                pass

    async def _settle(self, one: Claimed) -> None:
        async with Store(self._url) as store:
            outcome = [Settle(one.id, one.token, "done", body=b"1")]
            who = os.urandom(10).hex()
            await store.exchange(
                one.queue, worker="go", incarnation=who, lane=0, seq=1, settles=outcome
            )

    async def end(self) -> None:
        """Let all requests come to their end, a step each in turn."""
        while any(not request.store.over for request in self.requests):
            for request in self.requests:
                await request.store.step()
        for request in self.requests:
            await request.store.aclose()


@settings(deadline=None, max_examples=150)
@given(SCENES)
def test_r2_however_requests_of_a_call_interleave_it_claims_once(scene: Scene) -> None:
    anyio.run(_play, scene)


async def _play(scene: Scene) -> None:
    with memory_url() as url, anyio.fail_after(PATIENCE_S):
        async with AsyncOMSClient(url) as oms, anyio.create_task_group() as group:
            for queue in QUEUES:
                await oms.create_queue(queue)
            play = Play(url, oms, group)
            for happens in scene:
                await play.act(happens)
            await play.end()
            _judge(play)


def _judge(play: Play) -> None:
    for seq in (1, 2):
        of_call = {one for one in play.claimed if one.number // STEPS == seq}
        assert len({(one.queue, one.number) for one in of_call}) <= 1
        assert len(of_call) <= MOST
        tokens = {one.token for one in of_call}
        assert all(one.tokens <= tokens for one in play.requests if one.seq == seq)
