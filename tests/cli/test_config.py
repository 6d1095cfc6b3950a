import json

import pytest

from tests.cli.conftest import Hms


def settings(hms: Hms, *args: str) -> dict[str, tuple[str | None, str]]:
    document = json.loads(hms("config", "-o", "json", *args).stdout)
    assert document["schema"] == "hms.config/v1"
    return {one["name"]: (one["value"], one["origin"]) for one in document["settings"]}


def test_a_flag_goes_before_the_environment_and_that_before_the_default(
    hms: Hms, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings(hms)["url"] == ("redis://127.0.0.1:6379/0", "default")
    monkeypatch.setenv("HMS_URL", "redis://blue")
    monkeypatch.setenv("HMS_QUEUE", "kyc:20,mail")
    monkeypatch.setenv("HMS_STRICT", "1")
    found = settings(hms, "-c", "5")
    assert found["url"] == ("redis://blue", "env")
    assert found["queues"] == ("kyc:20,mail", "env")
    assert found["strict"] == ("yes", "env")
    assert found["concurrency"] == ("5", "flag")
    assert (found["namespace"], found["log-level"]) == ((None, "default"), ("info", "default"))
    assert settings(hms, "-u", "redis://green")["url"] == ("redis://green", "flag")


def test_passwords_are_hidden(hms: Hms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMS_URL", "redis://ann:hunter2@blue:6379/0")
    done = hms("config")
    assert "redis://ann:***@blue:6379/0" in done.stdout
    assert "hunter2" not in done.stdout + hms("config", "-o", "json").stdout


def test_a_table_for_people_names_variable_and_flag(hms: Hms) -> None:
    lines = [line.split() for line in hms("config").stdout.splitlines()]
    assert lines[0] == ["SETTING", "VALUE", "FROM", "VARIABLE", "FLAG"]
    assert ["concurrency", "10", "default", "HMS_CONCURRENCY", "--concurrency"] in lines
    assert ["log-format", "auto", "default", "HMS_LOG_FORMAT", "--log-format"] in lines


def test_a_setting_that_makes_no_sense_is_refused(
    hms: Hms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HMS_SHUTDOWN_TIMEOUT", "soon")
    done = hms("config")
    assert (done.exit_code, '"soon" is not a duration' in done.stderr) == (2, True)
