import json
from typing import Any

import pytest

from tests.cli.conftest import Hms

pytestmark = pytest.mark.usefixtures("url")


def test_create_says_what_it_promises_and_is_idempotent(hms: Hms) -> None:
    first = hms("queue", "create", "kyc", "--sla", "2h")
    assert (first.exit_code, first.stdout) == (0, "")
    assert first.stderr == "queue kyc created, promise 2h\n"
    again = hms("queue", "create", "kyc", "--sla", "120m")
    assert again.stderr == "queue kyc is there already, promise 2h\n"


def test_create_says_what_it_changes_also_by_leaving_it_out(hms: Hms) -> None:
    hms("queue", "create", "kyc", "--sla", "2h")
    changed = hms("queue", "create", "kyc", "--lease", "5")
    assert changed.stderr == "queue kyc changed: promise 2h -> none; lease 30s -> 5s\n"


def test_every_setting_of_create_arrives(hms: Hms) -> None:
    created = hms(
        *("queue", "create", "kyc", "-o", "json", "--sla", "90m", "--lease", "4s"),
        *("--max-attempts", "7", "--retry-base", "2s", "--retry-cap", "1m", "--max-crashes", "2"),
        *("--max-depth", "9", "--max-payload-bytes", "1000", "--idempotency-window", "1h"),
        *("--ladder", "50% note", "--ladder", "100%+15m page", "--goal", "99.9%"),
    )
    document = json.loads(created.stdout)
    assert document["schema"] == "hms.queue.create/v1"
    assert document["created"] is True
    wanted = {
        "name": "kyc",
        "sla_ms": 5_400_000,
        "goal": 0.999,
        "lease_ms": 4_000,
        "max_attempts": 7,
        "retry_base_ms": 2_000,
        "retry_cap_ms": 60_000,
        "max_crashes": 2,
        "max_depth": 9,
        "max_payload_bytes": 1_000,
        "idempotency_window_ms": 3_600_000,
        "ladder": ["50% note", "100%+15m page"],
    }
    assert {name: document["queue"][name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["kyc", "--sla", "soon"], '"soon" is not a duration: write 90s, 15m'),
        (["kyc", "--lease", "1s"], "error HMS-E003: lease='1s' is too short"),
        (["kyc", "--goal", "99"], "error HMS-E001: goal='99' is no share of promises: give 0.99"),
        (["kyc", "--ladder", "soon"], "error HMS-E001: 'soon' is not a rung"),
        (["kyc", "--max-depth", "0"], "error HMS-E001: max_depth=0 is not a whole number"),
        (["k y c"], "error HMS-E002: queue name 'k y c' is not valid"),
        ([], "error: Missing argument 'NAME'.  (hms queue create --help)"),
        (["kyc", "--slo", "2h"], "No such option '--slo'"),
    ],
)
def test_create_refuses_in_one_line_what_makes_no_sense(
    hms: Hms, args: list[str], said: str
) -> None:
    result = hms("queue", "create", *args)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


EVERY_SETTING = (
    *("--sla", "90m", "--ladder", "50% note", "--ladder", "100% webhook", "--late", "expire"),
    *("--max-wait", "1h", "--run-timeout", "2m", "--webhook", "https://hooks.example/x"),
    *("--webhook-secret", "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "--lease", "4s"),
    *("--max-attempts", "7", "--retry-base", "2s", "--retry-cap", "1m", "--max-crashes", "2"),
    *("--max-depth", "9", "--max-payload-bytes", "1000", "--idempotency-window", "1h"),
)


def settings_of(hms: Hms, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(hms("queue", "show", name, "-o", "json").stdout)["queue"]
    return found


def test_set_changes_what_is_given_and_keeps_the_rest(hms: Hms) -> None:
    hms("queue", "create", "kyc", *EVERY_SETTING, "--pause-stops-clock")
    before = settings_of(hms, "kyc")

    done = hms("queue", "set", "kyc", "--sla", "1h", "--retry-cap", "90s", "-o", "json")

    assert done.stderr == "queue kyc changed: promise 1h30m -> 1h; retry cap 1m -> 1m30s\n"
    after = settings_of(hms, "kyc")
    assert after == before | {"sla_ms": 3_600_000, "retry_cap_ms": 90_000, "version": 2}
    document = json.loads(done.stdout)
    assert (document["schema"], document["queue"]) == ("hms.queue.set/v1", after)


def test_set_to_none_takes_a_setting_away(hms: Hms) -> None:
    hms("queue", "create", "kyc", *EVERY_SETTING, "--pause-stops-clock")

    refused = hms("queue", "set", "kyc", "--webhook", "none")
    assert (refused.exit_code, "speaks to no one" in refused.stderr) == (2, True)
    done = hms(
        *("queue", "set", "kyc", "--sla", "none", "--ladder", "none", "--max-wait", "none"),
        *("--run-timeout", "none", "--webhook", "none", "--max-depth", "none"),
        "--pause-runs-clock",
    )

    assert done.exit_code == 0
    after = settings_of(hms, "kyc")
    optional = ("sla_ms", "max_wait_ms", "run_timeout_ms", "max_depth")
    assert {name: after[name] for name in optional} == dict.fromkeys(optional)
    assert (after["ladder"], after["receivers"], after["pause_stops_clock"]) == ([], [], False)
    assert (after["lease_ms"], after["late"]) == (4_000, "expire")


def test_set_can_set_all_that_create_can(hms: Hms) -> None:
    hms("queue", "create", "one", *EVERY_SETTING, "--pause-stops-clock")
    hms("queue", "create", "two")
    hms("queue", "set", "two", *EVERY_SETTING, "--pause-stops-clock")
    assert settings_of(hms, "two") | {"name": "one", "version": 1} == settings_of(hms, "one")
    again = hms("queue", "set", "two", *EVERY_SETTING)
    assert again.stderr == "queue two is so already\n"


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ([], 2, "say what to change, such as --sla 1h  (hms queue set --help)"),
        (["--sla", "soon"], 2, '"soon" is not a duration'),
        (["--max-depth", "many"], 2, "'many' is not a valid integer"),
        (["--lease", "none"], 2, '"none" is not a duration'),
        (["--lease", "1s"], 2, "error HMS-E003: lease="),
    ],
)
def test_set_refuses_what_makes_no_sense(hms: Hms, args: list[str], code: int, said: str) -> None:
    hms("queue", "create", "kyc")
    result = hms("queue", "set", "kyc", *args)
    assert (result.exit_code, result.stderr.count("\n")) == (code, 1)
    assert said in result.stderr
    assert settings_of(hms, "kyc")["version"] == 1


def test_set_does_not_create(hms: Hms) -> None:
    hms("queue", "create", "kyc")
    result = hms("queue", "set", "kcy", "--sla", "1h")
    assert (result.exit_code, 'Did you mean "kyc"?' in result.stderr) == (4, True)
    assert "kcy" not in hms("queue", "ls").stdout


def test_ls_as_plain_columns(hms: Hms) -> None:
    assert hms("queue", "ls").stderr == "no queues yet: hms queue create NAME --sla 2h\n"
    hms("queue", "create", "mail")
    hms("queue", "create", "passport.photo", "--sla", "2h")
    hms("queue", "pause", "mail", "--reason", "printer down")
    assert hms("queue", "ls").stdout.splitlines() == [
        "QUEUE           PROMISE  LEASE  ATTEMPTS  OPEN  STATE",
        "mail            -        30s    5         0     paused: printer down",
        "passport.photo  2h       30s    5         0     active",
    ]


def test_ls_as_json(hms: Hms) -> None:
    hms("queue", "create", "kyc", "--sla", "2h")
    document = json.loads(hms("queue", "ls", "-o", "json").stdout)
    assert document["schema"] == "hms.queue.list/v1"
    assert [one["name"] for one in document["queues"]] == ["kyc"]
    assert document["queues"][0]["stats"]["waiting"] == 0


def test_show(hms: Hms) -> None:
    hms("queue", "create", "kyc", "--sla", "2h")
    hms("job", "push", "kyc", "--data", "1")
    lines = hms("queue", "show", "kyc").stdout.splitlines()
    pairs = dict(line.split(maxsplit=1) for line in lines)
    assert pairs["promise"] == "2h"
    assert pairs["ladder"] == "80% warn,bump; 100% breach,escalate; 100%+15m page"
    assert pairs["waiting"] == "1"
    document = json.loads(hms("queue", "show", "kyc", "-o", "json").stdout)
    assert document["schema"] == "hms.queue.show/v1"
    assert (document["queue"]["sla_ms"], document["stats"]["waiting"]) == (7_200_000, 1)


def test_show_tells_who_paused_it_and_when(hms: Hms) -> None:
    hms("queue", "create", "kyc")
    assert "\npaused" not in hms("queue", "show", "kyc").stdout
    hms("queue", "pause", "kyc", "--reason", "printer down")

    lines = hms("queue", "show", "kyc").stdout.splitlines()
    pairs = dict(line.split(maxsplit=1) for line in lines)

    assert pairs["state"] == "paused: printer down"
    document = json.loads(hms("queue", "show", "kyc", "-o", "json").stdout)["queue"]
    assert pairs["paused"] == f"{document['paused_at']} by {document['paused_by']}"
    assert "@" in document["paused_by"]


def test_peek_shows_what_is_taken_next(hms: Hms) -> None:
    hms("queue", "create", "kyc")
    assert hms("queue", "peek", "kyc").stderr == "nothing waits in kyc\n"
    for name, priority in (("first", "normal"), ("second", "normal"), ("urgent", "high")):
        hms("job", "push", "kyc", "--data", '{"a": 1}', "--id", name, "--priority", priority)
    lines = hms("queue", "peek", "kyc", "-n", "2").stdout.splitlines()
    assert lines[0].split() == ["ID", "CORRELATION", "PRIORITY", "ARRIVED", "DUE", "PAYLOAD"]
    assert [line.split()[0] for line in lines[1:]] == ["urgent", "first"]
    assert lines[1].endswith('{"a":1}')
    document = json.loads(hms("queue", "peek", "kyc", "-o", "json").stdout)
    assert document["schema"] == "hms.queue.peek/v1"
    assert [task["id"] for task in document["tasks"]] == ["urgent", "first", "second"]


def test_pause_and_resume_say_whether_they_changed_anything(hms: Hms) -> None:
    hms("queue", "create", "kyc")
    said = [
        hms("queue", "pause", "kyc").stderr,
        hms("queue", "pause", "kyc").stderr,
        hms("queue", "resume", "kyc").stderr,
        hms("queue", "resume", "kyc").stderr,
    ]
    assert said == [
        "queue kyc paused\n",
        "queue kyc was paused already\n",
        "queue kyc goes on\n",
        "queue kyc was not paused\n",
    ]


@pytest.mark.parametrize("command", ["show", "peek", "pause", "resume"])
def test_an_unknown_queue_comes_with_the_nearest_name(hms: Hms, command: str) -> None:
    hms("queue", "create", "kyc")
    near = hms("queue", command, "kcy")
    assert near.exit_code == 4
    assert near.stderr == 'error HMS-E004: no queue "kcy". Did you mean "kyc"?  (hms queue ls)\n'
    far = hms("queue", command, "mail")
    assert far.exit_code == 4
    assert far.stderr == (
        'error HMS-E004: no queue "mail". Create it: hms queue create mail --sla 2h\n'
    )


def test_a_namespace_is_a_world_of_its_own(hms: Hms, monkeypatch: pytest.MonkeyPatch) -> None:
    hms("queue", "create", "kyc", "--namespace", "blue")
    assert hms("queue", "ls").stdout == ""
    monkeypatch.setenv("HMS_NAMESPACE", "blue")
    assert "kyc" in hms("queue", "ls").stdout
    assert hms("queue", "ls", "--namespace", "green").stdout == ""
