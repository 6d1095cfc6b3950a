import json
import socket
from typing import Any

import anyio
import pytest

from hms_async import AsyncOMSClient, AuditPage, Supervisor
from hms_async.cli import show
from hms_async.storage import outbox
from hms_async.storage.store import Store
from hms_async.testing import ManualClock
from tests.cli.conftest import Hms

pytestmark = pytest.mark.usefixtures("url")


def late(url: str, queue: str = "kyc") -> str:
    """A task that arrived two hours ago, of which a supervisor has taken note; returns its id."""

    async def work() -> str:
        async with AsyncOMSClient(url) as oms:
            now_ms = (await oms.stats(queue)).now_ms
        past = ManualClock(now_ms - 7_200_000)
        async with Store(url, clock=past) as store, AsyncOMSClient(store=store) as oms:
            task = await oms.enqueue(queue, {"name": "Sam"}, correlation_id="REQ-7")
        await Supervisor(url).check_sla()
        return task.id

    return anyio.run(work)


def test_without_queues_it_says_how_to_begin(hms: Hms) -> None:
    done = hms("sla", "ls")
    assert "no queues yet: hms queue create NAME --sla 2h" in done.stderr
    assert hms("sla", "check").exit_code == 0


def test_ls_puts_the_worst_first(hms: Hms, url: str) -> None:
    hms("queue", "create", "calm", "--sla", "1d")
    hms("queue", "create", "kyc", "--sla", "1h")
    late(url)
    lines = hms("sla", "ls").stdout.splitlines()
    assert lines[0].split() == [
        *("QUEUE", "CLOCK", "PROMISE", "OPEN", "AT", "RISK", "LATE", "FORECAST", "KEPT"),
        "INCIDENTS",
    ]
    assert lines[1].startswith("kyc    # breached  1h")
    assert lines[1].endswith("sla critical x1")
    assert lines[2].startswith("calm   on track")
    document = json.loads(hms("sla", "ls", "-o", "json").stdout)
    assert document["schema"] == "hms.sla.list/v1"
    assert [one["clock"] for one in document["queues"]] == ["breached", "on_track"]
    assert document["queues"][0]["incidents"][0]["severity"] == "critical"


def test_ls_names_the_tasks_at_risk(hms: Hms, url: str) -> None:
    hms("queue", "create", "kyc", "--sla", "1h")
    assert "no task is at risk" in hms("sla", "ls", "--at-risk").stderr
    task_id = late(url)
    (_, line) = hms("sla", "ls", "--at-risk").stdout.splitlines()
    assert line.split()[:4] == [task_id, "kyc", "REQ-7", "waiting"]
    document = json.loads(hms("sla", "ls", "kyc", "--at-risk", "-o", "json").stdout)
    assert [one["id"] for one in document["tasks"]] == [task_id]


def test_check_is_for_cron(hms: Hms, url: str) -> None:
    hms("queue", "create", "kyc", "--sla", "1h")
    done = hms("sla", "check")
    assert (done.exit_code, done.stderr.strip()) == (0, "no open task is late")
    late(url)
    done = hms("sla", "check")
    assert done.exit_code == 1
    assert "kyc is breached: 1 late, 0 at risk  (hms sla ls --at-risk)" in done.stderr
    quiet = hms("sla", "check", "-q")
    assert (quiet.exit_code, quiet.output) == (1, "")
    assert hms("sla", "check", "kcy").exit_code == 4


def test_check_may_fail_on_a_risk(hms: Hms, url: str) -> None:
    hms("queue", "create", "kyc", "--sla", "140m")
    late(url)
    assert hms("sla", "check").exit_code == 0
    assert hms("sla", "check", "--at-risk").exit_code == 1


def test_report(hms: Hms, url: str) -> None:
    assert "no queue promises anything yet" in hms("sla", "report").stderr
    hms("queue", "create", "kyc", "--sla", "1h", "--goal", "95%")
    (_, line) = hms("sla", "report").stdout.splitlines()
    assert line.split() == ["kyc", "1h", "95%", *("-",) * 7]
    task_id = late(url)

    async def end() -> None:
        async with AsyncOMSClient(url) as oms:
            task = await oms.pop_task("kyc")
            assert task is not None
            await task.complete()

    anyio.run(end)
    head, line, _, _, miss = hms("sla", "report", "--since", "7d").stdout.splitlines()
    assert head.split()[3:9] == ["KEPT", "1h", "KEPT", "24h", "KEPT", "7d"]
    numbers = ["0.00%", "0.00%", "0.00%", "1", "of", "1", "-1900.00%", "20.0/20.0", "20.0/20.0"]
    assert line.split() == ["kyc", "1h", "95%", *numbers]
    assert miss.split()[:5] == ["1h", "kyc", task_id, "REQ-7", "done"]
    assert (miss.split()[6], miss.split()[8:]) == ("2h", ["-", "-", "-"])
    document = json.loads(hms("sla", "report", "-Q", "kyc", "-o", "json").stdout)
    assert document["schema"] == "hms.sla.report/v1"
    assert document["queues"][0]["worst"][0]["task_id"] == task_id
    assert hms("sla", "report", "-Q", "kcy").exit_code == 4
    assert hms("sla", "report", "--since", "500d").exit_code == 2


def test_ack(hms: Hms, url: str) -> None:
    hms("queue", "create", "kyc", "--sla", "1h")
    missing = hms("sla", "ack", "kyc")
    assert missing.exit_code == 4
    assert 'queue "kyc" has no open incident of the kind sla' in missing.stderr
    late(url)
    assert "acknowledged by sam" in hms("sla", "ack", "kyc", "--by", "sam").stderr
    assert "was acknowledged already" in hms("sla", "ack", "kyc", "--by", "sam").stderr
    assert "sla critical x1 ack sam" in hms("sla", "ls").stdout
    assert hms("sla", "ack", "kyc", "fire").exit_code == 2


def test_waive(hms: Hms, url: str) -> None:
    hms("queue", "create", "kyc", "--sla", "1h")
    task_id = late(url)
    assert hms("sla", "waive", task_id).exit_code == 2
    done = hms("sla", "waive", task_id, "--reason", "the citizen agreed")
    assert f"task {task_id} has no clock any more" in done.stderr
    assert "was waived already" in hms("sla", "waive", task_id, "--reason", "x").stderr
    assert hms("sla", "check").exit_code == 0
    assert "the citizen agreed" in hms("job", "show", task_id).stdout


def test_pause_stops_the_clock(hms: Hms) -> None:
    hms("queue", "create", "kyc", "--sla", "1h")
    done = hms("sla", "pause", "kyc", "--reason", "stocktaking")
    assert "queue kyc is paused, its clock stands still" in done.stderr
    assert "|| paused" in hms("sla", "ls").stdout
    assert "already" in hms("sla", "pause", "kyc", "--reason", "stocktaking").stderr
    hms("queue", "resume", "kyc")
    assert "on track" in hms("sla", "ls").stdout


@pytest.fixture
def hooked(hms: Hms, url: str) -> None:
    """A queue `kyc` on the empty server of `url`, whose webhook nobody answers."""
    assert url
    hook = ("--webhook", "http://127.0.0.1:9/hms", "--webhook-secret", "s3cret")
    hms("queue", "create", "kyc", "--sla", "1h", "--ladder", "50% note,webhook", *hook)


def given_up(url: str, number: int, error: str = "nobody answers") -> list[str]:
    """Let messages of late tasks of `kyc` be given up; returns their ids, the last first."""

    async def work() -> list[str]:
        async with Store(url) as store, AsyncOMSClient(store=store) as oms:
            for action in await outbox.take(store, "kyc", limit=9, lease_ms=60_000):
                await outbox.end(store, action, "dead", error=error)
            return [one.said.id for one in await oms.sla.undelivered("kyc")]

    for _ in range(number):
        late(url)
    return anyio.run(work)


@pytest.mark.usefixtures("hooked")
def test_undelivered(hms: Hms, url: str) -> None:
    assert "no message of kyc was given up" in hms("sla", "undelivered", "kyc").stderr
    given_up(url, 1)
    (_, line) = hms("sla", "undelivered", "kyc").stdout.splitlines()
    assert "webhook" in line
    assert line.endswith("nobody answers")
    document: Any = json.loads(hms("sla", "undelivered", "kyc", "-o", "json").stdout)
    assert document["messages"][0]["type"] == "sla.note"
    assert "1 to be tried again" in hms("sla", "undelivered", "kyc", "--again").stderr
    assert "no message of kyc was given up" in hms("sla", "undelivered", "kyc").stderr


@pytest.mark.usefixtures("hooked")
def test_secrets_in_what_a_receiver_answered_are_left_out(hms: Hms, url: str) -> None:
    given_up(url, 1, "HTTP 401: Bearer c4n4ry-12345 for https://sam:c4n4ry@h.example/?token=c4n4ry")
    undelivered = ("sla", "undelivered", "kyc")
    shown = [hms(*undelivered), hms(*undelivered, "-o", "json"), hms(*undelivered, "--drop")]
    for output in (one.output for one in shown):
        assert "HTTP 401" in output
        assert "c4n4ry" not in output


@pytest.mark.usefixtures("hooked")
def test_some_that_are_undelivered(hms: Hms, url: str) -> None:
    third, second, first = given_up(url, 3)
    undelivered = ("sla", "undelivered", "kyc")

    listed = hms(*undelivered, "--id", first, "--id", third, "-o", "json")
    assert [one["id"] for one in json.loads(listed.stdout)["messages"]] == [first, third]
    unknown = hms(*undelivered, "--id", first, "--id", "nobody", "--drop")
    assert unknown.exit_code == 4
    assert 'queue "kyc" has no undelivered message "nobody"' in unknown.stderr
    assert hms(*undelivered, "--again", "--drop").exit_code == 2
    assert len(json.loads(hms(*undelivered, "-o", "json").stdout)["messages"]) == 3

    dropped = hms(*undelivered, "--id", second, "--drop", "--reason", "stale")
    assert (dropped.exit_code, dropped.stderr.strip()) == (0, "1 dropped")
    assert second in dropped.stdout
    assert "2 to be tried again" in hms(*undelivered, "--again", "--reason", "mended").stderr

    async def read() -> AuditPage:
        async with AsyncOMSClient(url) as oms:
            return await oms.audit("kyc")

    acts = [(one.act, one.via, one.reason) for one in anyio.run(read).entries[:3]]
    assert acts == [("send_again", "cli", "mended")] * 2 + [("drop", "cli", "stale")]


def test_a_bundle_is_one_document_for_a_ticket_with_the_audit_and_no_payload(
    hms: Hms, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    hms("queue", "create", "kyc", "--sla", "1h")
    task_id = late(url)

    result = hms("sla", "bundle", "kyc")

    document = json.loads(result.stdout)
    assert document["schema"] == "hms.incident_bundle/v1"
    assert document["made_by"] == f"ann@{socket.gethostname()}"
    assert [one["id"] for one in document["at_risk"]] == [task_id]
    assert document["at_risk"][0]["hidden"] == ["payload"]
    assert [one["act"] for one in document["audit"]] == ["configure"]
    assert "persistence" in {one["check"] for one in document["server"]}
    assert (document["left_out"], result.stderr) == ({}, "")


def test_secrets_of_receivers_are_shown_nowhere(hms: Hms) -> None:
    done = hms(
        *("queue", "create", "kyc", "--sla", "1h", "--notify", "mailtos://sam:pa55@example.org"),
        *("--webhook", "https://hooks.example.org/t0ken", "--webhook-secret", "s3cret"),
    )
    shown = [hms("queue", "show", "kyc"), hms("queue", "show", "kyc", "-o", "json"), done]
    for output in (one.output for one in shown):
        assert not any(secret in output for secret in ("pa55", "t0ken", "s3cret"))
    assert "webhook hooks.example.org, mailtos" in shown[0].stdout


def test_rungs_and_receivers_are_checked_at_once(hms: Hms) -> None:
    for arguments, message in [
        (("--ladder", "80% warn,bmup"), "asks for 'bmup', which is no action"),
        (("--ladder", "80% warn,webhook"), "speaks to no one: give webhook="),
        (("--webhook", "https://example.org"), "webhook= and webhook_secret= go together"),
        (("--webhook", "ftp://x", "--webhook-secret", "s"), "webhook= is not an address"),
        (("--notify", "sam"), "is not one that apprise knows"),
        (("--ladder", "80% warn,reroute:kyc"), 'moves tasks to "kyc" itself'),
    ]:
        done = hms("queue", "create", "kyc", "--sla", "1h", *arguments)
        assert done.exit_code == 2
        assert message in done.stderr


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


def test_the_audit_knows_who_sat_at_the_command_line(
    hms: Hms, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    hms("queue", "create", "kyc", "--sla", "1h")
    hms("queue", "pause", "kyc", "--reason", "lunch")
    task_id = late(url)
    hms("sla", "ack", "kyc", "--by", "sam")
    hms("sla", "waive", task_id, "--reason", "agreed")

    async def read() -> AuditPage:
        async with AsyncOMSClient(url) as oms:
            return await oms.audit("kyc")

    entries = reversed(anyio.run(read).entries)
    here = f"ann@{socket.gethostname()}"
    assert [(entry.act, entry.who, entry.via, entry.reason) for entry in entries] == [
        ("configure", here, "cli", ""),
        ("pause", here, "cli", "lunch"),
        ("acknowledge", "sam", "cli", ""),
        ("waive", here, "cli", "agreed"),
    ]
