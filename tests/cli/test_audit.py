import getpass
import json
import socket

import pytest

from tests.cli.conftest import Hms

pytestmark = pytest.mark.usefixtures("url")


def test_audit_tells_who_did_what_and_why_the_newest_first(hms: Hms) -> None:
    assert hms("audit").stderr == "nobody has changed anything\n"
    hms("queue", "create", "kyc")
    task_id = hms("job", "push", "kyc", "--data", "1").stdout.strip()
    hms("queue", "pause", "kyc", "--reason", "printer down")
    hms("queue", "resume", "kyc", "--reason", "printer up")
    hms("queue", "set", "kyc", "--sla", "1h", "--reason", "new contract")
    hms("job", "bump", task_id, "--reason", "the minister waits")
    hms("job", "cancel", task_id, "--reason", "withdrawn")
    hms("job", "requeue", task_id, "--reason", "a mistake")

    document = json.loads(hms("audit", "kyc", "-o", "json").stdout)

    assert document["schema"] == "hms.audit/v1"
    acts = [(one["act"], one["task_id"], one["reason"]) for one in document["entries"]]
    assert acts == [
        ("requeue", task_id, "a mistake"),
        ("cancel", task_id, "withdrawn"),
        ("bump", task_id, "the minister waits"),
        ("configure", None, "new contract"),
        ("resume", None, "printer up"),
        ("pause", None, "printer down"),
        ("configure", None, ""),
    ]
    me = f"{getpass.getuser()}@{socket.gethostname()}"
    assert {(one["who"], one["via"]) for one in document["entries"]} == {(me, "cli")}
    lines = hms("audit").stdout.splitlines()
    assert lines[0].split() == ["AT", "QUEUE", "ACT", "TASK", "WHO", "VIA", "WHAT"]
    assert lines[1].split()[1:] == ["kyc", "requeue", task_id, me, "cli", "a", "mistake"]


def test_audit_comes_in_pages(hms: Hms) -> None:
    for name in ("one", "two", "three"):
        hms("queue", "create", name)
    first = hms("audit", "--limit", "2")
    assert len(first.stdout.splitlines()) == 3
    rest = hms(*first.stderr.removeprefix("more: hms ").split())
    assert [line.split()[1] for line in rest.stdout.splitlines()[1:]] == ["one"]
    queue = hms("audit", "one", "--limit", "1")
    assert queue.stdout.splitlines()[1].split()[1:3] == ["one", "configure"]


def test_audit_of_what_is_not_there(hms: Hms) -> None:
    assert hms("audit", "kyc").exit_code == 4
    assert hms("audit", "--limit", "0").exit_code == 2
    assert hms("audit", "--cursor", ":zz").exit_code == 2
