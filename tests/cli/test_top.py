"""All queues at a glance: once, and again and again at a terminal."""

import json
from pathlib import Path

import anyio
import pytest

from hms_async import AsyncOMSClient
from hms_async.storage.embedded import running
from hms_async.storage.store import Store
from hms_async.testing import ManualClock
from tests.cli.conftest import Hms
from tests.cli.terminal import at_terminal

HEAD = ["QUEUE", "CLOCK", "PROMISE", "WAITING", "RUNNING", "LATER", "FAILED/1h", "OLDEST",
        "NEXT", "DUE", "FORECAST", "KEPT", "24h"]  # fmt: skip


def scene(url: str) -> None:
    """A queue with a late task, one in time that has kept a promise and broken one, one paused."""

    async def work() -> None:
        async with AsyncOMSClient(url) as oms:
            for name in ("calm", "passport.photo"):
                await oms.create_queue(name, sla="1h")
            await oms.create_queue("reports")
            now_ms = (await oms.stats("calm")).now_ms
            past = ManualClock(now_ms - 7_200_000)
            async with Store(url, clock=past) as store, AsyncOMSClient(store=store) as then:
                await then.enqueue("passport.photo", 1)
                await then.enqueue("calm", 1)
            await oms.enqueue("calm", 2)
            for _ in range(2):
                task = await oms.pop_task("calm")
                assert task is not None
                await task.fail("no")
            await oms.enqueue("calm", 3, delay="1h")
            await oms.enqueue("calm", 4)
            await oms.pause("reports", reason="ledger down")

    anyio.run(work)


def test_stats_puts_the_queue_nearest_to_harm_first(hms: Hms, url: str) -> None:
    scene(url)
    head, *lines = hms("stats").stdout.splitlines()
    assert head.split() == HEAD
    rows = {
        line.split("  ")[0]: [cell.strip() for cell in line.split("  ") if cell] for line in lines
    }
    assert list(rows) == ["passport.photo", "calm", "reports"]
    assert rows["passport.photo"][1:7] == ["# breached", "1h", "1", "0", "0", "0"]
    assert rows["calm"][1:7] == ["on track", "1h", "1", "0", "1", "2"]
    assert rows["calm"][-1] == "50.00%"
    assert rows["reports"][1:] == ["|| paused", "-", *("0",) * 4, *("-",) * 4]
    document = json.loads(hms("stats", "calm", "-o", "json").stdout)
    (calm,) = document["queues"]
    assert (calm["clock"], calm["failed_1h"], calm["kept_24h"]) == ("on_track", 2, 0.5)
    assert (calm["waiting"], calm["scheduled"], calm["slots"]) == (1, 1, None)


@pytest.mark.parametrize(("columns", "missing"), [(80, {"PROMISE", "LATER"}), (140, set[str]())])
def test_top_fits_the_terminal_and_ends_with_q(url: str, columns: int, missing: set[str]) -> None:
    scene(url)
    with at_terminal("top", "-i", "200ms", columns=columns) as terminal:
        screen = terminal.until("4 name")
        terminal.press("q")
        assert terminal.end() == 0
    head = next(line for line in screen.splitlines() if line.startswith("QUEUE"))
    assert missing == {name for name in ("PROMISE", "LATER") if name not in head}
    assert max(map(len, screen.splitlines())) <= columns
    assert "3 queues" in screen
    assert screen.index("passport.photo") < screen.index("reports")
    assert "Traceback" not in terminal.text
    # The screen from before is there again, with the cursor.
    assert terminal.raw.rstrip().endswith("\x1b[?25h\x1b[?1049l")


def test_keys_sort_and_hold(url: str) -> None:
    scene(url)
    with at_terminal("top", "-i", "100ms", lines=5) as terminal:
        assert "2 more queues" in terminal.until("4 name")
        terminal.press("4")
        terminal.until("by name")
        assert "calm" in terminal.until("4 name")
        terminal.press("p")
        terminal.until("held")
        terminal.until("p go on")
        terminal.press("\x03")
        assert terminal.end() == 0
        assert "Traceback" not in terminal.text


def test_a_server_that_goes_away_is_told_of_and_what_was_known_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path) as server:
        monkeypatch.setenv("HMS_URL", server.url)
        scene(server.url)
        with at_terminal("top", "-i", "100ms") as terminal:
            terminal.until("3 queues")
            server.stop()
            assert "passport.photo" in terminal.until("no answer") + terminal.until("4 name")
            terminal.press("q")
            assert terminal.end() == 0


def test_where_there_is_no_terminal_it_is_one_look(hms: Hms, url: str) -> None:
    scene(url)
    assert hms("top", "-Q", "calm").stdout == hms("stats", "calm").stdout
    assert hms("top", "-Q", "clam").exit_code == 4


def test_stats_can_look_again_and_again(url: str) -> None:
    scene(url)
    with at_terminal("stats", "--watch", "100ms") as terminal:
        for _ in range(3):
            terminal.until("reports")
        terminal.press("\x03")
        assert terminal.end() == 0
