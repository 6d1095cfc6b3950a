"""All queues on a page: their sparklines, and who works for them."""

import re

import httpx
import pytest

from hms_async import AsyncOMSClient
from hms_async.api.dashboard import charts
from hms_async.api.dashboard.standing import Slots
from hms_async.domain.series import MINUTE_MS
from hms_async.domain.worker import WorkerCard
from hms_async.storage.store import Store

NOW_MS = 100 * MINUTE_MS + 30_000


def test_a_sparkline_goes_over_thirty_minutes_that_are_over() -> None:
    trend = {at * MINUTE_MS: 1_000.0 for at in (69, 70, 71, 99, 100)}
    line = charts.sparkline(trend, 4_000, NOW_MS)

    assert line is not None
    # Of minute 69 and of the present one nothing is drawn; minute 99 stands alone at the end.
    assert line.points == "M0 15.0L1 15.0M29 15.0h0"
    assert (line.promise, line.late) == (0.0, False)
    assert line.summary == "p95 of waits in 30 min: last 1s, longest 1s, promise 4s"


def test_a_wait_beyond_the_promise_draws_it_lower() -> None:
    line = charts.sparkline({98 * MINUTE_MS: 8_000.0}, 2_000, NOW_MS)

    assert line is not None
    assert (line.points, line.promise, line.late) == ("M28 0.0h0", 15.0, True)


@pytest.mark.parametrize("trend", [{}, {69 * MINUTE_MS: 1.0}, {100 * MINUTE_MS: 1.0}])
def test_without_any_attempt_there_is_no_sparkline(trend: dict[int, float]) -> None:
    assert charts.sparkline(trend, None, NOW_MS) is None


def test_without_a_promise_there_is_no_line_for_it() -> None:
    line = charts.sparkline({99 * MINUTE_MS: 0.0}, None, NOW_MS)

    assert line is not None
    assert (line.points, line.promise, "promise" in line.summary) == ("M29 20.0h0", None, False)


def test_slots_of_workers_are_what_they_have_said() -> None:
    def card(slots: int | None = None, running: int | None = None) -> WorkerCard:
        return WorkerCard(
            name="w", via="native", queues=("q",), seen_ms=0, slots=slots, running=running
        )

    assert Slots.of([card(4, 3), card(2), card()]) == (3, 6)
    assert Slots.of([]) == (0, 0)


async def test_a_row_has_its_sparkline_and_says_it_in_words(
    http: httpx.AsyncClient, oms: AsyncOMSClient, queue: str, store_url: str
) -> None:
    await oms.create_queue("idle")
    async with Store(store_url) as store:
        now_ms = store.now_ms(await store.ask("TIME"))
        key = store.keys.part(queue, f"stats:{now_ms // MINUTE_MS - 2}")
        await store.ask("HSET", key, "wait:5", 1)

    page = (await http.get("/ui/")).text
    rows = dict(re.findall(r'<tr id="q-(\w+)">(.*?)</tr>', page, re.DOTALL))

    assert "p95 of waits in 30 min: last 975ms" in rows[queue]
    assert re.search(r'<path class="in" d="M2[78] [\d.]+h0"/>', rows[queue])
    assert '<svg class="chart"' not in rows["idle"]
