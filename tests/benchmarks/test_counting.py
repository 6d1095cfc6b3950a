"""The measure of counting measures, and leaves out what it says; its figures are not asked for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import counting
from benchmarks.faults.processes import ROOT
from hms_async.storage.scripts import load


def test_what_is_to_be_left_out_is_there() -> None:
    texts = load("exchange").text + load("enqueue").text
    for counted in counting.WITHOUT:
        assert counted in texts
    for name in ("enqueue", "exchange"):
        assert counting.without_counters(name).sha != load(name).sha


@pytest.mark.process
@pytest.mark.timeout(60)
def test_both_ways_are_measured(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", "benchmarks", "metrics", "--json", str(out), "--calls", "20"]
    command += ["--tasks", "200", "--rounds", "1", "--queues", "3"]
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as benchmark:
        try:
            table, log = benchmark.communicate(timeout=50)
        finally:
            benchmark.terminate()  # it takes its server with it

    assert benchmark.returncode == 0, log
    report = json.loads(out.read_text())
    assert [one["script"] for one in report["calls"]] == 2 * ["enqueue", "exchange"]
    assert len(report["pairs"]) == 1
    scrape = report["scrape"]
    assert (scrape["queues"], scrape["scripts"]) == (3, 3)
    assert scrape["round_trips"] < 10
    assert "A scrape of 3 queues: 3 script calls" in table
