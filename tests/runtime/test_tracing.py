"""Spans, as an exporter of the OpenTelemetry SDK gets them: each row of docs/tracing.md."""

from collections.abc import Generator, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, format_span_id, format_trace_id
from structlog.testing import capture_logs

from hms_async import AsyncOMSClient, LeaseLost, NewTask, Supervisor, Task
from hms_async.api.app import create_app
from hms_async.errors import EnqueueManyError, QueueNotFound
from hms_async.storage.store import Store
from hms_async.telemetry.carrying import MOST_LINKS
from hms_async.telemetry.tracing import SCHEMA_URL
from hms_async.testing import ManualClock
from tests.runtime.support import PATIENCE_S, QUICK, burst, lose_leases

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
tracer = trace.get_tracer("app")


class Told:
    """What has been exported."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def all(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.all(name)
        return span

    def root_of(self, span: ReadableSpan) -> str | None:
        """Return what is above all that is known of a span's trace."""
        known = {traceparent(one): one for one in self._exporter.get_finished_spans()}
        above = parent(span)
        while above in known:
            above = parent(known[above])
        return above

    def names(self) -> list[str]:
        return sorted(span.name for span in self._exporter.get_finished_spans())


@pytest.fixture(scope="module")
def broken() -> "Broken":
    return Broken()


@pytest.fixture(scope="module")
def exporter(broken: "Broken") -> Iterator[InMemorySpanExporter]:
    """A provider as a service sets one up; it can be set but once in a process."""
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(broken)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "_TRACER_PROVIDER", provider)
        yield kept


@pytest.fixture
def told(exporter: InMemorySpanExporter) -> Generator[Told]:
    exporter.clear()
    # Each test in a context of its own: nothing is current.
    token = context.attach(context.Context())
    yield Told(exporter)
    context.detach(token)


@pytest.fixture(autouse=True)
async def _queue(oms: AsyncOMSClient, told: Told) -> None:
    assert told.names() == []
    await oms.create_queue("q", sla="2h", retry=QUICK)
    await oms.create_queue("empty")


def attributes(span: ReadableSpan) -> dict[str, Any]:
    assert span.attributes is not None
    return dict(span.attributes)


def traceparent(span: ReadableSpan) -> str:
    own = span.get_span_context()
    assert own is not None
    return written(own)


def written(one: SpanContext) -> str:
    ids = f"{format_trace_id(one.trace_id)}-{format_span_id(one.span_id)}"
    return f"00-{ids}-{one.trace_flags:02x}"


def linked(span: ReadableSpan) -> list[str]:
    return [written(link.context) for link in span.links]


def parent(span: ReadableSpan) -> str | None:
    return None if span.parent is None else written(span.parent)


async def succeed(_task: Task[Any]) -> None: ...


async def test_an_enqueue_is_a_producer_and_its_task_carries_it(
    oms: AsyncOMSClient, told: Told
) -> None:
    with tracer.start_as_current_span("request"):
        context.attach(baggage.set_baggage("case", "é 1"))
        await oms.enqueue("q", 1, id="t1", correlation_id="REQ-1")

    span = told.one("enqueue q")
    assert (span.kind, parent(span)) == (SpanKind.PRODUCER, traceparent(told.one("request")))
    found = attributes(span)
    assert (
        found
        | {
            "messaging.system": "hms_async",
            "messaging.operation.name": "enqueue",
            "messaging.operation.type": "send",
            "messaging.destination.name": "q",
            "messaging.message.id": "t1",
            "messaging.message.conversation_id": "REQ-1",
        }
        == found
    )
    assert found.get("server.address") in ("127.0.0.1", None)
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.schema_url == SCHEMA_URL
    popped = await oms.pop_task("q", timeout=0)
    assert popped is not None
    assert (popped.traceparent, popped.baggage) == (traceparent(span), "case=%C3%A9+1")


async def test_a_context_given_by_hand_is_kept_and_linked(oms: AsyncOMSClient, told: Told) -> None:
    await oms.enqueue("q", 1, id="t1", traceparent=PARENT)

    span = told.one("enqueue q")
    assert (span.kind, linked(span)) == (SpanKind.CLIENT, [PARENT])
    assert (await oms.get_task("t1")).traceparent == PARENT


async def test_an_enqueue_that_fails_is_an_error(oms: AsyncOMSClient, told: Told) -> None:
    with pytest.raises(QueueNotFound):
        await oms.enqueue("gone", 1)

    span = told.one("enqueue gone")
    assert span.status.status_code is StatusCode.ERROR
    assert attributes(span)["error.type"] == "QueueNotFound"


async def test_each_of_many_has_a_span_that_the_call_links(oms: AsyncOMSClient, told: Told) -> None:
    given = NewTask(3, id="t3", traceparent=PARENT)
    accepted = await oms.enqueue_many("q", [1, NewTask(2, correlation_id="REQ-1"), given])

    span, creates = told.one("enqueue q"), told.all("create q")
    assert (span.kind, linked(span)) == (SpanKind.CLIENT, [*map(traceparent, creates)])
    assert attributes(span)["messaging.batch.message_count"] == 3
    assert [one.kind for one in creates] == [SpanKind.PRODUCER] * 2
    assert attributes(creates[1])["messaging.message.conversation_id"] == "REQ-1"
    carried = [(await oms.get_task(one.id)).traceparent for one in accepted]
    assert carried == [*map(traceparent, creates), PARENT]


@pytest.mark.parametrize(("create", "count"), [("off", 3), ("on", MOST_LINKS + 1)])
async def test_without_spans_of_their_own_many_carry_that_of_the_call(
    oms: AsyncOMSClient, told: Told, monkeypatch: pytest.MonkeyPatch, create: str, count: int
) -> None:
    monkeypatch.setenv("HMS_TRACE_CREATE", create)
    accepted = await oms.enqueue_many("q", list(range(count)))

    span = told.one("enqueue q")
    assert (span.kind, span.links, told.all("create q")) == (SpanKind.PRODUCER, (), [])
    carried = {(await oms.get_task(one.id)).traceparent for one in accepted[:3]}
    assert carried == {traceparent(span)}


async def test_many_that_are_refused_are_an_error(oms: AsyncOMSClient, told: Told) -> None:
    await oms.create_queue("q", max_depth=1)
    with pytest.raises(EnqueueManyError):
        await oms.enqueue_many("q", [1, 2])

    assert attributes(told.one("enqueue q"))["error.type"] == "EnqueueManyError"


async def test_an_attempt_is_a_consumer_in_a_trace_of_its_own_linked_to_who_asked(
    oms: AsyncOMSClient, told: Told
) -> None:
    seen: list[Any] = []

    async def handle(task: Task[Any]) -> None:
        with tracer.start_as_current_span("inside"):
            await anyio.lowlevel.checkpoint()
        seen.append((task.id, baggage.get_baggage("case"), baggage.get_baggage("other")))

    await oms.enqueue("q", 1, id="t1", correlation_id="REQ-1", baggage="case=1")
    with tracer.start_as_current_span("elsewhere"):
        await burst(oms.url, handle, name="w-1")

    asked, span = told.one("enqueue q"), told.one("process q")
    assert (span.kind, parent(span), linked(span)) == (
        SpanKind.CONSUMER,
        None,
        [traceparent(asked)],
    )
    assert parent(told.one("inside")) == traceparent(span)
    assert seen == [("t1", "1", None)]
    found = attributes(span)
    assert (
        found
        | {
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.message.id": "t1",
            "messaging.message.conversation_id": "REQ-1",
            "messaging.client.id": "w-1",
            "hms.task.attempt": 1,
            "hms.task.max_attempts": 3,
            "hms.task.outcome": "ok",
            "hms.sla.clock": "on_track",
        }
        == found
    )
    assert found["hms.task.wait"] >= 0
    assert 7_100 < found["hms.sla.time_left"] <= 7_200
    assert span.status.status_code is StatusCode.UNSET


async def test_a_pop_and_a_settlement_are_told_once_a_call_and_an_empty_pop_never(
    oms: AsyncOMSClient, told: Told
) -> None:
    await burst(oms.url, succeed)
    assert told.names() == []

    await oms.enqueue("q", 1, id="t1")
    await burst(oms.url, succeed, name="w-1")
    pop, ack = told.one("pop q"), told.one("ack q")
    assert (pop.kind, linked(pop)) == (SpanKind.CLIENT, [traceparent(told.one("enqueue q"))])
    assert attributes(pop)["messaging.operation.type"] == "receive"
    assert attributes(pop)["messaging.message.id"] == "t1"
    assert (ack.kind, parent(ack)) == (SpanKind.CLIENT, traceparent(told.one("process q")))
    assert attributes(ack) == attributes(ack) | {
        "messaging.operation.name": "ack",
        "messaging.operation.type": "settle",
        "messaging.client.id": "w-1",
    }


async def test_a_batch_has_one_span_that_links_to_each(oms: AsyncOMSClient, told: Told) -> None:
    await oms.enqueue_many("q", list(range(50)))
    await burst(oms.url, succeed, concurrency=50)

    pops, acks, processed = told.all("pop q"), told.all("ack q"), told.all("process q")
    assert len(processed) == 50
    assert len(pops) < 10
    assert len(acks) < 20
    assert sorted(link for one in pops for link in linked(one)) == sorted(
        map(traceparent, told.all("create q"))
    )
    settled = [linked(one) or [str(parent(one))] for one in acks]
    assert sorted(one for each in settled for one in each) == sorted(map(traceparent, processed))


async def test_an_attempt_that_fails_is_an_error_and_the_one_that_succeeds_links_to_it(
    oms: AsyncOMSClient, told: Told
) -> None:
    async def handle(task: Task[Any]) -> None:
        if task.attempt == 1:
            raise ValueError("password=hunter2")

    await oms.enqueue("q", 1, id="t1")
    with anyio.fail_after(PATIENCE_S):
        while len(told.all("process q")) < 2:
            await burst(oms.url, handle)

    first, second = told.all("process q")
    assert first.status.status_code is StatusCode.ERROR
    assert attributes(first)["hms.task.outcome"] == "retry"
    assert attributes(first)["error.type"] == "ValueError"
    (event,) = first.events
    assert event.name == "exception"
    assert "hunter2" not in f"{first.status.description} {first.to_json()}"
    assert parent(told.one("retry q")) == traceparent(first)
    assert told.one("retry q").status.status_code is StatusCode.UNSET

    assert second.status.status_code is StatusCode.UNSET
    assert linked(second) == [traceparent(told.one("enqueue q")), traceparent(first)]
    (attempt,) = (await oms.get_task("t1")).attempts
    assert attempt.traceparent == traceparent(first)


async def test_one_long_trace_is_there_for_the_asking(
    oms: AsyncOMSClient, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HMS_TRACE_PARENT", "child")
    await oms.enqueue("q", 1)
    await burst(oms.url, succeed)

    span = told.one("process q")
    assert (parent(span), span.links) == (traceparent(told.one("enqueue q")), ())


async def test_a_plain_function_runs_inside_its_span_too(oms: AsyncOMSClient, told: Told) -> None:
    def handle(_task: Task[Any]) -> None:
        with tracer.start_as_current_span("inside"):
            pass

    await oms.enqueue("q", 1)
    await burst(oms.url, handle)

    assert parent(told.one("inside")) == traceparent(told.one("process q"))
    assert not trace.get_current_span().get_span_context().is_valid


async def test_a_task_by_hand_is_popped_and_settled_in_its_callers_trace(
    oms: AsyncOMSClient, told: Told
) -> None:
    await oms.enqueue("q", 1, id="t1", traceparent=PARENT)
    with tracer.start_as_current_span("by hand"):
        assert await oms.pop_task("empty", timeout=0) is None
        task = await oms.pop_task("q", timeout=0)
        assert task is not None
        await task.fail("no")

    above = traceparent(told.one("by hand"))
    assert (parent(told.one("pop q")), linked(told.one("pop q"))) == (above, [PARENT])
    assert (told.one("fail q").kind, parent(told.one("fail q"))) == (SpanKind.CLIENT, above)
    assert attributes(told.one("fail q"))["messaging.message.id"] == "t1"


async def test_a_settlement_that_comes_too_late_is_an_error(
    oms: AsyncOMSClient, told: Told
) -> None:
    await oms.enqueue("q", 1)
    task = await oms.pop_task("q", timeout=0)
    assert task is not None
    await lose_leases(oms)
    with pytest.raises(LeaseLost):
        await task.complete()

    assert attributes(told.one("ack q"))["error.type"] == "LeaseLost"


async def test_a_rung_of_the_promise_is_told_with_who_asked(
    told: Told, store: Store, clock: ManualClock
) -> None:
    async with AsyncOMSClient(store=store) as oms:
        await oms.enqueue("q", 1, id="t1", correlation_id="REQ-1", traceparent=PARENT)
    clock.advance("2h")
    await Supervisor(store=store).check_sla()

    span = told.one("sla milestone")
    assert (span.kind, linked(span)) == (SpanKind.INTERNAL, [PARENT])
    found = attributes(span)
    assert (
        found
        | {
            "messaging.destination.name": "q",
            "messaging.message.id": "t1",
            "messaging.message.conversation_id": "REQ-1",
            "hms.sla.milestone": "breach",
            "hms.sla.clock": "breached",
        }
        == found
    )


async def test_over_rest_the_callers_trace_goes_on_both_ways(told: Told, store: Store) -> None:
    app = create_app(store=store)
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    async with (
        app.running(),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
    ):
        caller = {"traceparent": PARENT}
        body = {"queue": "q", "payload": 1, "id": "t1"}
        await http.post("/oms/enqueue", json=body, headers=caller)
        pop = await http.post("/oms/pop", json={"queue": "q", "worker": "go-1"})
        (task,) = pop.json()["tasks"]
        lease = {"id": "t1", "token": task["token"]}
        await http.post("/oms/complete", json=lease, headers=caller)

    asked, popped, ack = (told.one(f"{act} q") for act in ("enqueue", "pop", "ack"))
    assert asked.kind is SpanKind.PRODUCER
    assert task["traceparent"] == traceparent(asked)
    assert linked(popped) == [traceparent(asked)]
    assert attributes(popped)["messaging.client.id"] == "go-1"
    # FastAPI has spans for each request, which go on with its caller's trace.
    assert [told.root_of(span) for span in (asked, popped, ack)] == [PARENT, None, PARENT]
    assert not trace.get_current_span().get_span_context().is_valid


class Broken(SpanProcessor):
    """What an application may hang into its provider."""

    on = False

    def on_start(self, *_: Any, **__: Any) -> None:
        self._fail()

    def on_end(self, *_: Any, **__: Any) -> None:
        self._fail()

    def _fail(self) -> None:
        if self.on:
            raise type("Broken", (Exception,), {})


async def test_processors_that_raise_cost_no_task(
    oms: AsyncOMSClient, told: Told, broken: Broken
) -> None:
    with capture_logs() as logs:
        broken.on = True
        ids = [one.id for one in await oms.enqueue_many("q", [1, 2])]
        ids.append((await oms.enqueue("q", 3)).id)
        await burst(oms.url, succeed)
        broken.on = False

    assert [(await oms.get_task(one)).state for one in ids] == ["done"] * 3
    assert [one["event"] for one in logs].count("tracing.failed") <= 1
    assert told.names() == []


async def test_settings_that_are_none_are_refused(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HMS_TRACE_PARENT", "kin")
    with pytest.raises(ValueError, match='HMS_TRACE_PARENT="kin" is not valid: give link or child'):
        await oms.enqueue("q", 1)
