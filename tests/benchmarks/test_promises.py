"""The measure of kept promises measures; what it finds here is not asked."""

import pytest

from benchmarks.promises import CASES, MIX, Case, Kind, Report, Run, arrivals, measure, table

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]


async def test_every_case_is_run_and_every_task_counted() -> None:
    report = await measure(seconds=0.3, rounds=1)

    assert [run.case for run in report.runs] == list(CASES)
    assert report.capacity > 0
    for run in report.runs:
        assert set(run.tasks) == {kind.name for kind in MIX}
        assert all(0 <= run.kept[name] <= tasks for name, tasks in run.tasks.items())
    assert table(report).count("\n| ") == len(CASES) + 1


def test_arrivals_are_the_same_for_the_same_seed_and_have_their_backlog() -> None:
    kind = Kind("some", 1, 0.1, 0.5, backlog=0.25)

    instants = arrivals(kind, 16, 4, seed=1)

    assert instants == arrivals(kind, 16, 4, seed=1) != arrivals(kind, 16, 4, seed=2)
    assert len(instants) == 80
    assert instants.count(0.0) == 20
    assert instants == sorted(instants)


def test_a_table_has_the_median_and_the_spread() -> None:
    runs = [
        Run(
            Case(1.0, "ours"),
            {"tight": 3, "medium": 0, "loose": 1},
            {"tight": kept, "medium": 0, "loose": 1},
        )
        for kept in (1, 2, 3)
    ]
    kinds = (Kind("tight", 1, 1, 1), Kind("loose", 1, 1, 1))

    shown = table(Report(8, 7.2, 6, kinds, runs))

    assert "| 100% | ours | **75%** (50%..100%) | **67%** (33%..100%) | **100%**" in shown
