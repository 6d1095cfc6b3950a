import json
import os
import socket
import subprocess
import sys
import time

import click
import pytest

from hms_async.cli.main import hms as root
from hms_async.storage import connect
from tests.cli.conftest import ROOT, Hms


def test_help_lists_every_command_with_its_own_words(hms: Hms) -> None:
    text = hms("--help").stdout
    context = click.Context(root)
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        assert command is not None
        assert f"\n  {name} " in text
        assert hms(name, "--help").exit_code == 0
    assert max(map(len, text.splitlines())) <= 80


def test_help_imports_no_command() -> None:
    code = (
        "import sys; from hms_async.cli.main import hms\n"
        "try: hms(['--help'])\n"
        "except SystemExit: pass\n"
        "print(*(name for name in sys.modules if name.startswith('hms_async.cli.')))"
    )
    done = subprocess.run(  # noqa: S603  # the code above
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        check=True,
    )
    modules = {name.rpartition(".")[2] for name in done.stdout.splitlines()[-1].split()}
    assert modules == {"options", "errors", "main"}


def test_help_imports_nothing_slow() -> None:
    done = subprocess.run(  # our own command
        [sys.executable, "-X", "importtime", "-m", "hms_async", "--help"],
        env=os.environ | {"PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        check=True,
    )
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "hms_async.cli.main" in modules
    assert modules.isdisjoint({"anyio", "asyncio", "redis", "rich", "structlog"})


def test_a_mistyped_command_comes_with_the_nearest_one(hms: Hms) -> None:
    result = hms("stat")
    assert result.exit_code == 2
    assert result.stderr == 'error: No such command "stat". Did you mean "stats"?  (hms --help)\n'
    assert hms("queue", "lss").exit_code == 2
    assert hms("xyz").stderr == 'error: No such command "xyz".  (hms --help)\n'


def test_version(hms: Hms) -> None:
    lines = hms("version").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["hms_async", "python", "uses", "extras"]
    document = json.loads(hms("version", "-o", "json").stdout)
    assert document["schema"] == "hms.version/v1"
    assert document["extras"]["embedded"]


def test_stats(hms: Hms, url: str) -> None:
    assert url
    assert hms("stats").stderr == "no queues yet: hms queue create NAME --sla 2h\n"
    hms("queue", "create", "kyc", "--sla", "2h")
    hms("queue", "create", "mail")
    hms("job", "push", "kyc", "--data", "1")
    lines = [line.split() for line in hms("stats").stdout.splitlines()]
    assert lines[0][:4] == ["QUEUE", "CLOCK", "PROMISE", "WAITING"]
    assert [line[-9:][:2] for line in lines[1:]] == [["2h", "1"], ["-", "0"]]
    assert [line.split()[0] for line in hms("stats", "mail").stdout.splitlines()[1:]] == ["mail"]
    document = json.loads(hms("stats", "kyc", "-o", "json").stdout)
    assert document["schema"] == "hms.stats/v1"
    assert document["queues"][0]["totals"] == {"accepted": 1}
    unknown = hms("stats", "kyc", "mial")
    assert (unknown.exit_code, 'Did you mean "mail"?' in unknown.stderr) == (4, True)


@pytest.mark.parametrize(
    "args",
    [
        ["stats"],
        ["queue", "ls"],
        ["queue", "create", "kyc"],
        ["queue", "peek", "kyc"],
        ["job", "push", "kyc", "--data", "1"],
        ["job", "show", "x"],
        ["act"],
        ["run", "service:check_kyc"],
    ],
)
def test_no_server_is_noticed_at_once(
    hms: Hms, args: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        nobody = f"redis://:secret@127.0.0.1:{probe.getsockname()[1]}/0"
    monkeypatch.setenv("HMS_URL", nobody)
    start = time.monotonic()
    result = hms(*args)
    assert time.monotonic() - start < 1.5
    assert result.exit_code == 3
    assert result.stderr == (
        f"error HMS-E041: no server at {connect.redact(nobody)} (connection refused). "
        "Start one with `hms dev`, or name yours with -u or HMS_URL\n"
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://example", "'http://example' is not a store URL"),
        ("redis://host:port/0", "'redis://host:port/0' is not a store URL"),
    ],
)
def test_a_url_that_is_none(hms: Hms, url: str, said: str) -> None:
    result = hms("stats", "-u", url)
    assert result.exit_code == 2
    assert said in result.stderr


def test_flag_before_environment_before_default(
    hms: Hms, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HMS_URL", "redis://127.0.0.1:1/0")
    assert hms("stats").exit_code == 3
    assert hms("stats", "-u", url).exit_code == 0
    monkeypatch.setenv("HMS_OUTPUT", "json")
    assert hms("version").stdout.startswith("{")
    assert not hms("version", "-o", "table").stdout.startswith("{")


def test_ctrl_c_gives_no_traceback(hms: Hms, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hms_async.cli.stats.ask", interrupted)
    result = hms("stats")
    assert (result.exit_code, result.output) == (130, "\n")


def test_a_bug_of_ours_is_one_line_and_debug_shows_where(monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner  # noqa: PLC0415

    def broken(*_: object) -> None:
        raise ExceptionGroup("g", [ZeroDivisionError("oh")])

    monkeypatch.setattr("hms_async.cli.stats.ask", broken)
    short = CliRunner().invoke(root, ["stats"])
    assert short.exit_code == 1
    assert short.stderr == "error: ZeroDivisionError: oh  (--debug shows the traceback)\n"
    long = CliRunner().invoke(root, ["stats", "--debug"])
    assert long.exit_code == 1
    assert "Traceback" in long.stderr
    assert long.stderr.endswith(short.stderr)
