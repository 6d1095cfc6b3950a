"""The speed benchmark with hms alone, as anyone runs it; how fast it is here is not asked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.faults.processes import ROOT

LIMIT_S = 90
SMALL = ["--rounds", "1", "--tasks", "200", "--singles", "20", "--wakes", "5"]
FIGURES = {"tasks", "rate", "client_ms", "server_ms", "commands", "round_trips"}

pytestmark = [pytest.mark.process, pytest.mark.timeout(LIMIT_S + 30)]


def printed_by(*words: str) -> str:
    """Run a benchmark to its end, and return what it printed."""
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "benchmarks", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as benchmark:
        try:
            table, log = benchmark.communicate(timeout=LIMIT_S)
        finally:
            benchmark.terminate()  # it takes its processes with it
    assert benchmark.returncode == 0, log
    return table


def test_a_small_run_tells_all_figures(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    small = ["--only", "drain", "--tasks", "500", "--repeats", "1"]

    table = printed_by("run", "--here", "--peers", "", "--json", str(out), *small)

    runs = json.loads(out.read_text())["runs"]
    assert [run["subject"] for run in runs] == ["hms", "floor"], runs
    for run in runs:
        assert run.keys() >= FIGURES, run
        assert run["tasks"] == 500
        assert all(run[figure] > 0 for figure in FIGURES), run
    assert "### drain" in table


def test_a_small_run_over_http_tells_its_figures(tmp_path: Path) -> None:
    out = tmp_path / "out.json"

    table = printed_by("rest", "--json", str(out), *SMALL)

    report = json.loads(out.read_text())
    assert [one["way"] for one in report["drains"]] == list(report["tasks"])
    assert all(one["rate"] > 0 and one["commands"] > 0 for one in report["drains"])
    assert report["wake_ms"]["p99_ms"] > 0
    assert "| native worker |" in table
