"""`hms sla`, in the words of `docs/sla.md`."""

import json

import pytest

from hms_async.cli import show
from tests.cli.conftest import Hms

pytestmark = pytest.mark.usefixtures("url", "_queue")


@pytest.fixture
def _queue(hms: Hms, url: str) -> None:
    assert url
    hms("queue", "create", "kyc", "--sla", "1ms", "--ladder", "100% breach,escalate")


def push(hms: Hms, *options: str) -> str:
    return hms("job", "push", "kyc", "--data", "1", *options).stdout.strip()


def test_check_says_that_nothing_open_is_late_or_fails(hms: Hms) -> None:
    assert hms("sla", "check").stderr == "no open task is late\n"
    assert hms("sla", "check", "--at-risk").stderr == "no open task is late or at risk\n"

    push(hms, "--sla", "1h")
    assert hms("sla", "check").exit_code == 0
    assert hms("sla", "check", "-q").stderr == ""


def test_a_task_that_was_waived_says_so_and_why(hms: Hms) -> None:
    task_id = push(hms, "--expires-in", "1h")

    waived = hms("sla", "waive", task_id, "--reason", "the citizen has agreed")
    again = hms("sla", "waive", task_id, "--reason", "again")

    assert waived.stderr == f"task {task_id} has no clock any more\n"
    assert again.stderr == f"task {task_id} was waived already\n"
    shown = dict(line.split(None, 1) for line in hms("job", "show", task_id).stdout.splitlines())
    assert shown["waived"] == "the citizen has agreed"
    assert "expires" in shown
    assert "due" not in shown


def test_a_pause_stops_the_clock_and_is_said_once(hms: Hms) -> None:
    paused = hms("sla", "pause", "kyc", "--reason", "closed")
    again = hms("sla", "pause", "kyc", "--reason", "closed")

    assert paused.stderr == "queue kyc is paused, its clock stands still\n"
    assert again.stderr == "queue kyc was paused, with its clock, already\n"
    document = json.loads(hms("sla", "ls", "kyc", "-o", "json").stdout)
    assert document["queues"][0]["clock"] == "paused"


def test_what_is_not_there_is_said_in_words(hms: Hms) -> None:
    assert hms("sla", "undelivered", "kyc").stderr == "no message of kyc was given up\n"
    assert hms("sla", "ls", "--at-risk").stderr == "no task is at risk\n"
    refused = hms("sla", "ack", "kyc")
    assert refused.exit_code == 1
    assert 'queue "kyc" has no open incident of the kind sla' in refused.stderr


def test_a_ladder_that_moves_tasks_to_their_own_queue_is_refused(hms: Hms) -> None:
    refused = hms("queue", "create", "kyc", "--sla", "1h", "--ladder", "80% warn,reroute:kyc")

    assert refused.exit_code == 2
    assert 'moves tasks to "kyc" itself' in refused.stderr


def test_no_column_of_the_list_is_lost_on_a_narrow_terminal(
    hms: Hms, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "passport.photo"
    hms("queue", "create", name, "--sla", "2h")
    monkeypatch.setattr(show, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")

    listed = hms("sla", "ls", name).stdout

    assert max(map(len, listed.splitlines())) <= 80
    for word in ("QUEUE", "CLOCK", "PROMISE", "OPEN", "AT RISK", "LATE", "KEPT", name, "on track"):
        assert word in listed
