import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_async.domain.outcome import Fault
from hms_async.domain.queue import check_name
from hms_async.domain.task import ENDED, OPEN, TaskRecord, TaskState, make_id, make_ids

times_ms = st.integers(0, 2**48 - 1)
entropies = st.binary(min_size=16, max_size=16)


@given(times_ms, entropies)
def test_an_id_is_26_characters_of_the_alphabet(now_ms: int, entropy: bytes) -> None:
    task_id = make_id(now_ms, entropy)

    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", task_id)
    assert check_name(task_id, what="task id") == task_id


@given(times_ms, times_ms, entropies, entropies)
def test_ids_sort_by_the_time_they_were_made(
    one_ms: int, other_ms: int, entropy: bytes, other_entropy: bytes
) -> None:
    one, other = make_id(one_ms, entropy), make_id(other_ms, other_entropy)

    assert (one < other) == ((one_ms, _bits(entropy)) < (other_ms, _bits(other_entropy)))


def _bits(entropy: bytes) -> list[int]:
    return [byte & 31 for byte in entropy]


def test_an_id_is_a_ulid() -> None:
    # The time of the example in the ULID specification.
    assert make_id(1_469_918_176_385, bytes(16)) == "01ARYZ6S410000000000000000"


@given(times_ms, st.lists(entropies, max_size=4))
def test_many_ids_are_those_of_each_entropy(now_ms: int, several: list[bytes]) -> None:
    one_by_one = [make_id(now_ms, entropy) for entropy in several]

    assert make_ids(now_ms, b"".join(several)) == one_by_one


def test_every_state_is_open_or_ended() -> None:
    assert set(TaskState) == OPEN | ENDED
    assert not OPEN & ENDED
    assert {state for state in TaskState if state.ended} == {
        TaskState.DONE,
        TaskState.FAILED,
        TaskState.CANCELLED,
        TaskState.EXPIRED,
    }


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault("ValueError", "no ink"), "ValueError: no ink"),
        (Fault("ValueError", ""), "ValueError"),
        (Fault("Failed", "no ink"), "no ink"),
        (Fault("", "no ink"), "no ink"),
    ],
)
def test_a_record_tells_its_fault_as_the_fault_does(fault: Fault, text: str) -> None:
    error = {"type": fault.type, "message": fault.message}
    record = TaskRecord(id="t1", queue="mail", state=TaskState.FAILED, error=error)

    assert str(fault) == text
    assert record.reason == text


def test_a_record_without_an_error_has_no_reason() -> None:
    assert TaskRecord(id="t1", queue="mail", state=TaskState.DONE).reason == ""


def test_a_record_tells_its_instants_in_utc() -> None:
    record = TaskRecord(
        id="t1", queue="mail", state=TaskState.WAITING, arrived_ms=1_795_428_000_250, due_ms=0
    )

    assert record.arrived_at == datetime(2026, 11, 23, 10, 0, 0, 250_000, UTC)
    assert record.due_at == datetime(1970, 1, 1, tzinfo=UTC)
    assert TaskRecord(id="t1", queue="mail", state=TaskState.WAITING).due_at is None
