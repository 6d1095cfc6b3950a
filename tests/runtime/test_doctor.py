"""The doctor: each thing is broken on a real server, and is named; what is well is green."""

import time
from collections.abc import AsyncGenerator, Generator

import anyio
import pytest

from hms_async import AsyncOMSClient, AsyncWorker, Task
from hms_async.domain.audit import Actor
from hms_async.domain.diagnosis.finding import Finding, Level
from hms_async.errors import StoreUnavailable
from hms_async.runtime import doctor
from hms_async.storage import examining
from hms_async.storage.embedded import running as running_server
from hms_async.storage.store import Store
from hms_async.testing import running
from tests.runtime.support import PATIENCE_S
from tests.servers import REDIS, VALKEY, Raw, machines_redis
from tests.storage.driver import Driver

GREEN, AMBER, RED = Level.GREEN, Level.AMBER, Level.RED
ANN = Actor("ann@portal", "cli", "lost")

pytestmark = pytest.mark.timeout(30)


@pytest.fixture(scope="module", params=[VALKEY, REDIS])
def own_url(request: pytest.FixtureRequest) -> Generator[str]:
    """A server of each kind that is our own, since its settings are changed."""
    if request.param == "redis":
        with machines_redis() as url:
            yield url
            raw = Raw(url)
            raw("CONFIG", "SET", "appendonly", "no")  # it does not end while it writes a first one
            raw.close()
    else:
        with running_server() as server:
            yield server.url


@pytest.fixture
def raw(own_url: str) -> Generator[Raw]:
    """The server, empty and as it should be."""
    raw = Raw(own_url)
    raw("REPLICAOF", "NO", "ONE")
    for name, value in {
        "maxmemory": "0",
        "maxmemory-policy": "noeviction",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
    }.items():
        raw("CONFIG", "SET", name, value)
    raw("FLUSHALL")
    yield raw
    raw.close()


@pytest.fixture
async def store(own_url: str, raw: Raw) -> AsyncGenerator[Store]:
    """A store with the queue `q`, which is watched, and which somebody serves."""
    async with Store(own_url) as store:
        await Driver(store, raw).create(sla="2h")
        card = {"queues": "q", "slots": "10", "version": "0.1.0"}
        await store.register_worker("clerk", card, 60)
        await store.sweep("q")
        yield store


@pytest.fixture
def driver(store: Store, raw: Raw) -> Driver:
    return Driver(store, raw)


async def found(store: Store, check: str) -> list[Finding]:
    """What a check says."""
    return [one for one in await doctor.examine(store) if one.check == check]


async def one_found(store: Store, check: str) -> Finding:
    (one,) = await found(store, check)
    return one


async def work(_task: Task[int]) -> None: ...


@pytest.mark.usefixtures("raw")
async def test_what_is_well_is_green(own_url: str) -> None:
    async with AsyncOMSClient(own_url) as oms:
        await oms.create_queue("kyc", sla="2h")
        await oms.enqueue_many("kyc", list(range(100)))
        await oms.enqueue("kyc", 1, delay="1h")
        async with (
            running(AsyncWorker(queue="kyc", handler=work, url=own_url)),
            Store(own_url) as store,
        ):
            with anyio.fail_after(PATIENCE_S):
                while not (await oms.workers() and (await oms.stats("kyc")).done == 100):  # noqa: ASYNC110  # others' state
                    await anyio.sleep(0.02)
                while await examining.swept_ms(store, "kyc") is None:  # noqa: ASYNC110  # the same
                    await anyio.sleep(0.02)
            findings = await doctor.examine(store)
    assert [one for one in findings if one.level != GREEN] == []
    assert {one.check for one in findings} == {
        *("server", "persistence", "eviction", "memory", "replicas", "latency", "clock", "rights"),
        *("versions", "workers", "supervisor", "overdue", "receivers", "stale", "size", "orphans"),
    }
    (size,) = [one for one in findings if one.check == "size"]
    assert size.found.startswith("kyc: 101 tasks, about ")


@pytest.mark.parametrize(
    ("settings", "check", "level", "words"),
    [
        ("maxmemory-policy allkeys-lru", "eviction", AMBER, "drops tasks"),
        ("maxmemory 1gb; maxmemory-policy allkeys-lru", "eviction", RED, "allkeys-lru"),
        ("appendonly no", "persistence", RED, "its end loses every task"),
        ("appendonly no; save 60 1", "persistence", RED, "snapshots only"),
        ("appendfsync no", "persistence", AMBER, "when the system likes"),
        ("maxmemory 1kb", "memory", RED, "enqueue is refused"),
    ],
)
async def test_a_server_that_loses_tasks_is_named(  # noqa: PLR0917  # fixtures and parameters
    store: Store, raw: Raw, settings: str, check: str, level: Level, words: str
) -> None:
    for setting in settings.split("; "):
        name, _, value = setting.partition(" ")
        raw("CONFIG", "SET", name, value)
    one = await one_found(store, check)
    assert (one.level, words in one.found) == (level, True), one
    assert one.todo.startswith("CONFIG SET ")


async def test_a_replica_is_named_with_its_primary(store: Store, raw: Raw) -> None:
    raw("REPLICAOF", "127.0.0.1", "1")
    one = await one_found(store, "server")
    assert (one.level, one.todo) == (RED, "use its primary, 127.0.0.1:1")
    assert (await one_found(store, "rights")).level == GREEN


async def test_a_slow_server_and_a_clock_that_is_off_are_named(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time

    async def slow(_: Store) -> list[float]:
        return [250.0]

    monkeypatch.setattr(examining, "pings_ms", slow)
    monkeypatch.setattr(time, "time", lambda: real() - 7_201)
    latency, clock = await one_found(store, "latency"), await one_found(store, "clock")
    assert (latency.level, latency.found) == (RED, "answers in 250.0 ms, at worst in 250.0 ms")
    assert (clock.level, clock.found[:26]) == (RED, "the server's clock is 2h a")


async def test_a_queue_that_nobody_serves_or_watches_is_named(driver: Driver) -> None:
    await driver.push("a", "b")
    await driver.store.unregister_worker("clerk")
    driver.raw("SET", "queue:q:swept", f"{(await driver.stats()).now_ms - 7_200_000} 0")
    workers = await one_found(driver.store, "workers")
    assert (workers.level, workers.found) == (RED, "no live worker for q: 2 tasks wait")
    assert workers.todo == "hms run MODULE:HANDLER -Q q"
    supervisor = await one_found(driver.store, "supervisor")
    assert (supervisor.level, supervisor.found) == (RED, "nobody has watched q for 2h")
    driver.raw("DEL", "queue:q:swept")
    assert (await one_found(driver.store, "supervisor")).found == "nobody has ever watched q"


async def test_what_lies_about_in_a_queue_is_named(driver: Driver) -> None:
    driver.raw("ZADD", "queue:q:sla", (await driver.stats()).now_ms - 90_000, "a")
    driver.raw("ZADD", "queue:q:actions:dead", 1, "message")
    driver.raw("RPUSH", "queue:q", *[f"x{n}" for n in range(1_000)])
    driver.raw("HSET", "queue:q:counts", "stale", 900)
    levels = {one.check: one for one in await doctor.examine(driver.store, scan=0)}
    assert (levels["overdue"].level, levels["overdue"].found[:16]) == (RED, "a rung of q has ")
    assert (levels["receivers"].level, levels["receivers"].found[:9]) == (AMBER, "1 message")
    assert (levels["stale"].level, levels["stale"].found[:12]) == (AMBER, "900 of 1,000")


async def test_workers_of_several_releases_are_named(store: Store) -> None:
    await store.register_worker("old", {"queues": "q", "version": "0.0.9"}, 60)
    await store.register_worker("go", {"queues": "q", "via": "rest"}, 60)
    one = await one_found(store, "versions")
    assert (one.level, one.found) == (AMBER, "workers run 0.0.9 1, 0.1.0 1; this is 0.1.0")


@pytest.mark.usefixtures("store")
async def test_a_user_with_too_few_rights_hears_which(raw: Raw, own_url: str) -> None:
    narrow = ["~queue:*", "~task:*", "+@read", "+@write", "+@connection", "+eval", "+evalsha"]
    raw("ACL", "SETUSER", "clerk", "reset", "on", ">pass", *narrow, "+time", "-xadd", "+acl|whoami")
    try:
        async with Store(own_url.replace("//", "//clerk:pass@")) as clerk:
            findings = {one.check: one for one in await doctor.examine(clerk)}
    finally:
        raw("ACL", "DELUSER", "clerk")
    rights = findings["rights"]
    assert (rights.level, rights.todo.split()[:2]) == (RED, ["ACL", "SETUSER"])
    assert {"~workers", "~audit", "+xadd", "+info", "+config|get"} <= set(rights.todo.split())
    # What could not be looked at is said, and hides nothing else.
    assert (findings["server"].level, findings["queues"].level) == (AMBER, AMBER)
    assert findings["latency"].level == GREEN


@pytest.mark.usefixtures("store")
async def test_a_user_with_too_many_rights_is_named(raw: Raw, own_url: str) -> None:
    raw("ACL", "SETUSER", "clerk", "reset", "on", ">pass", "~*", "+@all")
    try:
        async with Store(own_url.replace("//", "//clerk:pass@")) as clerk:
            one = await one_found(clerk, "rights")
    finally:
        raw("ACL", "DELUSER", "clerk")
    assert (one.level, "FLUSHALL" in one.found, "every key" in one.found) == (AMBER, True, True)


async def test_a_foreign_key_in_a_queues_place_hides_no_other_check(
    driver: Driver, raw: Raw
) -> None:
    await Driver(driver.store, raw, queue="other").create()
    raw("SET", "queue:q:counts", "foreign")
    findings = await doctor.examine(driver.store)
    (queues,) = [one for one in findings if one.check == "queues"]
    assert (queues.level, "WRONGTYPE" in queues.found) == (AMBER, True)
    assert [one.queue for one in findings if one.check == "workers"] == ["other"]


async def place(driver: Driver, word: str) -> str:
    """Break a task in some way; returns its id."""
    await driver.push("a")
    if word in ("no_lease", "unlisted"):
        claim = await driver.claim_one()
        if word == "unlisted":
            await driver.settle(claim, "done")
    broken = {
        "no_place": ("LREM", "queue:q", 0, "a"),
        "no_lease": ("ZREM", "queue:q:inflight", "a"),
        "no_record": ("DEL", "task:a:run"),
        "unlisted": ("ZREM", "queue:q:done", "a"),
        "no_body": ("DEL", "task:a"),
        "nothing": ("DEL", "task:a", "task:a:run"),
    }
    driver.raw(*broken[word])
    return "a"


@pytest.mark.parametrize(
    ("word", "level", "words", "after"),
    [
        ("no_place", RED, "1 waiting, and in no list", "waiting"),
        ("no_lease", RED, "1 in progress without a lease", "in_progress"),
        ("no_record", RED, "1 without a record", "failed"),
        ("unlisted", AMBER, "1 ended, and never to be forgotten", "done"),
    ],
)
async def test_a_lost_task_is_named_and_mended_on_a_paused_queue(
    driver: Driver, word: str, level: Level, words: str, after: str
) -> None:
    task_id = await place(driver, word)
    one = await one_found(driver.store, "orphans")
    assert (one.level, words in one.found, "(a)" in one.found) == (level, True, True), one
    assert "hms doctor --fix q" in one.todo

    assert await doctor.fix(driver.store, "q", ANN) is None  # it is not paused
    assert (await one_found(driver.store, "orphans")).found == one.found
    await driver.store.pause("q", paused=True)
    assert await doctor.fix(driver.store, "q", ANN) == {word: 1}
    assert await doctor.fix(driver.store, "q", ANN) == {}
    assert (await one_found(driver.store, "orphans")).level == GREEN
    assert await driver.state(task_id) == after
    await driver.stats()  # the books balance again
    (entry,) = [one for one in driver.raw.stream("queue:q:audit") if one["act"] == "mend"]
    assert (entry["task"], entry["was"], entry["who"]) == ("a", word, "ann@portal")
    if word == "no_place":
        await driver.store.pause("q", paused=False)
        assert (await driver.claim_one()).id == task_id


@pytest.mark.parametrize(("word", "level"), [("no_body", RED), ("nothing", AMBER)])
async def test_what_a_claim_tells_of_is_named_and_left_to_it(
    driver: Driver, word: str, level: Level
) -> None:
    await place(driver, word)
    one = await one_found(driver.store, "orphans")
    assert (one.level, one.todo) == (
        level,
        "their claim ends them in failed: hms job ls q --state failed",
    )
    await driver.store.pause("q", paused=True)
    assert await doctor.fix(driver.store, "q", ANN) == {}


async def test_a_server_that_does_not_answer_is_no_finding() -> None:
    async with Store("redis://127.0.0.1:1/0") as store:
        with pytest.raises(StoreUnavailable):
            await doctor.examine(store)
