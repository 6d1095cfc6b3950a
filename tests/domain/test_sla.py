from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_async.domain.sla import DEFAULT_LADDER, Rung, severity_of
from hms_async.errors import ConfigInvalid, DurationInvalid

HOUR_MS = 3_600_000

rungs = st.builds(
    Rung,
    percent=st.integers(0, 9_999_999_999).map(lambda n: n / 10_000),
    plus_ms=st.integers(0, 100 * 366 * 24 * HOUR_MS),
    name=st.sampled_from(["warn", "breach", "call_2"]),
    actions=st.lists(
        st.sampled_from(["bump", "escalate", "reroute:desk", "call:wake_up"]), unique=True
    ).map(tuple),
)


@pytest.mark.parametrize(
    ("text", "rung"),
    [
        ("80% warn", Rung(80, 0, "warn")),
        ("99.5%  nearly", Rung(99.5, 0, "nearly")),
        ("100%+15m page", Rung(100, 900_000, "page", ("page",))),
        ("100% + 1h30m call_2", Rung(100, 5_400_000, "call_2")),
        (" 0% start ", Rung(0, 0, "start")),
        ("80% warn,bump", Rung(80, 0, "warn", ("bump",))),
        ("80% bump", Rung(80, 0, "bump", ("bump",))),
        ("100%+15m page, notify", Rung(100, 900_000, "page", ("page", "notify"))),
        (
            "100% breach,reroute:desk-2,call:wake_up",
            Rung(100, 0, "breach", ("reroute:desk-2", "call:wake_up")),
        ),
    ],
)
def test_rungs_are_read_as_people_write_them(text: str, rung: Rung) -> None:
    assert Rung.parse(text) == rung


@given(rungs)
def test_a_rung_reads_back_from_its_text_unchanged(rung: Rung) -> None:
    assert Rung.parse(str(rung)) == rung


@pytest.mark.parametrize(
    "text",
    [
        *("", "80%", "warn", "80 warn", "eighty% warn", "-80% warn", "80% Warn", "80% warn now"),
        *("1e3% warn", "1234567% warn", "80%+ warn", "inf% warn", "80% 2nd", None, 80, b"80% warn"),
    ],
)
def test_what_is_no_rung_is_refused_with_an_example(text: Any) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        Rung.parse(text)

    assert str(caught.value).startswith(f"{text!r} is not a rung: write a share of the SLA")
    assert '"100%+15m page"' in str(caught.value)


def test_an_action_that_is_unknown_is_refused_with_those_that_are() -> None:
    with pytest.raises(
        ConfigInvalid, match="asks for 'bmup', which is no action: use bump, cancel"
    ):
        Rung.parse("80% warn,bmup")


@pytest.mark.parametrize(
    ("name", "percent", "severity"),
    [
        ("note", 50, "info"),
        ("warn", 80, "warning"),
        ("breach", 100, "error"),
        ("page", 100, "critical"),
    ],
)
def test_a_rung_is_as_loud_as_its_name_or_its_share_says(
    name: str, percent: float, severity: str
) -> None:
    assert severity_of(name, percent) == severity


def test_a_wait_that_is_no_duration_is_refused() -> None:
    with pytest.raises(DurationInvalid, match="rung='15' is not a duration"):
        Rung.parse("100%+15 page")


def test_a_rung_is_due_at_its_share_of_the_promise_after_arrival() -> None:
    assert Rung.parse("80% warn").at_ms(1_000, HOUR_MS) == 1_000 + 2_880_000
    assert Rung.parse("100%+15m page").at_ms(1_000, HOUR_MS) == 1_000 + HOUR_MS + 900_000


@given(rungs, st.integers(0, 2**48), st.integers(1, 100 * 366 * 24 * HOUR_MS))
def test_a_rung_is_never_due_before_arrival(rung: Rung, arrived_ms: int, sla_ms: int) -> None:
    assert rung.at_ms(arrived_ms, sla_ms) >= arrived_ms + rung.plus_ms


def test_without_a_word_a_queue_warns_and_then_tells_the_breach() -> None:
    assert [str(rung) for rung in DEFAULT_LADDER] == [
        "80% warn,bump",
        "100% breach,escalate",
        "100%+15m page",
    ]
