from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_async.domain.queue import QueueSettings, QueueStats, check_name
from hms_async.domain.retry import RetryPolicy
from hms_async.errors import ConfigInvalid, DurationInvalid, NameInvalid

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def stats(**fields: Any) -> QueueStats:
    numbers = dict.fromkeys(
        ("waiting", "in_progress", "scheduled", "retrying", "done", "failed", "cancelled"), 0
    )
    nothing = dict.fromkeys(("sla_ms", "oldest_arrived_ms", "next_due_ms", "next_rung_ms"))
    defaults: dict[str, Any] = {
        "name": "mail",
        **numbers,
        **nothing,
        "expired": 0,
        "paused": False,
        "totals": {},
        "now_ms": 0,
    }
    return QueueStats(**defaults | fields)


@given(
    st.sampled_from(ALPHABET),
    st.text(ALPHABET + "._-", max_size=127),
)
def test_names_within_the_alphabet_come_back_unchanged(first: str, rest: str) -> None:
    assert check_name(first + rest, what="queue name") == first + rest


@pytest.mark.parametrize(
    "value",
    [
        *("", ".mail", "-mail", "_mail", "a b", "a:b", "a/b", "{a}", "ä", "mail\n", "a" * 129),
        *(None, 7, b"mail", ["mail"]),
    ],
)
def test_names_outside_the_alphabet_are_refused_with_the_alphabet(value: Any) -> None:
    with pytest.raises(NameInvalid) as caught:
        check_name(value, what="queue name")

    assert str(caught.value) == (
        f"queue name {value!r} is not valid: 1 to 128 of A-Z a-z 0-9 . _ -, "
        "starting with a letter or digit"
    )


def test_settings_without_a_word_are_the_defaults() -> None:
    assert QueueSettings.create() == QueueSettings()


def test_settings_are_made_again_of_their_own_arguments() -> None:
    plain = QueueSettings.create()
    full = QueueSettings.create(
        sla="90m",
        goal="95%",
        ladder=["50% note", "100% webhook,notify"],
        late="expire",
        pause_stops_clock=True,
        max_wait="1h",
        run_timeout="2m",
        webhook="https://hooks.example/x",
        webhook_secret="whsec_" + "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0",
        notify=["mailto://ann@example.org"],
        retry=RetryPolicy(max_attempts=7, base="2s", cap="1m"),
        lease="4s",
        max_crashes=2,
        max_depth=9,
        max_payload_bytes=1_000,
        idempotency_window="1h",
        keep_done="2h",
        keep_done_max=5,
        keep_failed="3d",
        keep_failed_max=6,
    )

    for settings in (plain, full):
        assert QueueSettings.create(**settings.arguments()) == settings
    same = [n for n, v in full.arguments().items() if v == plain.arguments()[n]]
    assert same == []


def test_settings_hold_what_was_asked_in_milliseconds() -> None:
    settings = QueueSettings.create(
        sla="2h",
        ladder=["50% note", "100%+15m page"],
        retry=RetryPolicy(max_attempts=2),
        lease="45s",
        max_depth=1_000,
        idempotency_window=60,
        keep_done="1h",
    )

    assert settings.sla_ms == 7_200_000
    assert [str(rung) for rung in settings.ladder] == ["50% note", "100%+15m page"]
    assert settings.retry.max_attempts == 2
    assert (settings.lease_ms, settings.max_depth) == (45_000, 1_000)
    assert (settings.window_ms, settings.keep_done_ms) == (60_000, 3_600_000)


@pytest.mark.parametrize(
    "name", ["max_crashes", "max_depth", "max_payload_bytes", "keep_done_max", "keep_failed_max"]
)
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3"])
def test_a_limit_that_is_no_count_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigInvalid, match=f"{name}={value!r} is not a whole number from 1"):
        QueueSettings.create(**{name: value})


def test_only_the_depth_may_be_without_limit() -> None:
    unlimited: Any = None

    assert QueueSettings.create(max_depth=None).max_depth is None
    with pytest.raises(ConfigInvalid, match="max_crashes=None is not a whole number from 1"):
        QueueSettings.create(max_crashes=unlimited)


@pytest.mark.parametrize(
    ("name", "too_short", "minimum"),
    [
        ("sla", 0, "1ms"),
        ("lease", "2.9s", "3s"),
        ("idempotency_window", "999ms", "1s"),
        ("keep_done", 0, "1s"),
        ("keep_failed", 0, "1s"),
    ],
)
def test_a_duration_that_is_too_short_is_refused_by_name(
    name: str, too_short: Any, minimum: str
) -> None:
    with pytest.raises(DurationInvalid, match=f"^{name}=.* is too short: at least {minimum} is"):
        QueueSettings.create(**{name: too_short})


@pytest.mark.parametrize("name", ["sla", "lease", "idempotency_window", "keep_done", "keep_failed"])
def test_what_is_no_duration_is_refused_by_name(name: str) -> None:
    wrong: dict[str, Any] = {name: "later"}

    with pytest.raises(DurationInvalid, match=f"^{name}='later' is not a duration"):
        QueueSettings.create(**wrong)


@pytest.mark.parametrize("policy", [5, "often", {"max_attempts": 5}, RetryPolicy])
def test_a_retry_that_is_no_policy_is_refused_with_an_example(policy: Any) -> None:
    with pytest.raises(ConfigInvalid, match=r"^retry=.* give RetryPolicy\(max_attempts=5\)"):
        QueueSettings.create(retry=policy)


@pytest.mark.parametrize(
    ("sla", "ladder"),
    [
        ("1h", ["100% breach", "80% warn"]),
        ("1h", ["80%+1h late", "100% breach"]),
        ("10m", ["100%+15m page", "200% call"]),
        (None, ["100% breach", "80% warn"]),
    ],
)
def test_a_ladder_out_of_order_is_refused(sla: str | None, ladder: list[str]) -> None:
    with pytest.raises(ConfigInvalid, match=r"^ladder=.* is out of order: put the rung that comes"):
        QueueSettings.create(sla=sla, ladder=ladder)


def test_a_ladder_is_in_order_when_its_rungs_come_due_in_order() -> None:
    ladder = ["100%+15m page", "200% call"]

    assert len(QueueSettings.create(sla="1h", ladder=ladder).ladder) == 2
    assert QueueSettings.create(sla="1h", ladder=[]).ladder == ()


def test_open_tasks_are_those_in_the_four_states_before_an_end() -> None:
    assert stats(waiting=1, in_progress=2, scheduled=4, retrying=8, done=16).open == 15


def test_the_books_balance_when_all_that_came_is_open_or_has_ended() -> None:
    totals = {"accepted": 5, "adopted": 2, "requeued": 1, "done": 3, "failed": 1, "expired": 1}

    assert stats(totals=totals).ended == 5
    assert stats(totals=totals, waiting=2, retrying=1).balanced
    assert not stats(totals=totals, waiting=2).balanced


def test_a_ladder_is_a_list_and_not_one_text() -> None:
    with pytest.raises(ConfigInvalid, match="give a list"):
        QueueSettings.create(sla="1h", ladder="80% warn")
