"""All queues on a page: their sparklines, who works for them, and what is foreseen."""

import re

import httpx
import pytest

from hms_async import AsyncOMSClient
from hms_async.api.dashboard import charts
from hms_async.api.dashboard.pages.overview import foreseen
from hms_async.api.dashboard.standing import Slots
from hms_async.domain.forecast import Forecast
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


@pytest.mark.parametrize(
    ("misses", "waiting", "first_ms", "told"),
    [
        (66, 66, NOW_MS - 1, "all 66 that wait will end late"),
        (1, 1, NOW_MS, "the one that waits will end late"),
        (3, 1_200, NOW_MS + 125_000, "3 of 1,200 that wait will end late, the first in 2m 5s"),
    ],
)
def test_what_is_late_by_now_is_not_told_as_something_to_come(
    misses: int, waiting: int, first_ms: int, told: str
) -> None:
    forecast = Forecast(at_ms=NOW_MS, confidence="known", misses=misses, first_miss_ms=first_ms)

    assert foreseen(forecast, waiting, NOW_MS) == told


async def test_whoever_comes_first_is_told_how_to_begin(
    http: httpx.AsyncClient, oms: AsyncOMSClient
) -> None:
    nothing = (await http.get("/ui/")).text
    assert "hms queue create kyc --sla 2h" in nothing
    assert "export=csv" not in nothing

    await oms.create_queue("idle", sla="1h")
    page = (await http.get("/ui/q/idle")).text
    assert "No task has come in yet." in page
    assert "hms job push idle" in page
    # A promise alone is nothing that was measured.
    assert page.count("Nothing to show of this time.") == 2


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
