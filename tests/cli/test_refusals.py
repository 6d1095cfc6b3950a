"""A server that will not have us, or that we cannot work with: one line, and exit 3."""

from collections.abc import Generator
from pathlib import Path

import pytest

from hms_async.storage.connect import redact
from hms_async.storage.embedded import running
from tests.cli.conftest import Hms
from tests.servers import Raw, server_of_version

COMMANDS = [("run", "service"), ("act",), ("stats",), ("job", "push", "kyc", "--data", "1")]


@pytest.fixture
def server(hms: Hms, tmp_path: Path) -> Generator[str]:
    """A server of the test's own, with two queues."""
    with running(tmp_path / "data") as server:
        for queue in ("kyc", "mail"):
            assert hms("queue", "create", queue, "-u", server.url).exit_code == 0
        yield server.url


def send(url: str, *command: str) -> None:
    raw = Raw(url)
    raw(*command)
    raw.close()


def refusals(hms: Hms, url: str) -> Generator[str]:
    """What each command says of the server, which is one line."""
    for command in COMMANDS:
        result = hms(*command, "-u", url)
        assert result.exit_code == 3, command
        assert result.stdout == ""
        start = f"error HMS-E043: {redact(url)}: "
        assert result.stderr.startswith(start)
        assert result.stderr.count("\n") == 1
        yield result.stderr.removeprefix(start).rstrip("\n")


def test_a_server_that_is_too_old(hms: Hms) -> None:
    with server_of_version("redis", "6.0.16") as url:
        assert set(refusals(hms, url)) == {
            "the server is redis 6.0.16: hms_async needs Redis 6.2, Valkey 7.2 or newer"
        }


def test_a_password_that_is_missing_or_wrong(hms: Hms, server: str) -> None:
    send(server, "CONFIG", "SET", "requirepass", "secret")
    where = "It goes into the URL: redis://:PASSWORD@host:6379/0"
    assert set(refusals(hms, server)) == {f"the server asks for a password. {where}"}
    (wrong,) = set(refusals(hms, server.replace("//", "//:guess@")))
    assert wrong.startswith("the server refuses the password: ")
    assert wrong.endswith(f". {where}")
    assert "guess" not in wrong
    assert hms("stats", "-u", server.replace("//", "//:secret@")).exit_code == 0


@pytest.mark.parametrize("rights", ["-@all +ping", "+@all -evalsha -ping", "+@all -hgetall -ping"])
def test_a_right_that_is_missing(hms: Hms, server: str, rights: str) -> None:
    send(server, "ACL", "SETUSER", "clerk", "on", ">pass", "~*", *rights.split())
    result = hms("run", "service", "-u", server.replace("//", "//clerk:pass@"))
    assert result.exit_code == 3
    assert "the user in the URL lacks a right: " in result.stderr
    assert result.stderr.count("\n") == 1
