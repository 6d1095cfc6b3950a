from hypothesis import given
from hypothesis import strategies as st

from hms_async.domain.task import Attempt, TaskRecord, TaskState
from hms_async.domain.time_spent import LEASE_LOST, TimeSpent, time_spent

instants = st.integers(0, 10_000)


def attempt(
    number: int,
    started_ms: int,
    finished_ms: int,
    again_ms: int | None = None,
    *,
    lost: bool = False,
) -> Attempt:
    return Attempt(
        number=number,
        worker="w",
        started_ms=started_ms,
        finished_ms=finished_ms,
        error_type=LEASE_LOST if lost else "ValueError",
        error="no",
        again_ms=again_ms,
    )


def task(state: TaskState = TaskState.DONE, **fields: object) -> TaskRecord:
    known: dict[str, object] = {"arrived_ms": 0, "finished_ms": 1_000}
    return TaskRecord(id="a", queue="q", state=state, **known | fields)  # type: ignore[arg-type]


def test_each_stretch_goes_to_what_it_was() -> None:
    found = task(
        attempts=(attempt(1, 100, 150, 300), attempt(2, 340, 440, lost=True)), started_ms=500
    )

    assert time_spent(found, 9_999) == TimeSpent(
        waited_ms=100 + 40 + 60, ran_ms=50 + 500, backed_off_ms=150, lost_ms=100, unknown_ms=0
    )


def test_what_the_record_does_not_tell_is_not_guessed() -> None:
    trimmed = task(attempts=(attempt(5, 600, 650, 700),), started_ms=720)
    assert time_spent(trimmed, 0) == TimeSpent(
        unknown_ms=600, ran_ms=50 + 280, backed_off_ms=50, waited_ms=20
    )
    requeued = task(attempts=(attempt(1, 100, 150),), started_ms=900)
    assert time_spent(requeued, 0) == TimeSpent(waited_ms=100, ran_ms=50 + 100, unknown_ms=750)
    cancelled = task(TaskState.CANCELLED, started_ms=400)
    assert time_spent(cancelled, 0) == TimeSpent(unknown_ms=1_000)


def test_what_never_ran_has_waited() -> None:
    for state in (TaskState.EXPIRED, TaskState.CANCELLED, TaskState.FAILED):
        assert time_spent(task(state), 0) == TimeSpent(waited_ms=1_000)
    waiting = task(TaskState.WAITING, finished_ms=None)
    assert time_spent(waiting, 70) == TimeSpent(waited_ms=70)
    assert time_spent(task(TaskState.SCHEDULED, arrived_ms=500), 100).total_ms == 0


def test_a_rung_that_lets_it_run_sooner_cuts_the_wait_short() -> None:
    found = task(attempts=(attempt(1, 100, 150, 900),), started_ms=200)
    assert time_spent(found, 0) == TimeSpent(waited_ms=100, ran_ms=50 + 800, backed_off_ms=50)


tasks = st.builds(
    task,
    st.sampled_from(TaskState),
    arrived_ms=instants,
    finished_ms=st.none() | instants,
    started_ms=st.none() | instants,
    attempts=st.lists(
        st.builds(
            attempt,
            st.integers(1, 12),
            instants,
            instants,
            st.none() | instants,
            lost=st.booleans(),
        ),
        max_size=10,
    ).map(tuple),
)


@given(tasks, instants)
def test_the_parts_are_none_below_zero_and_come_to_the_whole(
    found: TaskRecord, now_ms: int
) -> None:
    until_ms = found.finished_ms if found.state.ended and found.finished_ms else now_ms

    spent = time_spent(found, now_ms)

    parts = (
        spent.waited_ms,
        spent.ran_ms,
        spent.backed_off_ms,
        spent.lost_ms,
        spent.unknown_ms,
    )
    assert min(parts) >= 0
    assert sum(parts) == spent.total_ms == max(until_ms - found.arrived_ms, 0)
