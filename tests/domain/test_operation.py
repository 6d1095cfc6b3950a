from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_async.domain.audit import Actor
from hms_async.domain.fingerprint import fingerprint
from hms_async.domain.operation import (
    MOST_A_STEP,
    Act,
    Operation,
    OperationState,
    check_act,
    check_rate,
    states_of,
    step_of,
)
from hms_async.domain.selection import Candidate, Where
from hms_async.domain.task import OPEN, TaskState
from hms_async.errors import ConfigInvalid

NOW_MS = 1_000_000
EVERY_ACT = st.sampled_from(Act)


def operation(act: Act, where: Where | None = None) -> Operation:
    return Operation(
        id="o", act=act, queue="q", where=where or Where(), by=Actor("a", "b"), created_ms=NOW_MS
    )


CANDIDATES = st.builds(
    Candidate,
    id=st.sampled_from(["a", "b", "c"]),
    state=st.sampled_from(TaskState),
    taken_in_ms=st.integers(NOW_MS - 2, NOW_MS + 2),
    arrived_ms=st.integers(NOW_MS - 2, NOW_MS + 2),
    finished_ms=st.none() | st.integers(NOW_MS - 2, NOW_MS + 2),
    correlation_id=st.none() | st.sampled_from(["x", "y"]),
    error_type=st.sampled_from(["", "Timeout"]),
    error=st.sampled_from(["", "No Answer", "No Answer in 7 s"]),
    goes_first=st.booleans(),
    cancel_asked=st.booleans(),
    promised=st.booleans(),
)
WHERES = st.builds(
    Where,
    states=st.lists(st.sampled_from(TaskState), max_size=2, unique=True).map(tuple),
    ids=st.sampled_from([(), ("a",), ("a", "b")]),
    correlation_id=st.none() | st.sampled_from(["x", "y"]),
    error_type=st.none() | st.just("Timeout"),
    error=st.none() | st.just("answer"),
    fingerprint=st.none() | st.just(fingerprint("Timeout", "No Answer in 12 s")),
    arrived_before_ms=st.none() | st.integers(NOW_MS - 2, NOW_MS + 2),
    ended_before_ms=st.none() | st.integers(NOW_MS - 2, NOW_MS + 2),
)


@given(task=CANDIDATES, where=WHERES)
def test_each_condition_takes_tasks_away_and_none_adds_any(task: Candidate, where: Where) -> None:
    assert Where().matches(task)
    alone = [
        Where(states=where.states),
        Where(ids=where.ids),
        Where(correlation_id=where.correlation_id),
        Where(error_type=where.error_type),
        Where(error=where.error),
        Where(fingerprint=where.fingerprint),
        Where(arrived_before_ms=where.arrived_before_ms),
        Where(ended_before_ms=where.ended_before_ms),
    ]
    assert where.matches(task) == all(one.matches(task) for one in alone)


@given(task=CANDIDATES, where=WHERES, act=EVERY_ACT)
def test_nothing_that_came_in_or_ended_later_is_acted_on(
    task: Candidate, where: Where, act: Act
) -> None:
    if act is Act.REMOVE or not operation(act, where).wants(task):
        return
    assert task.state in states_of(act, where)
    assert where.matches(task)
    assert (task.finished_ms or 0) <= NOW_MS
    assert task.state not in OPEN or task.taken_in_ms <= NOW_MS


@given(task=CANDIDATES)
def test_what_has_been_done_is_not_done_again(task: Candidate) -> None:
    if task.goes_first:
        assert not operation(Act.BUMP).wants(task)
    if not task.promised:
        assert not operation(Act.WAIVE).wants(task)
    if task.cancel_asked and task.state is TaskState.IN_PROGRESS:
        assert not operation(Act.CANCEL).wants(task)


def test_an_act_without_states_means_those_that_it_is_for() -> None:
    assert states_of(Act.REQUEUE, Where()) == (TaskState.FAILED,)
    assert set(states_of(Act.CANCEL, Where())) == OPEN
    assert TaskState.IN_PROGRESS not in states_of(Act.PURGE, Where())
    asked = Where(states=(TaskState.EXPIRED, TaskState.FAILED))
    assert states_of(Act.REQUEUE, asked) == (TaskState.FAILED, TaskState.EXPIRED)


def test_a_selection_is_made_of_words_and_says_them_again() -> None:
    where = Where.read(
        {
            "states": "failed",
            "ids": ["a", "b", "a"],
            "error_type": "Timeout",
            "fingerprint": "0badcafe",
            "ended_before": "2026-12-01T08:00:00Z",
            "arrived_before": datetime(2026, 12, 1, tzinfo=UTC),
        }
    )
    assert where.ids == ("a", "b")
    assert str(where) == (
        "state=failed,id=a,id=b,type=Timeout,fingerprint=0badcafe,"
        "arrived-before=2026-12-01T00:00:00.000Z,ended-before=2026-12-01T08:00:00.000Z"
    )
    assert Where.read(where) is where
    assert Where.read(None) == Where()
    assert (Where.create(states="failed").by_state_only, where.by_state_only) == (True, False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (7, "where=7 is not an object"),
        ({"sate": "failed"}, "where.sate: there is no such field: states, ids,"),
        ({"states": ["failed", "fialed"]}, "where.states[1]: 'fialed' is not a state"),
        ({"states": 7}, "where.states=7 is not a list"),
        ({"ids": ["a", "b c"]}, "where.ids[1]: task id 'b c' is not valid"),
        ({"ids": [f"t{n}" for n in range(1_001)]}, "where.ids: 1001 ids are too many"),
        ({"correlation_id": ""}, "where.correlation_id: '' is not a text"),
        ({"error_type": 7}, "where.error_type: 7 is not a text"),
        ({"error": "x" * 513}, "is not a text of 1 to 512"),
        ({"fingerprint": "7c1e"}, "where.fingerprint: '7c1e' is not a fingerprint"),
        ({"fingerprint": 7}, "where.fingerprint: 7 is not a fingerprint"),
        ({"arrived_before": "soon"}, "where.arrived_before: 'soon' is not an instant"),
        ({"ended_before": "2026-12-01T08:00:00"}, "where.ended_before="),
        ({"ended_before": 7}, "where.ended_before=7 is not a datetime"),
    ],
)
def test_a_selection_that_makes_no_sense_says_where(given: object, said: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        Where.read(given)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("act", "where", "said"),
    [
        ("explode", {}, "act: 'explode' is not one of requeue, cancel, bump, waive, purge"),
        ("remove", {}, "act: 'remove' is not one of"),
        ("requeue", {"states": ["failed", "done"]}, "where.states[1]: a task that is done"),
        ("purge", {"states": "in_progress"}, "where.states[0]"),
        ("cancel", {"ended_before": "2026-12-01T08:00:00Z"}, "where.ended_before: cancel is for"),
    ],
)
def test_an_act_that_is_not_for_such_tasks_is_refused(
    act: str, where: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        check_act(act, Where.read(where))
    assert said in str(caught.value)


def test_rates_and_the_steps_that_they_make() -> None:
    assert [check_rate(None, act) for act in (Act.REQUEUE, Act.PURGE)] == [100, None]
    assert [step_of(rate) for rate in (1, 100, 10_000, None)] == [1, 25, MOST_A_STEP, MOST_A_STEP]
    for wrong in (0, -1, 1.5, True, 10_001):
        with pytest.raises(ConfigInvalid, match="rate="):
            check_rate(wrong, Act.REQUEUE)


def test_only_two_states_are_not_an_end() -> None:
    assert {state for state in OperationState if not state.ended} == {"running", "stopping"}
