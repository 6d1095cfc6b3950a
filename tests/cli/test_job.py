import json
import re
from pathlib import Path
from typing import Any

import anyio
import pytest

from hms_async import AsyncOMSClient
from tests.cli.conftest import Hms

pytestmark = pytest.mark.usefixtures("url", "_queue")


@pytest.fixture
def _queue(hms: Hms, url: str) -> None:
    assert url
    hms("queue", "create", "kyc", "--sla", "2h")


def pushed(hms: Hms, *args: str, data: str = "{}", stdin: str | None = None) -> str:
    result = hms("job", "push", "kyc", "--data", data, *args, stdin=stdin)
    assert result.exit_code == 0, result.stderr
    return result.stdout.strip()


def task(hms: Hms, task_id: str) -> dict[str, Any]:
    document = json.loads(hms("job", "show", task_id, "-o", "json").stdout)
    assert document["schema"] == "hms.job.show/v1"
    found: dict[str, Any] = document["task"]
    return found


def test_push_prints_the_id_and_nothing_else(hms: Hms) -> None:
    result = hms("job", "push", "kyc", "--data", '{"file": "sam.jpg"}', "--corr", "REQ-123")
    assert result.stderr == ""
    found = task(hms, result.stdout.removesuffix("\n"))
    assert found["payload"] == {"file": "sam.jpg"}
    assert (found["state"], found["correlation_id"]) == ("waiting", "REQ-123")


def test_push_reads_a_file_and_stdin(hms: Hms, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("[1, 2]")
    assert task(hms, pushed(hms, data="@p.json"))["payload"] == [1, 2]
    assert task(hms, pushed(hms, data="-", stdin='{"b": "\\u00e9"}\n'))["payload"] == {"b": "é"}


def test_push_with_every_option(hms: Hms) -> None:
    first = pushed(
        hms, "--id", "mine", "--key", "k", "--in", "5m", "--priority", "high", "--sla", "1h"
    )
    found = task(hms, first)
    assert (first, found["state"], found["priority"]) == ("mine", "scheduled", "high")
    assert found["starts_at"] == found["arrived_at"]
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert task(hms, pushed(hms, "--traceparent", parent))["traceparent"] == parent
    again = hms("job", "push", "kyc", "--data", "1", "--key", "k", "-o", "json")
    assert json.loads(again.stdout) == {
        "schema": "hms.job.push/v1",
        "queue": "kyc",
        "id": "mine",
        "created": False,
    }
    assert "task mine was there already" in again.stderr
    later = pushed(hms, "--eta", "2036-12-01T08:00:00+01:00")
    assert task(hms, later)["starts_at"] == "2036-12-01T07:00:00.000Z"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "Missing option '--data'"),
        (["--data", "{bad"], "it is not JSON"),
        (["--data", "NaN"], "it is not JSON"),
        (["--data", "@nowhere"], "cannot read nowhere: No such file"),
        (["--data", "1", "--in", "soon"], '"soon" is not a duration'),
        (["--data", "1", "--eta", "soon"], '"soon" is not a time'),
        (["--data", "1", "--eta", "2036-12-01T08:00"], "has no time zone: add Z"),
        (["--data", "1", "--eta", "2036-12-01T08:00Z", "--in", "5m"], "either --in or --eta"),
        (["--data", "1", "--id", "a b"], "error HMS-E002: task id 'a b' is not valid"),
    ],
)
def test_push_refuses_in_one_line_what_makes_no_sense(hms: Hms, args: list[str], said: str) -> None:
    result = hms("job", "push", "kyc", *args)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_what_the_queue_refuses_has_its_own_exit_code(hms: Hms) -> None:
    hms("queue", "create", "tiny", "--max-depth", "1", "--max-payload-bytes", "10")
    assert hms("job", "push", "tiny", "--data", '"more than ten"').exit_code == 2
    assert hms("job", "push", "tiny", "--data", "1", "--id", "one").exit_code == 0
    full = hms("job", "push", "tiny", "--data", "1")
    assert full.exit_code == 5
    assert 'error HMS-E016: queue "tiny" is full' in full.stderr
    taken = hms("job", "push", "kyc", "--data", "1", "--id", "one")
    assert taken.exit_code == 5
    assert taken.stderr == 'error HMS-E024: id "one" is taken by a task of queue "tiny"\n'
    unknown = hms("job", "push", "kcy", "--data", "1")
    assert (unknown.exit_code, 'Did you mean "kyc"?' in unknown.stderr) == (4, True)


def test_show_for_people(hms: Hms) -> None:
    task_id = pushed(hms, "--corr", "REQ-1", data='{"file": "sam.jpg"}')
    lines = hms("job", "show", task_id).stdout.splitlines()
    pairs = dict(line.split(maxsplit=1) for line in lines)
    assert pairs["task"] == task_id
    assert pairs["state"] == "waiting"
    assert pairs["payload"] == '{"file":"sam.jpg"}'
    assert pairs["arrived"].endswith("Z")
    assert "result" not in pairs


def test_show_tells_of_failed_attempts(hms: Hms, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("def explode(task):\n    raise OSError('disk on fire')\n")
    hms("queue", "create", "kyc", "--max-attempts", "1")
    task_id = pushed(hms)
    assert hms("run", "bad:explode", "-Q", "kyc", "-b").exit_code == 0
    text = hms("job", "show", task_id).stdout
    assert "error      OSError: disk on fire" in text
    assert "attempt 1" in text
    assert "line 2, in explode" in text
    assert task(hms, task_id)["attempts"][0]["error_type"] == "OSError"
    assert "OSError: disk on fire" in hms("job", "ls", "kyc", "--state", "failed").stdout


def test_show_tells_of_a_hand_off(hms: Hms, tmp_path: Path) -> None:
    code = "def renew(task):\n    task.complete(handoff={'workflow': 'renewal', 'key': 'REQ-1'})\n"
    (tmp_path / "good.py").write_text(code)
    hms("queue", "create", "kyc")
    task_id = pushed(hms)
    assert hms("run", "good:renew", "-Q", "kyc", "-b").exit_code == 0
    assert "hand-off  renewal REQ-1 null" in hms("job", "show", task_id).stdout
    handoff = {"workflow": "renewal", "key": "REQ-1", "payload": None}
    assert task(hms, task_id)["handoff"] == handoff


def test_ls_pages_through_a_state(hms: Hms) -> None:
    ids = [pushed(hms, "--id", f"t{number}") for number in range(5)]
    first = hms("job", "ls", "kyc", "--limit", "3")
    assert [line.split()[0] for line in first.stdout.splitlines()[1:]] == ids[:3]
    more = first.stderr.removeprefix("more: hms ").split()
    assert [line.split()[0] for line in hms(*more).stdout.splitlines()[1:]] == ids[3:]
    document = json.loads(hms("job", "ls", "kyc", "-o", "json").stdout)
    assert document["schema"] == "hms.job.list/v1"
    assert [one["id"] for one in document["tasks"]] == ids
    assert hms("job", "ls", "kyc", "--state", "done").stderr == "no task of kyc is done\n"


def test_ls_of_an_unknown_queue_or_state(hms: Hms) -> None:
    assert hms("job", "ls", "kcy").exit_code == 4
    wrong = hms("job", "ls", "kyc", "--state", "dead")
    assert (wrong.exit_code, "'dead' is not one of" in wrong.stderr) == (2, True)
    assert hms("job", "ls", "kyc", "--limit", "0").exit_code == 2
    assert hms("job", "ls", "kyc", "--cursor", ":zz").exit_code == 2


def test_cancel_and_requeue(hms: Hms) -> None:
    task_id = pushed(hms)
    assert hms("job", "cancel", task_id).stderr == f"task {task_id} is cancelled\n"
    twice = hms("job", "cancel", task_id)
    assert (twice.exit_code, "error HMS-E027" in twice.stderr) == (5, True)
    assert hms("job", "requeue", task_id).stderr == f"task {task_id} waits again\n"
    assert hms("job", "requeue", task_id).exit_code == 5
    assert task(hms, task_id)["state"] == "waiting"


def test_cancelling_a_task_in_progress_asks_its_worker(hms: Hms, url: str) -> None:
    task_id = pushed(hms)

    async def hold() -> None:
        async with AsyncOMSClient(url) as oms:
            assert await oms.pop_task("kyc", timeout=5) is not None

    anyio.run(hold)
    answer = hms("job", "cancel", task_id)

    assert answer.exit_code == 0
    assert answer.stderr == (
        f"task {task_id} is in progress: its worker has been asked to cancel it\n"
    )
    assert task(hms, task_id)["cancel_asked_at"] is not None
    assert "cancel asked" in hms("job", "show", task_id).stdout


def test_a_cancelled_task_says_who_cancelled_it_and_why(
    hms: Hms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    task_id = pushed(hms)
    assert "cancel" not in hms("job", "show", task_id).stdout
    hms("job", "cancel", task_id, "--reason", "the client asked")

    shown = hms("job", "show", task_id).stdout
    assert re.search(r"^cancel by +ann@", shown, re.MULTILINE)
    assert re.search(r"^cancel reason +the client asked$", shown, re.MULTILINE)
    document = task(hms, task_id)
    assert document["cancel_by"].startswith("ann@")
    assert document["cancel_reason"] == "the client asked"


def test_bump_lets_a_task_go_before_the_others(hms: Hms) -> None:
    first, second = pushed(hms), pushed(hms)
    done = hms("job", "bump", second, "--reason", "the minister waits")
    assert done.stderr == f"task {second} goes before the others\n"
    lines = hms("queue", "peek", "kyc").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [second, first]
    hms("job", "cancel", second)
    assert hms("job", "bump", second).exit_code == 5


@pytest.mark.parametrize("command", ["show", "cancel", "requeue", "again", "bump", "wait", "watch"])
def test_a_task_that_is_not_there(hms: Hms, command: str) -> None:
    result = hms("job", command, "nope")
    assert result.exit_code == 4
    assert result.stderr.startswith('error HMS-E021: no task "nope"')


def test_again_makes_another_task_and_shows_no_secret_to_keep_it(hms: Hms) -> None:
    old = pushed(hms, "--corr", "REQ-1", data='{"file": "sam.jpg", "api_key": "hush"}')

    same = hms("job", "again", old).stdout.strip()
    changed = '{"file": "sam-2.jpg", "api_key": "[redacted]"}'
    args = ("--data", changed, "--corr", "", "--id", "mine", "--reason", "a new scan")
    for created in (True, False):
        result = hms("job", "again", old, *args, "-o", "json")
        assert json.loads(result.stdout) == {
            "schema": "hms.job.again/v1",
            "again_of": old,
            "id": "mine",
            "created": created,
        }

    assert task(hms, same)["payload"] == {"file": "sam.jpg", "api_key": "hush"}
    assert task(hms, same)["correlation_id"] == "REQ-1"
    assert task(hms, "mine")["payload"] == {"file": "sam-2.jpg", "api_key": "hush"}
    assert task(hms, "mine")["correlation_id"] is None
    assert f"again of  {old}\n" in hms("job", "show", "mine").stdout
    assert "again as     mine\n" in hms("job", "show", old).stdout
    assert "a new scan" in hms("audit", "kyc", "--limit", "1").stdout
    wrong = hms("job", "again", old, "--data", '["[redacted]"]')
    assert "stands for nothing here" in wrong.stderr


def test_nothing_from_outside_steers_the_terminal(hms: Hms) -> None:
    task_id = pushed(hms, "--corr", "\x1b[2Jcase", data='"\\u001b[31m[bold]red"')
    for args in (["job", "show", task_id], ["job", "ls", "kyc"], ["queue", "peek", "kyc"]):
        output = hms(*args).stdout
        assert "\x1b" not in output
        assert r"\x1b[2Jcase" in output
    raw = hms("job", "show", task_id, "-o", "json").stdout
    assert "\x1b" not in raw
    assert task(hms, task_id)["correlation_id"] == "\x1b[2Jcase"
