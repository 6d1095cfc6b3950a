"""The measure of milestones measures; how late they are here is not asked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.faults.processes import ROOT

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]


def test_each_rung_speaks_once_and_each_look_is_timed(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", "benchmarks", "milestones", "--json", str(out)]
    command += ["--tasks", "300", "--over", "1", "--waiting", "100,200"]

    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as benchmark:
        try:
            table, log = benchmark.communicate(timeout=90)
        finally:
            benchmark.terminate()  # it takes its server with it

    assert benchmark.returncode == 0, log
    report = json.loads(out.read_text())
    (watched,) = report["watched"]
    assert watched["spoken"] + watched["collapsed"] == 900
    assert watched["calls"] >= 9
    assert watched["lag_s"] == sorted(watched["lag_s"])
    assert [look["waiting"] for look in report["looked"]] == [100, 200]
    for look in report["looked"]:
        assert set(look["call_ms"]) == {"stats", "forecast", "sweep"}
        assert all(ms > 0 for ms in look["call_ms"].values())
    assert "| 300 | over 1 s | " in table
