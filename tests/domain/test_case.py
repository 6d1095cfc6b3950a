from hms_async.domain.case import sum_up
from hms_async.domain.task import Attempt, TaskRecord, TaskState


def attempt(number: int, started_ms: int, finished_ms: int) -> Attempt:
    return Attempt(
        number=number,
        worker="w",
        started_ms=started_ms,
        finished_ms=finished_ms,
        error_type="ValueError",
        error="no",
    )


def test_the_time_of_a_task_goes_into_waiting_running_and_retrying() -> None:
    task = TaskRecord(
        id="a",
        queue="q",
        state=TaskState.DONE,
        arrived_ms=1_000,
        attempts=(attempt(1, 1_100, 1_150), attempt(2, 1_400, 1_420)),
        started_ms=2_000,
        finished_ms=2_005,
    )

    summary = sum_up([task], 9_000)

    assert (summary.waiting_ms, summary.running_ms, summary.retrying_ms) == (100, 75, 830)
    assert (summary.began_ms, summary.ended_ms, summary.since_ms) == (1_000, 2_005, 2_005)
    assert (summary.open, summary.ended) == (0, 1)


def test_an_attempt_that_failed_for_good_counts_once() -> None:
    task = TaskRecord(
        id="a",
        queue="q",
        state=TaskState.FAILED,
        arrived_ms=0,
        attempts=(attempt(1, 10, 30),),
        started_ms=10,
        finished_ms=30,
    )

    summary = sum_up([task], 99)

    assert (summary.waiting_ms, summary.running_ms, summary.retrying_ms) == (10, 20, 0)


def test_a_case_is_where_somebody_works_at_it() -> None:
    done = TaskRecord(id="a", queue="q", state=TaskState.DONE, started_ms=5, finished_ms=9)
    waits = TaskRecord(id="b", queue="q", state=TaskState.WAITING, arrived_ms=10)
    runs = TaskRecord(id="c", queue="r", state=TaskState.IN_PROGRESS, arrived_ms=10, started_ms=40)

    summary = sum_up([done, waits, runs], 100)

    assert summary.counts == {TaskState.DONE: 1, TaskState.WAITING: 1, TaskState.IN_PROGRESS: 1}
    assert (summary.at.id, summary.since_ms, summary.ended_ms) == ("c", 40, None)
    assert (summary.waiting_ms, summary.running_ms) == (5 + 90 + 30, 4 + 60)


def test_a_task_between_attempts_is_there_since_its_last_one() -> None:
    task = TaskRecord(
        id="a",
        queue="q",
        state=TaskState.RETRYING,
        arrived_ms=0,
        attempts=(attempt(1, 10, 30),),
        started_ms=10,
    )

    summary = sum_up([task], 100)

    assert (summary.since_ms, summary.retrying_ms) == (30, 70)


def test_what_is_scheduled_does_not_wait_yet() -> None:
    task = TaskRecord(id="a", queue="q", state=TaskState.SCHEDULED, arrived_ms=500)

    summary = sum_up([task], 100)

    assert (summary.since_ms, summary.waiting_ms) == (None, 0)


def test_the_last_to_end_tells_where_a_case_is_that_is_over() -> None:
    first = TaskRecord(id="a", queue="q", state=TaskState.DONE, finished_ms=9)
    last = TaskRecord(id="b", queue="q", state=TaskState.CANCELLED, finished_ms=7)

    assert sum_up([first, last], 100).at.id == "a"
