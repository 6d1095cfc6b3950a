"""`oms.audit`: who did what, as the client tells it."""

import os
import socket

import pytest

from hms_async import Actor, AsyncOMSClient
from hms_async.errors import ConfigInvalid, QueueNotFound, WrongState

ANN = Actor("ann", "dashboard", "her own")


async def acts(oms: AsyncOMSClient, queue: str | None = None) -> list[tuple[str, str, str, str]]:
    page = await oms.audit(queue)
    return [(entry.act, entry.who, entry.via, entry.reason) for entry in reversed(page.entries)]


async def test_every_act_names_who_did_it_and_why(oms: AsyncOMSClient) -> None:
    await oms.create_queue("q", sla="1h", reason="new desk", by=ANN)
    await oms.pause("q", reason="lunch", by=ANN)
    await oms.sla.pause("q", reason="long lunch", by=ANN)
    await oms.resume("q", by=ANN)
    await oms.enqueue("q", 1, id="t")
    await oms.bump("t", reason="he waits here", by=ANN)
    await oms.sla.waive("t", reason="agreed", by=ANN)
    await oms.cancel("t", by=ANN)
    await oms.requeue("t", reason="after all", by=ANN)
    await oms.run_again("t", reason="with a new scan", by=ANN)

    told = [(act, reason) for act, who, _, reason in await acts(oms, "q") if who == "ann"]

    assert told == [
        ("configure", "new desk"),
        ("pause", "lunch"),
        ("pause", "long lunch"),
        ("resume", "her own"),
        ("bump", "he waits here"),
        ("waive", "agreed"),
        ("cancel", "her own"),
        ("requeue", "after all"),
        ("run_again", "with a new scan"),
    ]
    assert {via for _, _, via, _ in await acts(oms)} == {"dashboard"}


async def test_who_says_nothing_is_this_process(oms: AsyncOMSClient) -> None:
    await oms.create_queue("q")

    assert await acts(oms) == [
        ("configure", f"{socket.gethostname()}-{os.getpid()}", "client", ""),
    ]


async def test_a_client_may_say_once_for_whom_it_acts(store_url: str) -> None:
    async with AsyncOMSClient(store_url, by=Actor("desk-7", "rest")) as oms:
        await oms.create_queue("q", sla="1h")
        await oms.sla.pause("q", reason="lunch")

        assert await acts(oms) == [
            ("configure", "desk-7", "rest", ""),
            ("pause", "desk-7", "rest", "lunch"),
        ]


async def test_what_is_refused_or_changes_nothing_leaves_no_entry(oms: AsyncOMSClient) -> None:
    await oms.create_queue("q")
    await oms.create_queue("q")
    assert not await oms.resume("q")
    await oms.enqueue("q", 1, id="t", priority="high")
    await oms.bump("t")
    with pytest.raises(WrongState):
        await oms.requeue("t")
    with pytest.raises(WrongState):
        await oms.sla.waive("t", reason="no promise")

    assert [act for act, *_ in await acts(oms)] == ["configure"]


async def test_pages_go_on_over_all_queues(oms: AsyncOMSClient) -> None:
    for name in ("a", "b", "c"):
        await oms.create_queue(name)

    first = await oms.audit(limit=2)
    second = await oms.audit(cursor=first.cursor, limit=2)

    assert [entry.queue for entry in first.entries] == ["c", "b"]
    assert [entry.queue for entry in second.entries] == ["a"]
    assert second.cursor is None


async def test_what_makes_no_sense_is_refused(oms: AsyncOMSClient) -> None:
    with pytest.raises(QueueNotFound):
        await oms.audit("none")
    with pytest.raises(ConfigInvalid):
        await oms.audit(limit=501)
    with pytest.raises(ConfigInvalid):
        await oms.audit(cursor="yesterday")
