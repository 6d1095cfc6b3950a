import random
import struct
import zlib
from collections import Counter
from pathlib import Path

import pytest

from hms_async import AsyncOMSClient, AsyncWorker, RetryPolicy, TaskRecord, TaskState
from hms_async.cli.passport import journal, report
from hms_async.cli.passport.handler import validate_photo
from hms_async.cli.passport.journal import Line
from hms_async.cli.passport.photos import fault_of, jpeg, png, portrait, write_photos
from hms_async.cli.passport.report import quantile


def line(task: str, verdict: str = journal.OK, *, start: float = 1.0, attempt: int = 1) -> Line:
    return Line(
        task=task,
        attempt=attempt,
        pid=7,
        arrived=0.5,
        start=start,
        end=start + 0.25,
        verdict=verdict,
    )


def record(task: str, state: TaskState = TaskState.DONE, **fields: object) -> TaskRecord:
    given: dict[str, object] = {"finished_ms": 2_000, "due_ms": 3_000} | fields
    return TaskRecord(id=task, queue="passport.photo", state=state, **given)  # type: ignore[arg-type]  # a factory


def refused(reason: str) -> dict[str, str]:
    return {"type": "Failed", "message": reason}


# The photos.


def test_one_in_twelve_is_a_png_one_truncated_one_meets_an_outage(tmp_path: Path) -> None:
    uploads = write_photos(tmp_path / "photos", 120, sam=49)

    kinds = Counter[str](upload.kind for upload in uploads)
    assert kinds == {"jpeg": 90, "png": 10, "truncated": 10, "outage": 10}
    assert {upload.outages for upload in uploads if upload.kind == "outage"} == {2}
    assert len({upload.file.read_bytes() for upload in uploads}) == 120
    assert max(uploads, key=lambda upload: upload.file.stat().st_size).request == "REQ-049"


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("jpeg", None),
        ("outage", None),
        ("png", "not a JPEG (PNG data)"),
        ("truncated", "truncated"),
    ],
)
def test_each_kind_is_told_from_the_bytes(kind: str, fault: str | None, tmp_path: Path) -> None:
    uploads = write_photos(tmp_path, 60, sam=1)

    faults = {fault_of(one.file.read_bytes()) for one in uploads if one.kind == kind}

    assert faults == {fault}


def test_other_bytes_are_not_a_jpeg_either() -> None:
    assert fault_of(b"") == fault_of(b"GIF89a") == "not a JPEG"


def test_a_jpeg_has_every_segment_in_order_and_no_marker_in_its_scan() -> None:
    data = jpeg(portrait(20, 24, random.Random(1)), comment="REQ-001")

    markers: list[int] = []
    at = 2
    while data[at + 1] != 0xDA:
        markers.append(data[at + 1])
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    scan = data[at + 2 + struct.unpack_from(">H", data, at + 2)[0] : -2]

    assert data[:2] == b"\xff\xd8"
    assert markers == [0xE0, 0xFE, 0xDB, 0xC0, 0xC4, 0xC4]
    assert struct.pack(">HH", 24 * 8, 20 * 8) in data
    assert b"\xff" not in scan.replace(b"\xff\x00", b"")
    assert data[-2:] == b"\xff\xd9"


def test_the_scan_says_how_each_square_differs_from_the_one_before() -> None:
    scan = jpeg([[128, 129, 127, 255]])[-6:-2]

    # No difference; +1; -2; +128. Four bits of size, the difference, and "no more".
    wanted = "00000" + "000110" + "0010010" + "1000100000000"
    assert f"{int.from_bytes(scan):032b}".startswith(wanted)


def test_a_png_is_whole() -> None:
    data = png(random.Random(2))

    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    (side,) = struct.unpack_from(">I", data, 16)
    start = data.index(b"IDAT") + 4
    assert len(zlib.decompress(data[start:])) == side * (side + 1)


# The journal.


def test_the_journal_gives_back_what_was_written_and_passes_over_a_torn_line(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.jsonl"
    journal.append(path, line("a"))
    with path.open("ab") as file:
        file.write(b'{"task":"b","atte\n')
    journal.append(path, line("c", "truncated"))

    assert journal.read(path) == [line("a"), line("c", "truncated")]


def test_without_a_journal_nothing_was_done(tmp_path: Path) -> None:
    assert journal.read(tmp_path / "none") == []


# The handler.


async def test_the_handler_writes_its_verdict_down_before_it_reports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, url = tmp_path / "journal.jsonl", f"memory://{tmp_path.name}"
    monkeypatch.setenv(journal.VARIABLE, str(path))
    uploads = write_photos(tmp_path / "photos", 12, sam=1)
    async with AsyncOMSClient(url) as oms:
        await oms.create_queue("passport.photo", sla="30s", retry=RetryPolicy(base="1ms"))
        accepted = await oms.enqueue_many(
            "passport.photo",
            [{"file": str(one.file), "outages": one.outages} for one in uploads],
        )

        worker = AsyncWorker(
            queue="passport.photo", handler=validate_photo, url=url, concurrency=12
        )
        await worker.run(burst=True)

        records = [await oms.get_task(one.id) for one in accepted]
    names = {one.id: upload.request for one, upload in zip(accepted, uploads, strict=True)}
    found = report.count(names, journal.read(path), records)
    assert found.well
    assert (found.done, found.failed) == (10, {"not a JPEG (PNG data)": 1, "truncated": 1})
    assert (found.retried, found.retried_tasks, found.kept) == (2, 1, 12)


# The report.


def test_what_has_no_verdict_in_the_journal_is_lost_whatever_the_store_says() -> None:
    found = report.count({"a": "REQ-1", "b": "REQ-2"}, [line("a")], [record("a"), record("b")])

    assert (found.lost, found.done, found.well) == (["REQ-2"], 1, False)
    assert ("lost", "1", "REQ-2") in found.rows()


def test_an_attempt_that_raised_is_no_verdict() -> None:
    found = report.count({"a": "REQ-1"}, [line("a", journal.RAISED)], [record("a")])

    assert (found.lost, found.retried) == (["REQ-1"], 1)


def test_what_the_store_has_forgotten_without_a_verdict_is_lost() -> None:
    assert report.count({"a": "REQ-1"}, [], []).lost == ["REQ-1"]


def test_what_is_still_open_is_unfinished_not_lost() -> None:
    found = report.count({"a": "REQ-1"}, [], [record("a", TaskState.WAITING, finished_ms=None)])

    assert (found.unfinished, found.lost, found.kept, found.well) == (["REQ-1"], [], 0, False)
    assert ("unfinished", "1", "REQ-1") in found.rows()


@pytest.mark.parametrize(
    "told",
    [
        record("a", TaskState.FAILED, error=refused("truncated")),
        record("a", TaskState.CANCELLED),
    ],
)
def test_a_store_that_says_otherwise_than_the_journal_is_disputed(told: TaskRecord) -> None:
    found = report.count({"a": "REQ-1"}, [line("a")], [told])

    assert (found.disputed, found.well) == (["REQ-1"], False)
    assert ("disputed", "1", "REQ-1") in found.rows()


def test_two_verdicts_count_as_run_twice_and_as_one_done() -> None:
    lines = [line("a"), line("a", start=4.0, attempt=2)]

    found = report.count({"a": "REQ-1"}, lines, [record("a", crashes=1)])

    assert (found.twice, found.done, found.rescued, found.well) == (1, 1, 1, True)


def test_failures_are_grouped_by_reason() -> None:
    tasks = {"a": "REQ-1", "b": "REQ-2", "c": "REQ-3"}
    reasons = {"a": "truncated", "b": "not a JPEG", "c": "truncated"}

    found = report.count(
        tasks,
        [line(task, reason) for task, reason in reasons.items()],
        [record(task, TaskState.FAILED, error=refused(reason)) for task, reason in reasons.items()],
    )

    assert ("failed", "3", "2 truncated, 1 not a JPEG") in found.rows()


def test_late_ends_do_not_keep_the_promise() -> None:
    records = [record("a"), record("b", finished_ms=3_001), record("c", due_ms=None)]
    tasks = {"a": "REQ-1", "b": "REQ-2", "c": "REQ-3"}

    found = report.count(tasks, [line(task) for task in tasks], records)

    assert ("SLA kept", "2 of 3   promise 2h") in found.figures("2h")
    assert ("wait", "p50 0.50 s   p99 0.50 s") in found.figures("2h")
    assert ("run", "p50 0.25 s   p99 0.25 s") in found.figures("2h")


@pytest.mark.parametrize(
    ("values", "share", "wanted"),
    [([], 0.5, 0.0), ([3.0], 0.99, 3.0), (list(range(100)), 0.5, 50), (list(range(100)), 0.99, 99)],
)
def test_quantile(values: list[float], share: float, wanted: float) -> None:
    assert quantile(values, share) == wanted
