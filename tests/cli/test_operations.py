import json

import anyio
import pytest

from hms_async import AsyncOMSClient
from hms_async.storage.codec import encode_envelope
from hms_async.storage.replies import Enqueue, Settle
from hms_async.storage.store import Store
from tests.cli.conftest import Hms

pytestmark = pytest.mark.usefixtures("url")


def fail_some(url: str, count: int = 5, queue: str = "kyc") -> None:
    """Let tasks fail: every other one with a `Timeout`."""

    async def work() -> None:
        async with Store(url) as store:
            ids = [f"t{n}" for n in range(count)]
            await store.enqueue(
                queue, [Enqueue(one, encode_envelope(one, queue, b"1")) for one in ids]
            )
            way = {"worker": "w", "incarnation": "ab", "lane": 0}
            claimed = await store.exchange(queue, **way, seq=1, want=count)  # type: ignore[arg-type]
            assert claimed is not None
            settles = [
                Settle(one.id, one.token, "fail", "", b'{"type":"%s","message":"no, never"}' % kind)
                for one, kind in zip(claimed.claims, [b"Timeout", b"Broken"] * count, strict=False)
            ]
            await store.exchange(queue, **way, seq=2, settles=settles)  # type: ignore[arg-type]

    anyio.run(work)


def queue_names(url: str) -> list[str]:
    async def work() -> list[str]:
        async with AsyncOMSClient(url) as oms:
            return await oms.list_queues()

    return anyio.run(work)


def test_start_requeues_what_is_meant_and_ls_and_show_tell(hms: Hms, url: str) -> None:
    hms("queue", "create", "kyc")
    fail_some(url)
    where = "state=failed,type=Timeout,error=no, never"
    dry = hms("op", "start", "requeue", "-Q", "kyc", "--where", where, "--dry-run")
    assert "requeue 3 tasks of kyc where state=failed,type=Timeout" in dry.stderr
    assert dry.stdout.splitlines()[1].split() == ["failed", "3"]
    assert "no operations yet" in hms("op", "ls").stderr

    begun = hms("op", "start", "requeue", "-Q", "kyc", "--where", where, "--yes", "--wait")
    assert begun.exit_code == 0, begun.stderr
    assert "done: done to 3 tasks, refused 0" in begun.stderr
    operation_id = begun.stdout.strip()
    (_, line) = hms("op", "ls").stdout.splitlines()
    assert line.split()[:7] == [operation_id, "requeue", "kyc", "done", "3", "3", "0"]
    shown = hms("op", "show", operation_id)
    assert "where      state=failed,type=Timeout,error=no, never" in shown.stdout
    document = json.loads(hms("op", "show", operation_id, "-o", "json").stdout)
    assert document["schema"] == "hms.op.show/v1"
    assert document["operation"]["done"] == 3
    document = json.loads(hms("op", "ls", "-o", "json").stdout)
    assert document["schema"] == "hms.op.list/v1"
    assert [one["id"] for one in document["operations"]] == [operation_id]


def test_without_a_terminal_nothing_is_done_unless_told(hms: Hms, url: str) -> None:
    hms("queue", "create", "kyc")
    fail_some(url)
    done = hms("op", "start", "requeue", "-Q", "kyc")
    assert done.exit_code == 2
    assert "this would requeue 5 tasks of kyc, at most 100 a second: say --yes" in done.stderr
    assert "no operations yet" in hms("op", "ls").stderr


def test_stop_stops_and_says_so(hms: Hms, url: str) -> None:
    hms("queue", "create", "kyc")
    fail_some(url)
    begun = hms("op", "start", "requeue", "-Q", "kyc", "--yes", "--reason", "after the outage")
    operation_id = begun.stdout.strip()
    assert f"hms op show {operation_id}" in begun.stderr
    assert f"operation {operation_id} stops" in hms("op", "stop", operation_id).stderr
    document = json.loads(hms("op", "show", operation_id, "-o", "json").stdout)
    assert document["operation"]["state"] == "stopping"
    assert document["operation"]["reason"] == "after the outage"
    gone = hms("op", "stop", "nobody")
    assert (gone.exit_code, "HMS-E062" in gone.stderr) == (4, True)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["explode", "-Q", "kyc"], "'explode' is not one of"),
        (["requeue"], "Missing option '-Q' / '--queue'"),
        (["requeue", "-Q", "kyc", "--where", "failed"], '"failed" is not NAME=VALUE'),
        (["requeue", "-Q", "kyc", "--where", "sate=failed"], '"sate=failed" is not NAME=VALUE'),
        (["requeue", "-Q", "kyc", "--where", "type=a,type=b"], '"type" is given twice'),
        (["requeue", "-Q", "kyc", "--where", "state=done"], "a task that is done"),
        (["cancel", "-Q", "kyc", "--where", "arrived-before=soon"], "'soon' is not an instant"),
        (["requeue", "-Q", "kyc", "--rate", "0"], "rate=0"),
    ],
)
def test_what_makes_no_sense_is_refused(hms: Hms, args: list[str], said: str) -> None:
    hms("queue", "create", "kyc")
    done = hms("op", "start", *args)
    assert done.exit_code == 2
    assert said in done.stderr


def test_purge_cancels_what_waits(hms: Hms) -> None:
    hms("queue", "create", "kyc")
    hms("job", "push", "kyc", "--data", "1")
    hms("job", "push", "kyc", "--data", "2", "--in", "1h")
    assert "this would purge 2 tasks of kyc" in hms("queue", "purge", "kyc").stderr
    done = hms("queue", "purge", "kyc", "--yes", "--wait", "-o", "json", "--reason", "a test")
    document = json.loads(done.stdout)
    assert document["operation"]["done"] == 2
    assert document["operation"]["reason"] == "a test"


def test_rm_takes_an_empty_queue_and_refuses_another(hms: Hms, url: str) -> None:
    hms("queue", "create", "kyc")
    hms("job", "push", "kyc", "--data", "1")
    refused = hms("queue", "rm", "kyc", "--yes")
    assert refused.exit_code == 5
    assert 'queue "kyc" is not empty: 1 waiting' in refused.stderr
    forced = hms("queue", "rm", "kyc", "--force", "--yes", "--wait")
    assert forced.exit_code == 0, forced.stderr
    assert "done to 1 tasks, refused 0; 1 tasks forgotten" in forced.stderr
    assert queue_names(url) == []
    assert hms("queue", "rm", "kyc", "--yes").exit_code == 4
