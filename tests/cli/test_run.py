import pytest

from tests.cli.conftest import Hms


@pytest.fixture(autouse=True)
def _queues(hms: Hms, url: str) -> None:
    assert url
    hms("queue", "create", "passport.photo", "--sla", "2h")
    hms("queue", "create", "kyc")
    hms("queue", "create", "mail")


def checked(hms: Hms, *args: str) -> dict[str, str]:
    """What `--check` says, line by line: the first word and the rest."""
    result = hms("run", *args, "--check")
    assert result.exit_code == 0, result.stderr
    lines: dict[str, str] = {}
    label = ""
    for line in result.stdout.splitlines():
        label = line[:10].strip() or label
        lines[label] = f"{lines.get(label, '')}\n{line[11:]}".strip()
    return lines


def test_check_prints_what_would_run(hms: Hms, url: str) -> None:
    lines = checked(hms, "service:validate", "-Q", "passport.photo:3", "-n", "w1")
    assert "worker w1" in lines["hms_async"]
    assert lines["store"].startswith(f"{url}   valkey ")
    assert "noeviction   aof   " in lines["store"]
    assert lines["queues"] == "passport.photo   3 slots   promise 2h   waiting 0"
    assert lines["handlers"] == "service.validate   (Photo)   service.py:15"
    assert lines["slots"] == "10 slots in all   25 s to finish at a stop"
    assert lines["act"] == "supervises these queues"


def test_a_plain_function_takes_every_queue(hms: Hms) -> None:
    lines = checked(hms, "service:validate", "-Q", "kyc:2,mail", "-Q", "passport.photo", "-c", "4")
    queues = [line.split()[:2] for line in lines["queues"].splitlines()]
    assert queues == [["kyc", "2"], ["mail", "4"], ["passport.photo", "4"]]
    assert lines["handlers"].count("validate") == 1


@pytest.mark.parametrize(
    "targets", [["service"], ["service:check_kyc", "service:send_mail"], ["service", "service"]]
)
def test_decorated_functions_know_their_queues(hms: Hms, targets: list[str]) -> None:
    lines = checked(hms, *targets)
    assert [line.split()[:2] for line in lines["queues"].splitlines()] == [
        ["kyc", "3"],
        ["mail", "10"],
    ]


def test_q_chooses_among_decorated_functions(hms: Hms) -> None:
    assert checked(hms, "service", "-Q", "mail:2")["queues"].split()[:2] == ["mail", "2"]


def test_a_worker_keeps_its_settings_where_no_flag_says_otherwise(
    hms: Hms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HMS_CONCURRENCY", "50")
    own = checked(hms, "service:worker")
    assert "worker clerk" in own["hms_async"]
    assert own["slots"] == "7 slots in all   25 s to finish at a stop"
    told = checked(
        hms, "service:worker", "-c", "2", "-n", "w2", "-Q", "mail", "--no-act",
        "--shutdown-timeout", "1m",
    )  # fmt: skip
    assert "worker w2" in told["hms_async"]
    assert told["slots"] == "2 slots in all   60 s to finish at a stop"
    assert told["queues"].split()[0] == "mail"
    assert told["act"] == "off: run `hms act` beside it"


def test_settings_come_from_the_environment(hms: Hms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMS_QUEUE", "kyc:2,mail")
    monkeypatch.setenv("HMS_CONCURRENCY", "6")
    monkeypatch.setenv("HMS_NAME", "from-env")
    monkeypatch.setenv("HMS_NO_ACT", "1")
    monkeypatch.setenv("HMS_SHUTDOWN_TIMEOUT", "5")
    lines = checked(hms, "service:validate")
    assert "worker from-env" in lines["hms_async"]
    assert lines["slots"] == "6 slots in all   5 s to finish at a stop"
    assert lines["act"] == "off: run `hms act` beside it"
    assert checked(hms, "service:validate", "-c", "3")["slots"].startswith("3 slots")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["service:validate"], "hms run service:validate -Q your.queue"),
        (
            ["service:validate", "service:sleepy", "-Q", "kyc"],
            'several targets are given: decorate each with @handler(queue="...")',
        ),
        (["service:validate", "service"], "several targets are given: decorate each"),
        (["service:worker", "service:check_kyc"], "service:worker is a whole worker: run it alone"),
        (["service", "-Q", "kcy"], 'no target does the tasks of "kcy": -Q chooses among kyc, mail'),
        (["service:answer"], "42 cannot be a handler"),
        (["service:Photo", "-Q", "kyc"], "cannot be a handler"),
        (["service:validate", "-Q", "kyc:x"], '"x" is not a limit: write kyc:20'),
        (["service:validate", "-Q", "kyc:0"], '"0" is not a limit'),
        (["service:validate", "-Q", "kyc,kyc:2"], '-Q names the queue "kyc" twice'),
        (["service:validate", "-Q", "k y"], "queue name 'k y' is not valid"),
        (["service", "-c", "0"], "concurrency=0 is not a whole number"),
        (["service", "--shutdown-timeout", "soon"], '"soon" is not a duration'),
        (["service", "--log-format", "xml"], "'xml' is not one of"),
        (["service", "-u", "memory://"], "memory:// is empty in each new process"),
        (["nowhere:validate"], 'no module "nowhere"'),
        ([], "Missing argument"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(hms: Hms, args: list[str], said: str) -> None:
    result = hms("run", *args)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_run_never_creates_a_queue(hms: Hms) -> None:
    result = hms("run", "service:validate", "-Q", "passport.foto")
    assert result.exit_code == 4
    assert result.stderr == (
        'error HMS-E004: no queue "passport.foto". Did you mean "passport.photo"?  '
        "Or create it: hms queue create passport.foto --sla 2h\n"
    )
    assert "passport.foto" not in hms("queue", "ls").stdout
    far = hms("run", "service:validate", "-Q", "zzz", "--check")
    assert far.exit_code == 4
    assert far.stderr.endswith("Create it: hms queue create zzz --sla 2h\n")


def test_waiting_tasks_are_in_the_banner(hms: Hms) -> None:
    hms("job", "push", "kyc", "--data", "1")
    hms("queue", "pause", "mail", "--reason", "printer down")
    queues = checked(hms, "service")["queues"].splitlines()
    assert "waiting 1   oldest " in queues[0]
    assert queues[1].endswith("paused printer down")
