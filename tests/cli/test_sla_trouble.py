"""`hms sla`: how the promises stand, also where something is missing or broken."""

import getpass
import json

import pytest

from tests.cli.conftest import Hms
from tests.servers import Raw

SECRETS = [
    *("--webhook", "https://user:SECRET1@h.example/SECRET2?x=SECRET3"),
    *("--webhook-secret", "SECRET4", "--notify", "mailto://u:SECRET5@example.com"),
]


@pytest.fixture
def raw(url: str) -> Raw:
    """The server of `url`, past the store."""
    return Raw(url)


@pytest.mark.parametrize(
    ("args", "exit_code", "said"),
    [
        (["ls"], 0, "no queues yet: hms queue create NAME --sla 2h"),
        (["ls", "--at-risk"], 0, "no task is at risk"),
        (["check"], 0, "no open task is late"),
        (["ls", "kyc"], 4, 'no queue "kyc"'),
        (["check", "kyc"], 4, 'no queue "kyc"'),
        (["ack", "kyc"], 4, 'no queue "kyc"'),
        (["ack", "kyc", "fire"], 2, "'fire' is not one of 'sla', 'forecast', 'delivery'"),
        (["waive", "x", "--reason", "y"], 4, 'no task "x"'),
        (["waive", "x y", "--reason", "y"], 2, "task id 'x y' is not valid"),
        (["pause", "kyc"], 2, "Missing option '--reason'"),
        (["pause", "kyc", "--reason", "y"], 4, 'no queue "kyc"'),
        (["undelivered", "kyc"], 4, 'no queue "kyc"'),
        (["bundle", "kyc"], 4, 'no queue "kyc"'),
    ],
)
@pytest.mark.usefixtures("url")
def test_without_queues_each_command_says_what_is_missing(
    hms: Hms, args: list[str], exit_code: int, said: str
) -> None:
    result = hms("sla", *args)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert said in result.stderr


@pytest.mark.usefixtures("url")
def test_what_is_secret_of_receivers_is_shown_by_no_command(hms: Hms) -> None:
    shown = [hms("queue", "create", "kyc", *SECRETS, "-o", "json")]
    shown += [
        hms("queue", "create", "kyc", "--notify", "user:SECRET6@host/odd://x"),
        hms("queue", "create", "kyc", "--notify", "json://u:SECRET7@"),
        hms("queue", "create", "kyc", "--notify", "nonsense://SECRET8"),
        hms("queue", "create", "kyc", *SECRETS[2:4], "--webhook", "http://h/SECRET9 b"),
    ]
    assert [result.exit_code for result in shown] == [0, 2, 2, 2, 2]
    for command in ("show", "ls"):
        names = ["kyc"] if command == "show" else []
        shown += [hms("queue", command, *names), hms("queue", command, *names, "-o", "json")]
    shown += [hms("sla", "ls"), hms("sla", "ls", "-o", "json")]
    for result in shown:
        assert "SECRET" not in result.output + result.stderr


@pytest.mark.usefixtures("url")
def test_to_acknowledge_what_is_not_open_is_not_found(hms: Hms) -> None:
    hms("queue", "create", "kyc")
    result = hms("sla", "ack", "kyc")
    assert result.exit_code == 4
    assert 'queue "kyc" has no open incident of the kind sla' in result.stderr


@pytest.mark.usefixtures("url")
def test_a_user_without_a_name_is_asked_for_one(hms: Hms, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", nobody)
    result = hms("sla", "ack", "kyc")
    assert result.exit_code == 2
    assert "say who you are: --by NAME" in result.stderr


def test_a_name_without_a_queue_hides_no_other(hms: Hms, raw: Raw) -> None:
    hms("queue", "create", "kyc", "--sla", "2h")
    raw("SADD", "queues", "removed", b"\xff\xfe", "no name")

    for args in (["sla", "ls"], ["queue", "ls"]):
        result = hms(*args)
        assert result.exit_code == 0
        assert result.stdout.splitlines()[1].startswith("kyc ")
    assert hms("sla", "check").exit_code == 0
    assert hms("sla", "ls", "--at-risk").exit_code == 0


def test_a_broken_message_is_listed_with_the_others(hms: Hms, raw: Raw) -> None:
    hms("queue", "create", "kyc")
    raw("ZADD", "queue:kyc:actions:dead", 1, "broken")
    raw("HSET", "queue:kyc:action:broken", "kind", "webhook", "tries", "x")

    result = hms("sla", "undelivered", "kyc", "-o", "json")

    assert result.exit_code == 0
    (message,) = json.loads(result.stdout)["messages"]
    assert (message["id"], message["kind"], message["tries"]) == ("broken", "webhook", 0)
