"""Faults of one kind have one fingerprint, and those of two kinds two."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_async.domain.fingerprint import fingerprint, words
from hms_async.domain.outcome import Fault
from hms_async.domain.task import ENTROPY_BYTES, make_id

DIFFERS = st.one_of(
    st.integers().map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda number: f"{number:f}"),
    st.uuids().map(str),
    st.binary(min_size=4, max_size=32).map(bytes.hex),
    st.builds(
        make_id,
        st.integers(1_700_000_000_000, 1_900_000_000_000),
        st.binary(min_size=ENTROPY_BYTES, max_size=ENTROPY_BYTES),
    ),
    st.datetimes().map(lambda instant: instant.isoformat()),
    st.from_regex(r"'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`", fullmatch=True),
    st.from_regex(r"[a-z]{1,9}(\.[a-z]{1,9})?@[a-z]{2,9}\.example", fullmatch=True),
    st.ip_addresses(v=4).map(str),
)
PLAIN = st.from_regex(r"[g-z]{1,8}( [g-z]{1,8}){0,4}", fullmatch=True)


@given(before=PLAIN, after=PLAIN, one=DIFFERS, other=DIFFERS)
def test_what_differs_from_task_to_task_does_not_count(
    before: str, after: str, one: str, other: str
) -> None:
    first, second = (f"{before} {what} {after}" for what in (one, other))
    assert words(first) == words(second) == f"{before} # {after}"
    assert fingerprint("E", first) == fingerprint("E", second)


@given(message=st.text(), rest=st.text())
def test_words_are_the_same_said_again_and_whatever_lines_follow(message: str, rest: str) -> None:
    assert words(words(message)) == words(message)
    line = message.strip().partition("\n")[0] or "x"
    assert fingerprint("E", f"{line}\n{rest}") == fingerprint("E", line)


@given(one=PLAIN, other=PLAIN, kind=PLAIN)
def test_other_words_or_another_type_are_another_kind(one: str, other: str, kind: str) -> None:
    assert (fingerprint("E", one) == fingerprint("E", other)) == (one == other)
    assert fingerprint(f"{kind}Error", one) != fingerprint("E", one)
    assert Fault(kind, one).fingerprint == fingerprint(kind, one)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("no answer in 30.5 s", "no answer in # s"),
        ("HTTP 503 from ledger (10.0.0.7:8080)", "HTTP # from ledger (#)"),
        ("can't find 'kyc/12.jpg' or \"x\"", "can't find # or #"),
        ("docs[3].kind is missing", "docs[#].kind is missing"),
        ("got [1, 2, 3]", "got [#]"),
        (f"task {uuid.UUID(int=7)} is gone at 0x7f3a\nTraceback", "task # is gone at #"),
        ("", ""),
    ],
)
def test_words_as_people_meet_them(message: str, told: str) -> None:
    assert words(message) == told


def test_a_long_message_costs_no_time() -> None:
    for nasty in ("'" * 100_000, "a1" * 100_000, "#-" * 100_000, "@." * 100_000, "a@" * 100_000):
        assert len(words(nasty)) <= 2_000
