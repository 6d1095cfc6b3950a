"""The server is killed and comes back: nothing ends, nothing is lost, nothing runs twice."""

import os
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from hms_async import AsyncOMSClient, AsyncWorker, Event, StoreUnavailable, Task, TaskState
from hms_async.runtime import carrier, shutdown
from hms_async.storage.embedded import EmbeddedServer, running, start
from hms_async.testing import running as working
from tests.runtime.support import PATIENCE_S, QUICK


@pytest.fixture
def server(tmp_path: Path) -> Generator[EmbeddedServer]:
    with running(tmp_path) as server:
        yield server


async def kill(server: EmbeddedServer) -> None:
    os.kill(server.pid, signal.SIGKILL)
    with anyio.fail_after(PATIENCE_S):
        while server.alive():  # noqa: ASYNC110  # another process
            await anyio.sleep(0.01)


async def restart(server: EmbeddedServer) -> None:
    await anyio.to_thread.run_sync(lambda: start(server.data_dir, port=server.port))


async def test_an_idle_worker_takes_tasks_again_after_an_outage(server: EmbeddedServer) -> None:
    async def handle(task: Task[Any]) -> object:
        return task.payload

    async with AsyncOMSClient(server.url) as oms:
        await oms.create_queue("q", retry=QUICK)
        async with working(AsyncWorker(queue="q", handler=handle, url=server.url)):
            await kill(server)
            with pytest.raises(StoreUnavailable):
                await oms.stats("q")
            await restart(server)
            enqueued = await oms.enqueue("q", 1)
            assert await oms.result(enqueued.id, timeout=PATIENCE_S) == 1


async def test_an_idle_worker_does_not_wait_for_the_server_to_stop(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier, "LEAVE_AFTER_S", 0.1)

    async def handle(_task: Task[Any]) -> None:
        return None

    async with AsyncOMSClient(server.url) as oms:
        await oms.create_queue("q", retry=QUICK)
        one = AsyncWorker(queue="q", handler=handle, url=server.url, shutdown_timeout="1m")
        with anyio.fail_after(PATIENCE_S), capture_logs() as logs:
            async with working(one):
                await kill(server)
                while "store.down" not in {entry["event"] for entry in logs}:  # noqa: ASYNC110  # only the log tells
                    await anyio.sleep(0.01)


async def test_outcomes_of_an_outage_are_settled_after_it(server: EmbeddedServer) -> None:
    away, back = anyio.Event(), anyio.Event()
    begun: list[object] = []

    async def handle(task: Task[Any]) -> object:
        begun.append(task.payload)
        await away.wait()
        if task.payload == "slow":
            await back.wait()
        return task.payload

    async with AsyncOMSClient(server.url) as oms:
        await oms.create_queue("q", retry=QUICK)
        ids = [one.id for one in await oms.enqueue_many("q", ["quick", "slow"])]
        one = AsyncWorker(queue="q", handler=handle, url=server.url)
        with capture_logs() as logs:
            async with working(one):
                with anyio.fail_after(PATIENCE_S):
                    while len(begun) < 2:
                        await anyio.lowlevel.checkpoint()
                await kill(server)
                away.set()
                with anyio.fail_after(PATIENCE_S):
                    while "store.down" not in [entry["event"] for entry in logs]:
                        await anyio.lowlevel.checkpoint()
                await restart(server)
                back.set()
                results = [await oms.result(task_id, timeout=PATIENCE_S) for task_id in ids]

        assert results == ["quick", "slow"]
        records = [await oms.get_task(task_id) for task_id in ids]
        assert [(record.attempt, record.crashes) for record in records] == [(1, 0), (1, 0)]
        events = [entry["event"] for entry in logs]
        assert (events.count("store.down"), events.count("store.up")) == (1, 1)


async def test_an_enqueue_waits_for_a_server_that_comes_back(server: EmbeddedServer) -> None:
    accepted: list[bool] = []

    async with AsyncOMSClient(server.url) as oms:
        await oms.create_queue("q")
        await kill(server)

        async def enqueue() -> None:
            accepted.append((await oms.enqueue("q", 1)).created)

        async with anyio.create_task_group() as group:
            group.start_soon(enqueue)
            await restart(server)

        assert accepted == [True]
        assert (await oms.stats("q")).waiting == 1


async def test_a_stop_during_an_outage_settles_when_the_server_comes_back(
    server: EmbeddedServer,
) -> None:
    away = anyio.Event()
    begun = anyio.Event()

    async def handle(_task: Task[Any]) -> str:
        begun.set()
        await away.wait()
        return "done"

    async with AsyncOMSClient(server.url) as oms:
        await oms.create_queue("q", retry=QUICK)
        enqueued = await oms.enqueue("q", 1)
        async with working(AsyncWorker(queue="q", handler=handle, url=server.url)) as one:
            await begun.wait()
            await kill(server)
            away.set()
            one.stop()
            await restart(server)

        record = await oms.get_task(enqueued.id)
        assert (record.state, record.result) == (TaskState.DONE, "done")


async def test_cancelled_in_an_outage_a_worker_ends_all_the_same(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutdown, "_LAST_ACT_S", 0.3)
    begun = anyio.Event()

    async def handle(_task: Task[Any]) -> None:
        begun.set()
        await anyio.sleep_forever()

    async with AsyncOMSClient(server.url) as oms:
        await oms.create_queue("q", retry=QUICK)
        await oms.enqueue("q", 1)
    one = AsyncWorker(queue="q", handler=handle, url=server.url)
    with anyio.fail_after(PATIENCE_S), capture_logs() as logs:
        async with anyio.create_task_group() as group:
            group.start_soon(one.run)
            await begun.wait()
            await kill(server)
            group.cancel_scope.cancel()

    assert one.handed_back == 1, "it goes back when its lease ends"
    assert "worker.not_handed_back" in {entry["event"] for entry in logs}


async def test_a_result_is_waited_for_through_an_outage(server: EmbeddedServer) -> None:
    async def echo(task: Task[Any]) -> object:
        return task.payload

    results: list[object] = []
    async with AsyncOMSClient(server.url) as oms:
        await oms.create_queue("q")
        task_id = (await oms.enqueue("q", "Sam")).id

        async def wait() -> None:
            results.append(await oms.result(task_id, timeout=PATIENCE_S))

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await kill(server)
            await restart(server)
            async with working(AsyncWorker(queue="q", handler=echo, url=server.url)):
                with anyio.fail_after(PATIENCE_S):
                    while not results:
                        await anyio.lowlevel.checkpoint()

    assert results == ["Sam"]


@pytest.mark.parametrize("options", [{"after": "0-0"}, {"group": "portal", "after": "0-0"}])
async def test_a_follower_of_events_goes_on_after_an_outage(
    server: EmbeddedServer, options: dict[str, Any]
) -> None:
    heard: list[Event] = []

    async with AsyncOMSClient(server.url) as oms:
        await oms.create_queue("q")

        async def follow() -> None:
            async for event in oms.events("q", **options):
                heard.append(event)
                if event.type == "resumed":
                    return

        with anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as group:
                group.start_soon(follow)
                await oms.pause("q")
                while not heard:
                    await anyio.lowlevel.checkpoint()
                await kill(server)
                with pytest.raises(StoreUnavailable):
                    await oms.stats("q")
                await restart(server)
                await oms.resume("q")

    assert [event.type for event in heard] == ["paused", "resumed"]
