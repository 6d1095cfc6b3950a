"""A claim whose answer comes when others have the slots."""

from typing import Any

import anyio
import pytest

from hms_async import AsyncOMSClient, AsyncWorker, StoreRefused, StoreUnavailable, Task, handler
from hms_async.runtime import carrier
from hms_async.storage.store import Store
from hms_async.testing import running
from tests.runtime.support import PATIENCE_S


async def test_what_finds_no_slot_any_more_is_handed_back(
    oms: AsyncOMSClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, tries, refused, go_on = Store.exchange, 0, anyio.Event(), anyio.Event()

    async def exchange(self: Store, queue: str, **options: Any) -> Any:
        nonlocal tries
        reply = await original(self, queue, **options)
        if queue == "a" and options["want"]:
            tries += 1
            if tries == 1:
                raise StoreUnavailable("claimed, and unheard")
            if tries == 2:
                refused.set()
                raise StoreRefused("and then refused")
        return reply

    @handler(queue="a")
    async def quick(_task: Task[Any]) -> None:
        return None

    @handler(queue="b")
    async def slow(task: Task[Any]) -> None:
        if task.payload == "long":
            await go_on.wait()
        else:
            await anyio.sleep(0.2)

    monkeypatch.setattr(carrier, "_FAULT_REST_S", 0.1)
    for queue in ("a", "b"):
        await oms.create_queue(queue)
    with anyio.fail_after(PATIENCE_S):
        async with running(AsyncWorker(handlers=[quick, slow], concurrency=2, url=oms.url)):
            monkeypatch.setattr(Store, "exchange", exchange)
            ids = [one.id for one in await oms.enqueue_many("a", [1, 2])]
            await refused.wait()
            await oms.enqueue_many("b", ["short", "long"])
            for task_id in ids:
                await oms.result(task_id, timeout=PATIENCE_S)
            go_on.set()

    assert (await oms.stats("a")).balanced
