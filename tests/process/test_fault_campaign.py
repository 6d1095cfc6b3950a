"""The short form of the fault campaign, as anyone runs it."""

import subprocess
import sys

import pytest

from benchmarks.faults.processes import ROOT

LIMIT_S = 120

pytestmark = [pytest.mark.process, pytest.mark.timeout(LIMIT_S + 30)]


def test_the_short_campaign_finds_nothing_wrong() -> None:
    command = [sys.executable, "-m", "benchmarks.faults", "--short", "--server", "valkey"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as campaign:  # noqa: S603
        try:
            table, _ = campaign.communicate(timeout=LIMIT_S)
        finally:
            campaign.terminate()  # it takes its processes with it

    assert campaign.returncode == 0, table
