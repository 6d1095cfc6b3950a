import json

import anyio
import pytest

from hms_async.domain.queue import QueueSettings
from hms_async.storage.store import Store
from tests.cli.conftest import Hms
from tests.servers import Raw


@pytest.fixture
def _well(url: str) -> None:
    """A queue that is served and watched."""

    async def prepare() -> None:
        async with Store(url) as store:
            await store.configure("kyc", QueueSettings.create(sla="2h"))
            await store.register_worker("clerk", {"queues": "kyc", "version": "0.1.0"}, 60)
            await store.sweep("kyc")

    anyio.run(prepare)


@pytest.mark.usefixtures("_well")
def test_what_is_well_is_told_in_a_line_each_and_the_exit_is_clean(hms: Hms) -> None:
    result = hms("doctor")
    assert result.exit_code == 0, result.stdout
    lines = result.stdout.splitlines()
    assert lines[-1] == "0 red, 0 amber, 16 green"
    assert "  green  workers     1 worker" in lines
    assert json.loads(hms("doctor", "-o", "json").stdout)["level"] == "green"


@pytest.mark.usefixtures("_well")
def test_what_is_red_says_what_to_type_and_shows_in_the_exit_code(hms: Hms, url: str) -> None:
    raw = Raw(url)
    raw("DEL", "worker:clerk", "queue:kyc:swept")
    raw.close()
    hms("job", "push", "kyc", "--data", "1")
    result = hms("doctor")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    at = lines.index("  RED    workers     no live worker for kyc: 1 task waits")
    assert lines[at + 1].split() == ["->", "hms", "run", "MODULE:HANDLER", "-Q", "kyc"]
    assert lines[-1].startswith("2 red")
    document = json.loads(hms("doctor", "-o", "json").stdout)
    assert document["schema"] == "hms.doctor/v1"
    (found,) = [one for one in document["findings"] if one["check"] == "supervisor"]
    assert (found["level"], found["queue"]) == ("red", "kyc")


@pytest.mark.usefixtures("_well")
def test_lost_tasks_are_put_back_on_a_paused_queue_only(hms: Hms, url: str) -> None:
    task_id = hms("job", "push", "kyc", "--data", "1").stdout.strip()
    raw = Raw(url)
    raw("LREM", "queue:kyc", 0, task_id)
    raw.close()
    refused = hms("doctor", "--fix", "kyc")
    assert refused.exit_code == 5
    assert "hms queue pause kyc --reason doctor" in refused.stderr
    hms("queue", "pause", "kyc", "--reason", "doctor")
    mended = hms("doctor", "--fix", "kyc")
    assert mended.stdout == "mended 1: waiting, and in no list\n"
    assert "hms queue resume kyc" in mended.stderr
    assert hms("doctor", "--fix", "kyc").stdout == ""
    assert hms("doctor", "--fix", "kcy").exit_code == 4


def test_a_server_that_is_away_is_no_finding(hms: Hms) -> None:
    assert hms("doctor", "-u", "redis://127.0.0.1:1/0").exit_code == 3
    assert hms("doctor", "-u", "memory://x").exit_code == 2
