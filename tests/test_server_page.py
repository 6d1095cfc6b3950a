import re
from pathlib import Path
from typing import Any

from hms_async import AsyncOMSClient, Task
from hms_async.runtime.doctor import examine
from hms_async.storage.store import Store
from tests.runtime.support import PATIENCE_S, burst, worker
from tests.servers import Raw, on_real_servers

PAGE = Path(__file__).parent.parent / "docs/server.md"


async def echo(task: Task[Any]) -> object:
    return task.payload


@on_real_servers
async def test_the_rights_on_the_page_are_enough(store_url: str, raw: Raw) -> None:
    (line,) = re.findall(r"ACL SETUSER hms on >PASSWORD (.+)", PAGE.read_text())
    raw("ACL", "SETUSER", "clerk", "reset", "on", ">pass", *line.split())
    url = store_url.replace("//", "//clerk:pass@")
    try:
        async with AsyncOMSClient(url) as oms:
            await oms.create_queue("q", sla="2h")
            one = await oms.enqueue("q", 1, correlation_id="c", idempotency_key="k")
            later = await oms.enqueue("q", 2, delay="1h")
            async with worker(url, echo):
                assert await oms.result(one.id, timeout=PATIENCE_S) == 1
            await burst(url, echo)
            assert await oms.pop_task("q", timeout=0.1) is None
            assert (await oms.stats("q")).scheduled == 1
            await oms.cancel(later.id)
            await oms.requeue(later.id)
            assert [task.id for task in (await oms.list_tasks("q", "waiting")).tasks] == [later.id]
            assert await oms.tokens.list() == []
        async with Store(url) as store:
            (found,) = [one for one in await examine(store) if one.check == "rights"]
            assert (found.level, found.todo) == ("green", "")
    finally:
        raw("ACL", "DELUSER", "clerk")
