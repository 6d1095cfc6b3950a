"""Every line of bad input has its own error, which says what is wrong and what to do."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hms_async import (
    AsyncOMSClient,
    AsyncWorker,
    ClientClosed,
    ConfigInvalid,
    DurationInvalid,
    Enqueued,
    EnqueueManyError,
    HMSError,
    IdInUse,
    InstantInvalid,
    NameInvalid,
    NewTask,
    PayloadInvalid,
    PayloadTooLarge,
    QueueFull,
    QueueNotFound,
    RetryPolicy,
    Supervisor,
    TaskState,
    WrongEventLoop,
)

Use = Callable[[Any], Awaitable[object]]  # Any: callers without types are the subject here
WRONG: dict[str, tuple[Use, type[HMSError], str]] = {
    "enqueue_unknown_queue": (
        lambda oms: oms.enqueue("nowhere", 1),
        QueueNotFound,
        "hms queue create nowhere",
    ),
    "pop_unknown_queue": (
        lambda oms: oms.pop_task("nowhere", timeout=0),
        QueueNotFound,
        "create it first",
    ),
    "stats_unknown_queue": (lambda oms: oms.stats("nowhere"), QueueNotFound, "nowhere"),
    "pause_unknown_queue": (lambda oms: oms.pause("nowhere"), QueueNotFound, "nowhere"),
    "get_unknown_queue": (lambda oms: oms.get_queue("nowhere"), QueueNotFound, "nowhere"),
    "list_unknown_queue": (lambda oms: oms.list_tasks("nowhere", "done"), QueueNotFound, "nowhere"),
    "events_of_unknown_queue": (lambda oms: anext(oms.events("nowhere")), QueueNotFound, "nowhere"),
    "queue_name_with_a_space": (
        lambda oms: oms.enqueue("a b", 1),
        NameInvalid,
        "queue name 'a b' is not valid",
    ),
    "queue_name_with_a_dash": (lambda oms: oms.create_queue("-q"), NameInvalid, "letter or digit"),
    "queue_name_too_long": (lambda oms: oms.create_queue("q" * 129), NameInvalid, "1 to 128"),
    "queue_name_of_bytes": (lambda oms: oms.create_queue(b"q"), NameInvalid, "queue name b'q'"),
    "task_id_with_a_colon": (
        lambda oms: oms.enqueue("q", 1, id="a:b"),
        NameInvalid,
        "task id 'a:b'",
    ),
    "get_task_id_with_a_colon": (lambda oms: oms.get_task("a:b"), NameInvalid, "task id 'a:b'"),
    "empty_correlation_id": (
        lambda oms: oms.enqueue("q", 1, correlation_id=""),
        NameInvalid,
        "correlation_id=''",
    ),
    "correlation_id_no_unicode": (
        lambda oms: oms.enqueue("q", 1, correlation_id="\ud800"),
        NameInvalid,
        "surrogate",
    ),
    "key_too_long": (
        lambda oms: oms.enqueue("q", 1, idempotency_key="k" * 513),
        NameInvalid,
        "1 to 512",
    ),
    "naive_eta": (
        lambda oms: oms.enqueue("q", 1, eta=datetime(2030, 1, 1)),  # noqa: DTZ001
        InstantInvalid,
        "time zone",
    ),
    "eta_of_text": (
        lambda oms: oms.enqueue("q", 1, eta="2030-01-01"),
        InstantInvalid,
        "not a datetime",
    ),
    "delay_of_words": (
        lambda oms: oms.enqueue("q", 1, delay="soon"),
        DurationInvalid,
        'delay=.*give "90s"',
    ),
    "negative_delay": (lambda oms: oms.enqueue("q", 1, delay=-1), DurationInvalid, "delay=-1"),
    "delay_of_a_bool": (lambda oms: oms.enqueue("q", 1, delay=True), DurationInvalid, "delay=True"),
    "sla_of_nothing": (
        lambda oms: oms.enqueue("q", 1, sla="0s"),
        DurationInvalid,
        "sla='0s' is too short",
    ),
    "pop_timeout": (lambda oms: oms.pop_task("q", timeout="x"), DurationInvalid, "timeout='x'"),
    "result_timeout": (lambda oms: oms.result("x", timeout="x"), DurationInvalid, "timeout='x'"),
    "lease_too_short": (
        lambda oms: oms.create_queue("q", lease="2s"),
        DurationInvalid,
        "at least 3s",
    ),
    "max_depth_of_nothing": (
        lambda oms: oms.create_queue("q", max_depth=0),
        ConfigInvalid,
        "max_depth=0",
    ),
    "max_crashes_of_text": (
        lambda oms: oms.create_queue("q", max_crashes="3"),
        ConfigInvalid,
        "max_crashes='3'",
    ),
    "rung_of_words": (
        lambda oms: oms.create_queue("q", ladder=["soon"]),
        ConfigInvalid,
        "soon.* is not a rung",
    ),
    "unknown_priority": (
        lambda oms: oms.enqueue("q", 1, priority="urgent"),
        ConfigInvalid,
        '"normal", "high"',
    ),
    "delay_and_eta": (
        lambda oms: oms.enqueue("q", 1, delay=1, eta=datetime.now(UTC)),
        ConfigInvalid,
        "either delay or eta",
    ),
    "payload_too_large": (
        lambda oms: oms.enqueue("q", "x" * 1_001),
        PayloadTooLarge,
        "at most 1000 bytes",
    ),
}

deep: list[Any] = []
for _ in range(300):
    deep = [deep]


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        (float("nan"), "$"),
        ({"a": [1, float("inf")]}, "$.a[1]"),
        (b"bytes", "$"),
        ({"photos": [{"tags": {1}}]}, "$.photos[0].tags"),
        ({1: "a"}, "$"),
        ({"when": datetime.now(UTC)}, "$.when"),
        ("\ud800", "$"),
        (deep, "$" + "[0]" * 200),
    ],
)
async def test_a_payload_that_is_not_json_is_refused_with_the_path(
    oms: AsyncOMSClient, payload: object, path: str
) -> None:
    await oms.create_queue("q")
    for use in (oms.enqueue("q", payload), oms.enqueue_many("q", [1, payload])):
        with pytest.raises(PayloadInvalid) as error:
            await use
        assert error.value.path == path

    assert (await oms.stats("q")).waiting == 0


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in WRONG.items()])
async def test_what_cannot_be_meant_is_refused(
    oms: AsyncOMSClient, case: tuple[Use, type[HMSError], str]
) -> None:
    use, error, says = case
    await oms.create_queue("q", max_payload_bytes=1_000)

    with pytest.raises(error, match=says):
        await use(oms)

    assert (await oms.stats("q")).open == 0


async def test_an_id_that_is_taken_in_another_queue_is_refused(oms: AsyncOMSClient) -> None:
    for queue in ("a", "b"):
        await oms.create_queue(queue)
    await oms.enqueue("a", 1, id="mine")

    with pytest.raises(IdInUse, match='taken by a task of queue "a"') as error:
        await oms.enqueue("b", 1, id="mine")

    assert (error.value.task_id, error.value.queue) == ("mine", "a")


async def test_a_full_queue_takes_no_more(oms: AsyncOMSClient) -> None:
    await oms.create_queue("q", max_depth=2)
    await oms.enqueue_many("q", [1, 2])

    with pytest.raises(QueueFull, match="holds 2 tasks") as error:
        await oms.enqueue("q", 3)

    assert (error.value.queue, error.value.max_depth) == ("q", 2)


async def test_refusals_among_many_come_one_by_one(oms: AsyncOMSClient) -> None:
    await oms.create_queue("q", max_depth=2, max_payload_bytes=100)
    await oms.create_queue("other")
    await oms.enqueue("other", 1, id="taken")
    items: list[Any] = ["a", "x" * 200, NewTask("b", id="taken"), NewTask("c", id="mine"), "d"]

    with pytest.raises(EnqueueManyError, match="3 of 5 tasks were refused") as error:
        await oms.enqueue_many("q", items)

    kinds = [type(result) for result in error.value.results]
    assert kinds == [Enqueued, PayloadTooLarge, IdInUse, Enqueued, QueueFull]
    page = await oms.list_tasks("q", TaskState.WAITING)
    assert [task.payload for task in page.tasks] == ["a", "c"]


async def test_many_of_none_is_nothing(oms: AsyncOMSClient) -> None:
    assert await oms.enqueue_many("q", []) == []


@pytest.mark.parametrize("url", ["localhost:6379", "http://host", "redis"])
def test_a_url_that_is_none_is_refused_before_anything_happens(url: str) -> None:
    async def handle(_task: Any) -> None: ...

    for make in (
        lambda: AsyncOMSClient(url),
        lambda: AsyncWorker(queue="q", handler=handle, url=url),
        lambda: Supervisor(url),
    ):
        with pytest.raises(ConfigInvalid, match="write redis://host:6379/0"):
            make()


def test_a_password_is_never_told() -> None:
    for text in (
        repr(AsyncOMSClient("redis://:secret@h/0")),
        repr(Supervisor("redis://:secret@h")),
    ):
        assert "secret" not in text
    with pytest.raises(ConfigInvalid) as error:
        AsyncOMSClient("rdis://user:secret@h/0")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: RetryPolicy(max_attempts=0), "max_attempts=0"),
        (lambda: RetryPolicy(base="x"), "retry.base='x'"),
        (lambda: RetryPolicy(cap=timedelta(seconds=-1)), "retry.cap"),
    ],
)
def test_a_retry_policy_that_cannot_be_is_refused(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ConfigInvalid, match=says):
        make()


async def test_a_client_outside_its_block_says_so(store_url: str) -> None:
    oms = AsyncOMSClient(store_url)
    with pytest.raises(ClientClosed, match="use it inside `async with"):
        await oms.enqueue("q", 1)
    async with oms:
        with pytest.raises(ClientClosed, match="open already"):
            await oms.__aenter__()
    with pytest.raises(ClientClosed):
        await oms.stats("q")


async def test_a_client_may_be_opened_again(store_url: str) -> None:
    oms = AsyncOMSClient(store_url)
    for _ in range(2):
        async with oms:
            await oms.create_queue("q")


def test_a_client_in_two_event_loops_says_so(store_url: str) -> None:
    first, second = asyncio.Runner(), asyncio.Runner()
    with first, second:
        oms = AsyncOMSClient(store_url)
        first.run(oms.__aenter__())
        with pytest.raises(WrongEventLoop, match="open one in each loop"):
            second.run(oms.enqueue("q", 1))
        first.run(oms.__aexit__())


async def test_a_client_is_opened_and_closed_in_whatever_task(
    store_url: str, fixture_client: AsyncOMSClient
) -> None:
    assert fixture_client.url == store_url
    assert await fixture_client.list_queues() == []


@pytest.fixture
async def fixture_client(store_url: str) -> AsyncGenerator[AsyncOMSClient]:
    """Set up in one task and torn down in another, as pytest does it."""
    async with AsyncOMSClient(store_url) as client:
        yield client


async def test_many_tasks_for_an_unknown_queue_are_one_error(oms: AsyncOMSClient) -> None:
    with pytest.raises(QueueNotFound, match="create it first"):
        await oms.enqueue_many("nowhere", [1, 2])
