import json

import anyio
import pytest

from hms_async import AsyncOMSClient
from tests.cli.conftest import Hms

pytestmark = pytest.mark.usefixtures("url")


@pytest.fixture
def ids(hms: Hms, url: str) -> tuple[str, str]:
    """A case of which one task is done and the next one waits in another queue."""
    hms("queue", "create", "photo", "--sla", "2h")
    hms("queue", "create", "print")
    done = hms("job", "push", "photo", "--data", "{}", "--corr", "REQ-1").stdout.strip()

    async def finish() -> None:
        async with AsyncOMSClient(url) as oms:
            task = await oms.pop_task("photo", timeout=10)
            assert task is not None
            await task.complete({"note": "Photo OK"})

    anyio.run(finish)
    waits = hms("job", "push", "print", "--data", '{"copies": 1}', "--corr", "REQ-1")
    return done, waits.stdout.strip()


def test_show_says_where_a_case_is_and_lists_its_tasks(hms: Hms, ids: tuple[str, str]) -> None:
    text = hms("case", "show", "REQ-1").stdout
    head, _, table = text.partition("\n\n")
    pairs = dict(line.split(maxsplit=1) for line in head.splitlines())
    assert (pairs["case"], pairs["at"]) == ("REQ-1", "waiting in print")
    assert pairs["tasks"] == "1 done, 1 waiting"
    assert "ended" not in pairs
    lines = [line.split() for line in table.splitlines()]
    assert lines[0][:4] == ["ID", "QUEUE", "STATE", "ATTEMPT"]
    assert [line[:4] for line in lines[1:]] == [
        [ids[0], "photo", "done", "1"],
        [ids[1], "print", "waiting", "0"],
    ]
    assert lines[2][-1] == '{"copies":1}'


def test_show_as_json(hms: Hms, ids: tuple[str, str]) -> None:
    document = json.loads(hms("case", "show", "REQ-1", "-o", "json").stdout)
    assert document["schema"] == "hms.case.show/v1"
    assert [task["id"] for task in document["tasks"]] == [*ids]
    summary = document["summary"]
    assert summary["counts"] == {"done": 1, "waiting": 1}
    assert summary["at"] == {"task_id": ids[1], "queue": "print", "state": "waiting"}
    assert (summary["open"], summary["ended"], summary["ended_at"]) == (1, 1, None)


def test_show_says_that_there_is_more(hms: Hms, ids: tuple[str, str]) -> None:
    done = hms("case", "show", "REQ-1", "-n", "1")
    assert ids[0] not in done.stdout
    assert ids[1] in done.stdout
    assert done.stderr == "it has earlier tasks: hms case show REQ-1 -n 2\n"


def test_a_case_that_is_over(hms: Hms, ids: tuple[str, str]) -> None:
    hms("job", "cancel", ids[1])
    assert "at        ended, cancelled in print" in hms("case", "show", "REQ-1").stdout


def test_a_case_that_is_not_there(hms: Hms) -> None:
    done = hms("case", "show", "REQ-9")
    assert (done.exit_code, "REQ-9" in done.stderr) == (4, True)
