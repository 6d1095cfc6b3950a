"""The oracle can fail: each thing that it looks for is seen on lines that were made up."""

from typing import Any

from benchmarks.faults import oracle
from benchmarks.faults.journal import Line, Word
from benchmarks.faults.oracle import Evidence
from hms_async import Event, QueueStats

SECOND = 1_000_000_000
NOTHING_KNOWN = Evidence(deaths={}, taken={}, wall_ahead_ns=0)


def line(word: Word, at_s: float, *, task: str = "a", pid: int = 1, **other: Any) -> Line:
    fields: dict[str, Any] = {"token": f"{task}-{pid}", "attempt": 1, "crashes": 0, "payload": None}
    fields |= {"claimed_ms": int(at_s * 1_000)} | other
    return Line(word=word, id=task, pid=pid, at=int(at_s * SECOND), **fields)


def overlapping(lines: list[Line], evidence: Evidence = NOTHING_KNOWN) -> set[str]:
    return oracle.overlapping(oracle.executions(lines), evidence)


TWO_AT_ONCE = [
    line("start", 1, pid=1),
    line("start", 2, pid=2),
    line("end", 3, pid=1),
    line("end", 4, pid=2),
]
A_ZOMBIE = [
    line("start", 1, pid=1),
    line("start", 7, pid=2),
    line("end", 8, pid=2),
    line("end", 13, pid=1),
]


def test_what_never_came_to_an_end_is_lost() -> None:
    assert oracle.lost({"a", "b"}, {"a"}) == {"b"}
    assert oracle.lost({"a", "b"}, {"a", "b", "another"}) == set()


def test_two_successful_ends_are_a_duplicate() -> None:
    assert oracle.duplicated(oracle.executions(TWO_AT_ONCE)) == {"a"}


def test_an_end_that_was_no_success_is_no_duplicate() -> None:
    for word in ("raised", "cut"):
        lines = [line("start", 1), line(word, 2), line("start", 3, pid=2), line("end", 4, pid=2)]

        assert oracle.duplicated(oracle.executions(lines)) == set()


def test_two_that_run_at_once_overlap() -> None:
    assert overlapping(TWO_AT_ONCE) == {"a"}


def test_one_after_the_other_does_not_overlap() -> None:
    lines = [line("start", 1), line("end", 2), line("start", 2, pid=2), line("end", 3, pid=2)]

    assert overlapping(lines) == set()


def test_a_handler_that_was_called_twice_under_one_lease_overlaps() -> None:
    lines = [line("start", 1), line("start", 2), line("end", 3), line("end", 4)]

    assert overlapping(lines) == {"a"}


def test_one_that_never_ended_runs_until_its_process_dies() -> None:
    lines = [line("start", 1), line("start", 7, pid=2), line("end", 8, pid=2)]

    assert overlapping(lines) == {"a"}
    assert overlapping(lines, Evidence({1: 6 * SECOND}, {}, 0)) == set()
    assert overlapping(lines, Evidence({1: 8 * SECOND}, {}, 0)) == {"a"}


def test_one_whose_lease_was_taken_away_may_run_on_beside_another() -> None:
    assert overlapping(A_ZOMBIE) == {"a"}
    assert overlapping(A_ZOMBIE, Evidence({}, {"a": [6_000]}, 0)) == set()
    assert overlapping(A_ZOMBIE, Evidence({}, {"a": [8_000]}, 0)) == {"a"}


def test_a_lease_that_was_taken_before_it_was_given_is_another_one() -> None:
    assert overlapping(A_ZOMBIE, Evidence({}, {"a": [1_000]}, 0)) == {"a"}


def test_the_clock_of_the_store_is_the_wall_clock() -> None:
    ahead = 1_000 * SECOND
    lines = [line("start", 1, claimed_ms=1_001_000), *A_ZOMBIE[1:]]

    assert overlapping(lines, Evidence({}, {"a": [1_006_000]}, ahead)) == set()
    assert overlapping(lines, Evidence({}, {"a": [1_008_000]}, ahead)) == {"a"}


def test_rescues_and_failures_tell_when_leases_were_taken() -> None:
    events = [
        Event(id="5-0", type="rescued", queue="q", task_id="a", fields={}),
        Event(id="7-1", type="failed", queue="q", task_id="a", fields={}),
        Event(id="9-0", type="done", queue="q", task_id="a", fields={}),
        Event(id="9-1", type="paused", queue="q", fields={}),
    ]

    assert oracle.evidence(events, {}).taken == {"a": [5, 7]}


def test_done_without_a_handler_that_ended_is_unproven() -> None:
    done = oracle.executions([line("start", 1), line("raised", 2)])

    assert oracle.unproven({"a"}, done) == {"a"}
    assert oracle.unproven({"a"}, oracle.executions(TWO_AT_ONCE)) == set()


def test_counters_that_tell_another_story_than_the_tasks_are_seen() -> None:
    def told(**changes: int) -> list[str]:
        totals = {
            "accepted": 3,
            "claimed": 5,
            "done": 2,
            "failed": 1,
            "ended.error": 2,
            "ended.lease_lost": 1,
            "error.ValueError": 2,
            "error.LeaseLost": 1,
        } | changes
        none = dict.fromkeys(
            ("waiting", "in_progress", "scheduled", "retrying", "done", "failed", "cancelled",
             "expired", "now_ms"), 0
        )  # fmt: skip
        stats = QueueStats(
            name="q", paused=False, sla_ms=None, oldest_arrived_ms=None, next_due_ms=None,
            next_rung_ms=None, totals=totals, **none,
        )  # fmt: skip
        return oracle.miscounted(stats, {"done": 2, "failed": 1}, 3)

    assert told() == []
    assert told(claimed=6) == ["6 attempts were started, 5 have ended"]
    assert told(**{"error._other": 1}) == ["3 attempts have failed, 4 by their types"]
    assert told(failed=2) == ["2 failed, 1 by the records"]
    assert told(failed=2, requeued=1) == []
