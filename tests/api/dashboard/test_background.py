"""Failed tasks by kind, operations and the audit, as pages show them."""

import httpx
import pytest

from hms_async import AsyncOMSClient, RetryPolicy
from hms_async.api.dashboard.pages import failed as failed_page
from hms_async.domain.fingerprint import fingerprint
from tests.api.dashboard.support import do, open_form, sign_in, token_text

TORN = [f"photo {n} of 'REQ-{n}' is torn" for n in range(3)]
KIND = fingerprint("Failed", TORN[0])


async def fail(oms: AsyncOMSClient, queue: str, *messages: str) -> list[str]:
    """Let a new task fail with each message; returns their ids."""
    ids: list[str] = []
    for message in messages:
        ids.append((await oms.enqueue(queue, 1)).id)
        task = await oms.pop_task(queue)
        assert task is not None
        await task.fail(message)
    return ids


async def test_failures_of_one_kind_are_one_row(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await fail(oms, queue, *TORN)
    (other,) = await fail(oms, queue, "no such customer")
    await oms.create_queue("mail", retry=RetryPolicy(max_attempts=5, base="1h"))
    await fail(oms, "mail", TORN[0])
    await oms.enqueue("mail", 1)
    task = await oms.pop_task("mail")
    assert task is not None
    await task.fail(TORN[1], retryable=True)

    page = (await http.get("/ui/failed")).text
    assert "5 failed tasks of 3 kinds." in page
    assert "photo # of # is torn" in page
    no_customer = fingerprint("Failed", "no such customer")
    rows = {
        part.partition('"')[0]: part.partition("</tr>")[0] for part in page.split('id="kind-')[1:]
    }
    assert set(rows) == {
        f"{queue}-{KIND}",
        f"mail-{KIND}",
        f"{queue}-{no_customer}",
    }
    assert "<b>3</b>" in rows[f"{queue}-{KIND}"]
    assert "Retry all 3" in rows[f"{queue}-{KIND}"]
    assert "/do/requeue?of=" in rows[f"{queue}-{KIND}"]
    assert 'data-label="Also retrying">1</td>' in rows[f"mail-{KIND}"]
    assert f"/t/{other}/do/requeue?of=" not in rows[f"{queue}-{no_customer}"]  # there is but one
    assert "data-act>Retry</a>" in rows[f"{queue}-{no_customer}"]

    one = (await http.get(f"/ui/failed?fingerprint={KIND}")).text
    assert one.count('id="kind-') == 2
    assert (await http.get("/ui/failed?queue=mail")).text.count('id="kind-') == 1
    assert (await http.get("/ui/failed?fingerprint=odd")).status_code == 422
    assert (await http.get("/ui/failed?queue=none")).status_code == 200


async def test_where_nothing_has_failed_that_is_said(http: httpx.AsyncClient, queue: str) -> None:
    assert "Nothing has failed." in (await http.get(f"/ui/failed?queue={queue}")).text


async def test_one_is_tried_before_the_others(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    ids = await fail(oms, queue, *TORN)
    await fail(oms, queue, "no such customer")

    location = await do(http, f"/t/{ids[-1]}/do/requeue?of={KIND}", reason="mended")
    assert location == f"/ui/t/{ids[-1]}?did=first&of={KIND}"
    assert (await oms.get_task(ids[-1])).state == "waiting"
    others = f"/ui/failed?fingerprint={KIND}&amp;tried={ids[-1]}"
    assert f'href="{others}"' in (await http.get(location)).text
    task = await oms.pop_task(queue)
    assert task is not None
    await task.complete()
    page = (await http.get(others.replace("&amp;", "&"))).text
    assert "is done: the others may follow" in page
    assert "2 failed tasks of this kind." in page

    path = f"/q/{queue}/tasks/do/requeue?state=failed&fingerprint={KIND}"
    assert f'href="/ui{path.replace("&", "&amp;")}"' in page
    asked = await open_form(http, path)
    assert "Requeue 2 tasks" in asked.page.text
    assert f"state=failed,fingerprint={KIND}" in asked.page.text
    begun = await do(http, path, reason="mended")
    operation = await oms.operations.wait(begun.partition("?")[0].rpartition("/")[2], "20s")

    assert (operation.done, operation.where.fingerprint) == (2, KIND)
    assert (await oms.stats(queue)).failed == 1  # that of another kind


async def test_only_the_newest_are_looked_at_and_that_is_said(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_page, "LOOKED_AT", 20)
    await fail(oms, queue, *(f"photo {n} is torn" for n in range(25)))

    page = (await http.get("/ui/failed")).text

    assert "25 failed tasks; the newest 20 are of 1 kind." in page


async def test_an_operation_shows_how_far_it_is_and_whom_it_could_not_help(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    assert "No operation runs." in (await http.get("/ui/operations")).text
    await oms.enqueue_many(queue, range(3))
    begun = await oms.operations.start("cancel", queue, rate=50, reason="a test batch")
    running = (await http.get("/ui/operations")).text
    assert "1 operation runs." in running
    assert f'href="/ui/operations/{begun.id}/stop"' in running
    assert '<progress class="wide" max="3" value="' in running

    await oms.operations.wait(begun.id, "20s")
    page = (await http.get(f"/ui/operations/{begun.id}")).text
    assert "Done to 3 tasks." in page
    assert "a test batch" in page
    assert "/stop" not in page
    assert (await http.get("/ui/operations/none")).status_code == 404


async def test_the_audit_is_for_administrators_and_goes_page_by_page(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    for _ in range(60):
        await oms.pause(queue, reason="ledger down")
        await oms.resume(queue, reason="ledger back")
    operator, admin = [await token_text(oms, role) for role in ("operator", "admin")]
    await sign_in(http, operator)
    assert "ledger down" not in (await http.get("/ui/operations")).text
    assert (await http.get("/ui/audit")).status_code == 403
    await sign_in(http, admin)
    assert "ledger down" in (await http.get("/ui/operations")).text

    first = (await http.get(f"/ui/audit?queue={queue}")).text
    following = first.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0]
    second = await http.get(f"/ui/audit{following.replace('&amp;', '&')}")

    assert first.count("ledger down") == 50
    assert second.text.count("ledger down") == 10
    assert "configure" in second.text
    assert (await http.get("/ui/audit?queue=none")).status_code == 404


async def test_a_list_goes_past_what_was_cancelled_and_no_worker_has_swept_up(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await oms.enqueue_many(queue, range(150))
    purged = await oms.purge(queue)
    await oms.operations.wait(purged.id, "20s")
    await oms.enqueue(queue, 1, id="still-here")

    assert "still-here" in (await http.get(f"/ui/q/{queue}/tasks")).text
    assert "still-here" in (await http.get(f"/ui/q/{queue}")).text
