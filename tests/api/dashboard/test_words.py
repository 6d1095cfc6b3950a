"""What the pages say, in words that need no explanation."""

import httpx
import pytest

from hms_async import AsyncOMSClient
from hms_async.api.dashboard import words


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('no task "t1"', 'No task "t1".'),
        ("token:X lacks the right", "token:X lacks the right."),
        ("all 3 that wait", "All 3 that wait."),
        ("Failed: and so on…", "Failed: and so on…"),
        ("Why?", "Why?"),
        ("", "."),
    ],
)
def test_a_text_becomes_a_sentence(text: str, told: str) -> None:
    assert words.told(text) == told


async def test_what_is_not_there_is_told_in_plain_words(http: httpx.AsyncClient) -> None:
    page = await http.get("/ui/t/nothing")

    assert page.status_code == 404
    assert "<h1>Nothing is here</h1>" in page.text
    assert "No task &#34;nothing&#34;" in page.text


async def test_a_task_without_a_case_is_told_from_others_by_the_end_of_its_id(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    task = await oms.enqueue(queue, 1)
    page = (await http.get(f"/ui/q/{queue}")).text
    assert f'<span class="name">{words.short_id(task.id)}</span>' in page
    assert page.count(words.short_id(task.id)) == 1

    shown = (await http.get(f"/ui/t/{task.id}")).text
    assert "its case" not in shown


async def test_a_rung_that_comes_after_the_promise_says_how_long_after(
    http: httpx.AsyncClient, oms: AsyncOMSClient
) -> None:
    await oms.create_queue("kyc", sla="1h", ladder=["100% breach", "100%+15m page"])
    task = await oms.enqueue("kyc", 1)

    page = (await http.get(f"/ui/t/{task.id}")).text

    assert "100% breach" in page
    assert "100% + 15m page" in page


async def test_what_a_handler_gave_up_is_told_in_its_own_words(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str
) -> None:
    await oms.enqueue(queue, 1)
    task = await oms.pop_task(queue)
    assert task is not None
    await task.fail("the scan is torn")

    told = (await http.get(f"/ui/q/{queue}/tasks?state=failed")).text
    assert ">the scan is torn</td>" in told
    assert (
        "Failed after 1 attempt, in time: the scan is torn."
        in (await http.get(f"/ui/t/{task.id}")).text
    )
