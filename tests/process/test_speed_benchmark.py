"""The speed benchmark with hms alone, as anyone runs it; how fast it is here is not asked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.faults.processes import ROOT

LIMIT_S = 90
FIGURES = {"tasks", "rate", "client_ms", "server_ms", "commands", "round_trips"}

pytestmark = [pytest.mark.process, pytest.mark.timeout(LIMIT_S + 30)]


def test_a_small_run_tells_all_figures(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", "benchmarks", "run", "--here", "--peers", ""]
    command += ["--json", str(out), "--only", "drain", "--tasks", "500", "--repeats", "1"]

    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as benchmark:
        try:
            table, log = benchmark.communicate(timeout=LIMIT_S)
        finally:
            benchmark.terminate()  # it takes its processes with it

    assert benchmark.returncode == 0, log
    runs = json.loads(out.read_text())["runs"]
    assert [run["subject"] for run in runs] == ["hms", "floor"], runs
    for run in runs:
        assert run.keys() >= FIGURES, run
        assert run["tasks"] == 500
        assert all(run[figure] > 0 for figure in FIGURES), run
    assert "### drain" in table
