"""`hms op`, `hms queue purge` and `hms queue rm`."""

import json

import pytest

from tests.cli.conftest import Hms


@pytest.fixture
def tasks(hms: Hms, url: str) -> int:
    assert hms("queue", "create", "q").exit_code == 0, url
    for number in range(3):
        hms("job", "push", "q", "--data", str(number))
    return 3


def test_many_are_acted_on(hms: Hms, tasks: int) -> None:
    dry = hms("op", "start", "cancel", "--queue", "q", "--dry-run", "-o", "json")
    assert json.loads(dry.stdout)["operation"]["matched"] == tasks
    asked = hms("op", "start", "cancel", "--queue", "q")
    assert (asked.exit_code, "add --yes" in asked.stderr) == (2, True)

    begun = hms("op", "start", "cancel", "--queue", "q", "--yes", "--wait", "--reason", "test")
    assert begun.exit_code == 0, begun.stderr
    operation_id = begun.stdout.strip()
    shown = json.loads(hms("op", "show", operation_id, "-o", "json").stdout)["operation"]
    assert (shown["state"], shown["done"], shown["reason"], shown["via"]) == (
        "done",
        tasks,
        "test",
        "cli",
    )
    assert operation_id in hms("op", "ls").stdout
    assert hms("op", "stop", operation_id).exit_code == 5
    assert hms("op", "show", "unknown").exit_code == 4


@pytest.mark.parametrize("where", ["state", "colour=red", "state=asleep", "arrived-before=soon"])
def test_a_selection_that_makes_no_sense(hms: Hms, tasks: int, where: str) -> None:
    refused = hms("op", "start", "cancel", "--queue", "q", "--where", where, "--yes")
    assert refused.exit_code == 2
    assert "where" in refused.stderr
    assert json.loads(hms("stats", "-o", "json").stdout)["queues"][0]["waiting"] == tasks


def test_purge_and_rm(hms: Hms, tasks: int) -> None:
    refused = hms("queue", "rm", "q", "--yes")
    assert (refused.exit_code, str(tasks) in refused.stderr) == (5, True)
    assert hms("queue", "purge", "q", "--yes", "--wait").exit_code == 0
    assert hms("queue", "rm", "q", "--yes", "--wait").exit_code == 0
    assert json.loads(hms("queue", "ls", "-o", "json").stdout)["queues"] == []
    assert hms("queue", "rm", "q", "--yes").exit_code == 4
