"""What the growth benchmark measures, in small."""

import pytest

from benchmarks import growth

pytestmark = pytest.mark.timeout(60)


async def test_every_length_and_every_number_of_queues_is_measured_in_each_round() -> None:
    report = await growth.measure(tasks=300, waiting=[10, 1_000], queues=[1, 7], rounds=2)

    assert [(one.waiting, len(one.rates)) for one in report.lengths] == [(10, 2), (1_000, 2)]
    assert [(one.queues, len(one.rates)) for one in report.spreads] == [(1, 2), (7, 2)]
    rates = [one.rates for one in report.lengths] + [one.rates for one in report.spreads]
    assert all(rate > 0 for found in rates for rate in found)
    assert all(one.stats_ms > 0 and one.sweep_ms > 0 for one in report.lengths)
    shown = growth.table(report)
    assert "| 1,000 | **" in shown
    assert "| 100% |" in shown
