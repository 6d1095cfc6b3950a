"""The doorbell of a process in which many wait (R12, R13)."""

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from hms_async import AsyncOMSClient
from hms_async.errors import StoreUnavailable
from hms_async.runtime import doorbell as module
from hms_async.runtime.doorbell import Doorbell
from hms_async.storage.replies import Exchanged
from hms_async.storage.store import Store
from tests.runtime.support import until
from tests.servers import Raw


class RecordingStore(Store):
    """A store that counts what a doorbell sends, and can be out of reach for the bells."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.sent: Counter[str] = Counter()
        self.listened: list[list[str]] = []
        self.unreachable = False

    async def wait_for_bell(
        self, queues: Sequence[str], timeout_s: float, *, listener: str | None = None
    ) -> str | None:
        self.sent["wait"] += 1
        self.listened.append(list(queues))
        if self.unreachable:
            raise StoreUnavailable("as planned")
        return await super().wait_for_bell(queues, timeout_s, listener=listener)

    async def ring(self, queue: str) -> None:
        self.sent["ring"] += 1
        await super().ring(queue)

    async def call(self, listener: str, keep_ms: int) -> None:
        self.sent["call"] += 1
        await super().call(listener, keep_ms)


class Hall:
    """A doorbell, and those who wait at it."""

    def __init__(self, store: RecordingStore, doorbell: Doorbell, group: Any) -> None:
        self.store = store
        self.doorbell = doorbell
        self.woken: list[tuple[int, str]] = []
        self.waiting = 0
        self._group = group

    def enter(self, who: int, *queues: str, scope: anyio.CancelScope | None = None) -> None:
        self._group.start_soon(self._wait, who, queues, scope or anyio.CancelScope())

    async def _wait(self, who: int, queues: Sequence[str], scope: anyio.CancelScope) -> None:
        self.waiting += 1
        try:
            with scope:
                self.woken.append((who, await self.doorbell.wait(queues)))
        finally:
            self.waiting -= 1

    async def when(self, woken: int) -> list[tuple[int, str]]:
        await until(lambda: len(self.woken) >= woken)
        return self.woken

    async def when_listening(self, *queues: str) -> None:
        await until(lambda: [sorted(one) for one in self.store.listened[-1:]] == [sorted(queues)])


@asynccontextmanager
async def at_the_bell(url: str) -> AsyncGenerator[Hall]:
    async with RecordingStore(url) as store, anyio.create_task_group() as group:
        doorbell = Doorbell(store)
        await group.start(doorbell.run)
        yield Hall(store, doorbell, group)
        group.cancel_scope.cancel()


@pytest.fixture
def _nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is woken was rung for."""
    monkeypatch.setattr(module, "LOOK_EVERY_S", 3_600.0)


nobody_looks = pytest.mark.usefixtures("_nobody_looks")


def reply(*, now_ms: int = 0, next_due_ms: int | None = None, paused: bool = False) -> Exchanged:
    told = (b"ok", now_ms, 0, b"" if next_due_ms is None else next_due_ms, 1, int(paused), 30_000)
    return Exchanged.read([*told, [], [], b"", 0, [], 0, []])


@nobody_looks
async def test_r13_a_ring_wakes_one_and_those_who_wait_are_served_in_turn(
    store_url: str, raw: Raw
) -> None:
    async with at_the_bell(store_url) as hall:
        for who in range(3):
            hall.enter(who, "q")
        await hall.when_listening("q")
        for number in range(3):
            raw("RPUSH", "queue:q:bell", "1")
            assert (await hall.when(number + 1))[-1] == (number, "q")
    assert hall.store.sent["ring"] == 0


@nobody_looks
async def test_a_ring_is_for_whoever_waits_for_that_queue(store_url: str, raw: Raw) -> None:
    async with at_the_bell(store_url) as hall:
        hall.enter(1, "a", "b")
        hall.enter(2, "b", "c")
        await hall.when_listening("a", "b", "c")
        raw("RPUSH", "queue:c:bell", "1")
        raw("RPUSH", "queue:b:bell", "1")
        assert sorted(await hall.when(2)) == [(1, "b"), (2, "c")]


@nobody_looks
async def test_r13_a_token_whose_taker_has_gone_goes_to_the_next(store_url: str, raw: Raw) -> None:
    scope = anyio.CancelScope()
    async with at_the_bell(store_url) as hall:
        hall.enter(1, "q", scope=scope)
        hall.enter(2, "q")
        await until(lambda: hall.waiting == 2)
        hall.doorbell.pass_on("q")  # the first has it, and is cancelled before it hears so
        scope.cancel()
        assert await hall.when(1) in ([(2, "q")], [(1, "q")])
        if hall.woken == [(1, "q")]:
            hall.doorbell.pass_on("q")
            assert (await hall.when(2))[-1] == (2, "q")
    assert raw("LLEN", "queue:q:bell") == 0


@nobody_looks
async def test_r13_a_token_that_nobody_here_can_use_goes_back(store_url: str, raw: Raw) -> None:
    scope = anyio.CancelScope()
    async with at_the_bell(store_url) as hall:
        hall.enter(1, "q", scope=scope)
        await hall.when_listening("q")
        scope.cancel()
        await until(lambda: hall.waiting == 0)
        raw("RPUSH", "queue:q:bell", "1")
        await until(lambda: hall.store.sent["ring"] == 1 and raw("LLEN", "queue:q:bell") == 1)
        # And it is not taken again.
        hall.enter(2, "other")
        await hall.when_listening("other")
    assert raw("LLEN", "queue:q:bell") == 1


@nobody_looks
async def test_r13_nobody_listens_to_the_bell_of_a_paused_queue(store_url: str, raw: Raw) -> None:
    async with at_the_bell(store_url) as hall:
        hall.doorbell.learn("q", reply(paused=True))
        hall.enter(1, "q", "r")
        await hall.when_listening("r")
        raw("RPUSH", "queue:q:bell", "1")
        hall.doorbell.learn("q", reply())
        assert await hall.when(1) == [(1, "q")]


@nobody_looks
async def test_another_queue_is_listened_to_at_once(store_url: str, raw: Raw) -> None:
    """The listener is called away, not cancelled, and its call is not left behind."""
    async with at_the_bell(store_url) as hall:
        hall.enter(1, "q")
        await hall.when_listening("q")
        hall.enter(2, "r")
        hall.enter(3, "s")
        await hall.when_listening("q", "r", "s")
        assert hall.store.sent["call"] == 1
        assert hall.store.sent["wait"] <= 3
        assert not [name for name in raw.names() if name.startswith("worker:")]


@nobody_looks
async def test_a_queue_that_rings_all_the_time_does_not_silence_the_others(
    store_url: str, raw: Raw
) -> None:
    async with at_the_bell(store_url) as hall:
        for who in range(5):
            hall.enter(who, "a")
        hall.enter(9, "b")
        await hall.when_listening("a", "b")
        pipe = raw.pipeline()
        pipe.rpush("queue:a:bell", *"11111")
        pipe.rpush("queue:b:bell", "1")
        pipe.execute()
        assert (9, "b") in (await hall.when(6))[:3]


async def test_r12_somebody_asks_when_a_scheduled_task_comes_due(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY_S", 3_600.0)
    async with at_the_bell(store_url) as hall:
        hall.enter(1, "q")
        hall.enter(2, "q")
        await until(lambda: hall.waiting == 2)
        began = anyio.current_time()
        hall.doorbell.learn("q", reply(now_ms=1_000, next_due_ms=1_100))
        assert await hall.when(1) == [(1, "q")]
        assert anyio.current_time() - began >= 0.1
        assert hall.woken == [(1, "q")]  # one asks for all of them


async def test_r12_the_first_in_line_looks_by_itself_when_no_bell_can_be_heard(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.05)
    async with at_the_bell(store_url) as hall:
        hall.store.unreachable = True
        for who in range(3):
            hall.enter(who, "q")
        assert await hall.when(3) == [(0, "q"), (1, "q"), (2, "q")]


@nobody_looks
async def test_a_listener_comes_back_after_an_outage(store_url: str, raw: Raw) -> None:
    async with at_the_bell(store_url) as hall:
        hall.store.unreachable = True
        hall.enter(1, "q")
        await until(lambda: hall.store.sent["wait"] == 2)
        hall.store.unreachable = False
        raw("RPUSH", "queue:q:bell", "1")
        assert await hall.when(1) == [(1, "q")]


@nobody_looks
async def test_thousands_may_leave_at_once(store_url: str, raw: Raw) -> None:
    async with at_the_bell(store_url) as hall:
        scopes = [anyio.CancelScope() for _ in range(3_000)]
        for who, scope in enumerate(scopes):
            hall.enter(who, "q", scope=scope)
        hall.enter(3_000, "q")
        await until(lambda: hall.waiting == 3_001)
        for scope in scopes:
            scope.cancel()
        hall.doorbell.pass_on("q")  # none of them has left yet
        assert await hall.when(1) == [(3_000, "q")]
    assert raw("LLEN", "queue:q:bell") == 0


async def test_many_who_wait_cost_little(oms: AsyncOMSClient, raw: Raw) -> None:
    """200 at ten queues: one `BLPOP` at a time, and a look a second and queue."""
    queues = [f"q{number}" for number in range(10)]
    async with at_the_bell(oms.url) as hall:
        for who in range(200):
            hall.enter(who, queues[who % 10])
        await hall.when_listening(*queues)
        before = dict(hall.store.sent)
        await until(lambda: hall.store.sent["wait"] >= before["wait"] + 2)
        # Two waits were over, so two seconds at the most; each look wakes one.
        assert len(hall.woken) <= 3 * len(queues)
        assert hall.store.sent["call"] <= 1
        assert hall.store.sent["ring"] == 0
    assert raw("DBSIZE") == 0
