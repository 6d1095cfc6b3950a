"""R21: with `durable`, a task is on replicas before its `enqueue` returns."""

from collections.abc import AsyncGenerator, Generator

import anyio
import pytest

from hms_async import (
    AsyncOMSClient,
    ConfigInvalid,
    Enqueued,
    EnqueueManyError,
    NewTask,
    PayloadTooLarge,
    QueueNotFound,
    StoreRefused,
    TooFewReplicas,
)
from hms_async.runtime import submit
from tests.runtime.support import PATIENCE_S
from tests.servers import REDIS, VALKEY, Pair, Raw, pair_of


@pytest.fixture(scope="module", params=[VALKEY, REDIS])
def pair(request: pytest.FixtureRequest) -> Generator[Pair]:
    with pair_of(request.param) as pair:
        yield pair


@pytest.fixture
async def oms(pair: Pair) -> AsyncGenerator[AsyncOMSClient]:
    """A client for which one replica is to have each task."""
    async with AsyncOMSClient(pair.primary, durable=1) as oms:
        await oms.create_queue("q", max_payload_bytes=100)
        yield oms


@pytest.fixture
def frozen(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """The replica hears nothing any more, and is not waited for for long."""
    monkeypatch.setattr(submit, "DURABLE_TIMEOUT_S", 0.3)
    pair.freeze_replica()
    yield
    pair.thaw_replica()
    pair.catch_up()


@pytest.fixture
def primary(pair: Pair) -> Generator[Raw]:
    raw = Raw(pair.primary)
    yield raw
    raw.close()


@pytest.fixture
def replica(pair: Pair) -> Generator[Raw]:
    raw = Raw(pair.replica)
    yield raw
    raw.close()


async def test_r21_what_was_accepted_is_on_the_replica(
    oms: AsyncOMSClient, replica: Raw, primary: Raw
) -> None:
    for _ in range(20):
        one = await oms.enqueue("q", 1)
        assert one.created
        assert replica.string(f"task:{one.id}") is not None
    primary("SCRIPT", "FLUSH")
    many = await oms.enqueue_many("q", range(50))
    assert all(replica.string(f"task:{one.id}") for one in many)


@pytest.mark.usefixtures("frozen")
async def test_r21_without_the_replica_an_enqueue_says_so_in_time(
    oms: AsyncOMSClient, pair: Pair, replica: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    with anyio.fail_after(2), pytest.raises(TooFewReplicas) as error:
        await oms.enqueue("q", 1)
    assert (error.value.replicas, error.value.wanted) == (0, 1)
    task_id = error.value.task_id
    assert (await oms.get_task(task_id)).state == "waiting"

    # A repeat writes nothing, and waits all the same.
    with anyio.fail_after(2), pytest.raises(TooFewReplicas):
        await oms.enqueue("q", 1, id=task_id)

    pair.thaw_replica()
    monkeypatch.undo()
    with anyio.fail_after(PATIENCE_S):
        again = await oms.enqueue("q", 1, id=task_id)
    assert again == Enqueued(task_id, created=False)
    assert replica.string(f"task:{task_id}") is not None


@pytest.mark.usefixtures("frozen")
async def test_r21_the_task_that_stands_for_a_key_is_named(oms: AsyncOMSClient, pair: Pair) -> None:
    async with AsyncOMSClient(pair.primary) as plain:
        first = await plain.enqueue("q", 1, idempotency_key="k")
    with pytest.raises(TooFewReplicas) as error:
        await oms.enqueue("q", 1, idempotency_key="k")
    assert error.value.task_id == first.id


@pytest.mark.usefixtures("frozen")
async def test_r21_each_of_many_has_its_own_answer(oms: AsyncOMSClient) -> None:
    with pytest.raises(EnqueueManyError) as error:
        await oms.enqueue_many("q", [1, NewTask("x" * 200), 2])
    kinds = [type(result) for result in error.value.results]
    assert kinds == [TooFewReplicas, PayloadTooLarge, TooFewReplicas]


@pytest.mark.usefixtures("oms")
async def test_r21_more_replicas_than_there_are(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "DURABLE_TIMEOUT_S", 0.5)
    async with AsyncOMSClient(pair.primary, durable=2) as wants_two:
        with pytest.raises(TooFewReplicas) as error:
            await wants_two.enqueue("q", 1)
        assert (error.value.replicas, error.value.wanted) == (1, 2)
        with pytest.raises(QueueNotFound):
            await wants_two.enqueue("nowhere", 1)


@pytest.mark.usefixtures("oms")
async def test_r21_where_waiting_is_not_allowed_nothing_is_proved(pair: Pair, primary: Raw) -> None:
    primary("ACL", "SETUSER", "clerk", "on", ">pass", "~*", "+@all", "-wait")
    async with AsyncOMSClient(pair.primary.replace("//", "//clerk:pass@"), durable=1) as clerk:
        with pytest.raises(TooFewReplicas) as error:
            await clerk.enqueue("q", 1)
    assert error.value.replicas == 0
    assert isinstance(error.value.__cause__, StoreRefused)


@pytest.mark.usefixtures("oms", "frozen")
async def test_without_durable_nothing_is_waited_for(pair: Pair, primary: Raw) -> None:
    primary("DEL", "queue:q:mark")
    async with AsyncOMSClient(pair.primary) as plain:
        await plain.enqueue("q", 1)
        primary("CONFIG", "RESETSTAT")
        await plain.enqueue("q", 1)
    stats = primary("INFO", "commandstats")
    assert "cmdstat_wait" not in stats
    assert stats["cmdstat_evalsha"]["calls"] == 1
    assert "queue:q:mark" not in primary.names()


def test_durable_is_a_number_of_replicas_of_a_server() -> None:
    with pytest.raises(ConfigInvalid, match="memory:// has none"):
        AsyncOMSClient("memory://", durable=1)
    with pytest.raises(ConfigInvalid, match="durable=-1 is not a whole number"):
        AsyncOMSClient("redis://127.0.0.1:1/0", durable=-1)
    with pytest.raises(ConfigInvalid, match="durable=True is not a whole number"):
        AsyncOMSClient("redis://127.0.0.1:1/0", durable=True)
