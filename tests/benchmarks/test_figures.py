"""From the figures of runs to what people read."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from benchmarks.speed import plot
from benchmarks.speed.quantiles import latencies, quantile, spread
from benchmarks.speed.table import put_into, table
from benchmarks.subjects.samples import UNTIMED, Samples

COST = {"tasks": 100, "server_ms": 0.02, "commands": 4.0, "round_trips": 0.05}
TAIL = {"p50_ms": 1.0, "p90_ms": 2.0, "p99_ms": 3.0, "max_ms": 4.0, "undone": 0}


def run(scenario: str, subject: str, **figures: object) -> dict[str, Any]:
    return {"scenario": scenario, "subject": subject, **figures}


REPORT: dict[str, Any] = {
    "machine": {
        "cores": 2,
        "architecture": "x86_64",
        "system": "Linux",
        "server": "valkey 9.1.2",
        "repeats": 3,
    },
    "subjects": {
        "hms": {"module": "hms", "versions": {"python": "3.12.1", "hms-async": "0.1.0"}},
        "arq": {"module": "arq", "versions": {"python": "3.12.1", "arq": "0.28.0"}},
        "blitzq-fast": {"module": "blitzq", "failed": "ERROR: no matching distribution"},
    },
    "runs": [
        run("drain", "arq", rate=1_000.0, client_ms=0.7, **COST),
        run("drain", "hms", rate=2_000.0, client_ms=0.2, **COST),
        run("drain", "hms", rate=4_000.0, client_ms=0.4, **COST),
        run("drain", "hms", rate=3_000.0, client_ms=0.3, **COST),
        run("drain", "blitzq-fast", failed="not installed: no matching distribution"),
        run("latency", "hms", drift_ms=0.1, sent_rate=50.0, **TAIL, **COST),
        run("due-5000", "arq", early=7, **TAIL, **COST),
        run("processes", "hms", rate_1=1_000.0, rate_2=1_900.0, rate_4=2_000.0, tasks=100),
    ],
}


@pytest.mark.parametrize(("part", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_quantile_is_one_of_the_values(part: float, expected: int) -> None:
    assert quantile(range(100, 0, -1), part) == expected


def test_one_value_is_every_quantile() -> None:
    assert latencies([0.002]) == {"p50_ms": 2, "p90_ms": 2, "p99_ms": 2, "max_ms": 2}


def test_a_spread_is_median_least_and_greatest() -> None:
    assert spread([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)


def test_the_table_has_a_row_for_each_subject_best_first() -> None:
    drain = table(REPORT).partition("### drain")[2].partition("###")[0]
    rows = [line for line in drain.splitlines() if line.startswith("| ")][1:]

    assert [row.split(" | ")[0] for row in rows] == ["| hms", "| arq"]
    assert "**3,000** (2,000..4,000)" in rows[0]
    assert "late, 1 h" in rows[1]


def test_the_table_tells_who_failed_and_why() -> None:
    assert "- blitzq-fast: failed, not installed: no matching distribution" in table(REPORT)


def test_every_row_of_a_table_has_as_many_cells_as_its_heading() -> None:
    for part in table(REPORT).split("\n\n"):
        widths = {line.count("|") for line in part.splitlines() if line.startswith("|")}
        assert len(widths) <= 1, part


def test_a_page_keeps_what_is_around_its_markers() -> None:
    page = "above\n<!-- table -->\nold\n<!-- /table -->\nbelow\n"

    renewed = put_into(page, "new")

    assert renewed == "above\n<!-- table -->\n\nnew\n\n<!-- /table -->\nbelow\n"
    assert put_into(renewed, "new") == renewed
    with pytest.raises(ValueError, match="table"):
        put_into("above\n", "new")


def test_each_scenario_with_figures_is_drawn(tmp_path: Path) -> None:
    plot.draw(REPORT, tmp_path)

    names = sorted(picture.stem for picture in tmp_path.iterdir())
    assert names == ["drain", "due-5000", "latency", "processes"]
    for picture in tmp_path.iterdir():
        assert ET.parse(picture).getroot().get("role") == "img"  # noqa: S314  # our own


def test_samples_are_read_while_their_writer_goes_on(tmp_path: Path) -> None:
    writer = Samples(tmp_path / "samples", 2)
    reader = Samples(tmp_path / "samples", 2)

    writer.start(UNTIMED)
    writer.end()
    writer.start(writer.first_start)

    assert (reader.started, reader.ended) == (2, 1)
    assert len(reader.latencies()) == 1
    assert 0 < reader.latencies()[0] < 1


def test_samples_beyond_those_expected_are_counted_only(tmp_path: Path) -> None:
    samples = Samples(tmp_path / "samples", 1)
    for _ in range(3):
        samples.start(1.0)
        samples.end()

    assert (samples.started, samples.ended, len(samples.latencies())) == (3, 3, 1)
