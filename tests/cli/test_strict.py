"""A server that loses tasks: the banner warns of it, `--strict` refuses it."""

from collections.abc import Generator

import pytest

from hms_async.cli import banner
from hms_async.cli.banner import Scene
from tests.cli.conftest import Hms
from tests.servers import Raw

# As the embedded server is started.
GOOD = {"maxmemory-policy": "noeviction", "appendonly": "yes", "save": ""}
COMMANDS = [("run", "service", "--check"), ("act",)]

EVICTS = (
    "the server's eviction policy is allkeys-lru: at its maxmemory it drops tasks; "
    "CONFIG SET maxmemory-policy noeviction"
)
KEEPS_NOTHING = (
    "the server's append-only file is off and it takes no snapshots: its end loses every task; "
    "CONFIG SET appendonly yes"
)
KEEPS_SNAPSHOTS = (
    "the server's append-only file is off: a crash loses the minutes after its last snapshot; "
    "CONFIG SET appendonly yes"
)


@pytest.fixture(autouse=True)
def server(hms: Hms, url: str) -> Generator[Raw]:
    """A server with two queues, whose settings and users are put back at the end."""
    hms("queue", "create", "kyc")
    hms("queue", "create", "mail")
    raw = Raw(url)
    yield raw
    configure(raw, **GOOD)
    raw("ACL", "DELUSER", "clerk")
    raw.close()


def configure(server: Raw, **settings: str) -> None:
    for name, value in settings.items():
        server("CONFIG", "SET", name.replace("_", "-"), value)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, EVICTS),
        ({"appendonly": "no"}, KEEPS_NOTHING),
        ({"appendonly": "no", "save": "3600 1"}, KEEPS_SNAPSHOTS),
    ],
)
def test_a_server_that_loses_tasks_is_warned_of_and_refused_if_asked(
    hms: Hms, server: Raw, settings: dict[str, str], fault: str
) -> None:
    configure(server, **settings)
    assert hms("run", "service", "--check").stderr == f"warning: {fault}\n"
    for command in COMMANDS:
        refused = hms(*command, "--strict")
        assert refused.exit_code == 3
        assert refused.stdout == ""
        assert refused.stderr.startswith("error HMS-E043: --strict refuses redis://127.0.0.1:")
        assert refused.stderr.endswith(f"/0: {fault}\n")


def test_what_to_type_helps(hms: Hms, server: Raw) -> None:
    configure(server, maxmemory_policy="volatile-ttl", appendonly="no")
    said = hms("run", "service", "--check", "--strict").stderr
    typed = [part.split(";")[0].split() for part in said.split("CONFIG SET ")[1:]]
    for name, value in typed:
        server("CONFIG", "SET", name, value)
    assert len(typed) == 2
    assert hms("run", "service", "--check", "--strict").exit_code == 0


def test_strict_comes_from_the_environment(
    hms: Hms, server: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HMS_STRICT", "1")
    assert hms("run", "service", "--check").exit_code == 0
    configure(server, appendonly="no")
    assert hms("run", "service", "--check").exit_code == 3


def test_what_could_not_be_seen_is_said_and_not_refused(
    hms: Hms, server: Raw, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server("ACL", "SETUSER", "clerk", "on", ">pass", "+@all", "-info", "-config", "~*")
    configure(server, appendonly="no")
    monkeypatch.setenv("HMS_URL", url.replace("//", "//clerk:pass@"))
    result = hms("run", "service", "--check", "--strict")
    assert result.exit_code == 0
    assert result.stderr == (
        "warning: whether the server drops tasks when it is full or loses them in a crash could "
        "not be checked: its INFO does not say\n"
    )


def test_without_config_it_is_known_that_a_crash_loses_something(
    hms: Hms, server: Raw, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server("ACL", "SETUSER", "clerk", "on", ">pass", "+@all", "-config", "~*")
    configure(server, appendonly="no")
    monkeypatch.setenv("HMS_URL", url.replace("//", "//clerk:pass@"))
    refused = hms("run", "service", "--check", "--strict")
    assert refused.exit_code == 3
    assert "a crash loses what came after its last snapshot, or all if it takes none" in (
        refused.stderr
    )


def test_memory_keeps_nothing() -> None:
    scene = Scene(info={}, latency_s=0.0, queues=[])
    (warning,) = banner.warnings("memory://", scene)
    assert warning.startswith("memory:// keeps nothing")
    assert banner.faults("memory://", scene) == [warning]
