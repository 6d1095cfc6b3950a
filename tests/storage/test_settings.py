from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_async.domain.queue import Queue, QueueSettings
from hms_async.domain.retry import RetryPolicy
from hms_async.domain.sla import Rung
from hms_async.storage.settings import from_fields, to_fields

counts = st.integers(1, 2**53)
waits_ms = st.integers(0, 100 * 366 * 86_400_000)
rungs = st.builds(
    Rung,
    percent=st.integers(0, 9_999_999_999).map(lambda n: n / 10_000),
    plus_ms=waits_ms,
    name=st.sampled_from(["warn", "breach", "call_2"]),
)
all_settings = st.builds(
    QueueSettings,
    sla_ms=st.none() | counts,
    goal=st.floats(0, 1, exclude_min=True, exclude_max=True),
    ladder=st.lists(rungs, max_size=5).map(tuple),
    retry=st.builds(RetryPolicy.from_ms, counts, waits_ms, waits_ms),
    lease_ms=counts,
    max_crashes=counts,
    max_depth=st.none() | counts,
    max_payload_bytes=counts,
    window_ms=counts,
    keep_done_ms=counts,
    keep_done_max=counts,
    keep_failed_ms=counts,
    keep_failed_max=counts,
)


def stored(settings: QueueSettings, **further: str) -> dict[bytes, bytes]:
    fields = to_fields(settings)
    pairs = dict(zip(fields[::2], fields[1::2], strict=True))
    return {
        name.encode(): value.encode()
        for name, value in (pairs | {"version": "1"} | further).items()
    }


@given(all_settings)
def test_settings_survive_storage(settings: QueueSettings) -> None:
    assert from_fields("mail", stored(settings)) == Queue(name="mail", settings=settings, version=1)


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ({}, {"ladder": ["80% warn,bump", "100% breach,escalate", "100%+15m page"]}),
        ({"sla": "1h"}, {"sla": 3_600}),
        ({"retry": RetryPolicy(base="60s")}, {"retry": RetryPolicy(base="1m")}),
        ({"ladder": ["100%+60s page"]}, {"ladder": ["100.0% + 1m page"]}),
    ],
)
def test_settings_that_mean_the_same_are_stored_alike(
    one: dict[str, Any], same: dict[str, Any]
) -> None:
    assert to_fields(QueueSettings.create(**one)) == to_fields(QueueSettings.create(**same))


def test_what_is_not_set_is_stored_as_nothing() -> None:
    fields = stored(QueueSettings())

    assert fields[b"sla_ms"] == b""
    assert fields[b"max_depth"] == b""


def test_numbers_that_an_older_release_did_not_write_have_their_defaults() -> None:
    written = stored(QueueSettings())

    queue = from_fields("mail", {name: written[name] for name in (b"version", b"ladder")})

    assert queue.settings == QueueSettings()


def test_fields_of_a_newer_release_are_passed_over() -> None:
    assert from_fields("mail", stored(QueueSettings(), color="red")).settings == QueueSettings()


def test_a_paused_queue_tells_why() -> None:
    fields = stored(QueueSettings(), version="7", paused="1", reason="printer är öde")

    queue = from_fields("mail", fields)

    assert (queue.version, queue.paused, queue.reason) == (7, True, "printer är öde")


@pytest.mark.parametrize("rung", ['[80,0,"warn"]', '[80,0,"warn","bump"]', '[80,0,"warn",[],7]'])
def test_what_a_newer_release_says_more_of_a_rung_is_passed_over(rung: str) -> None:
    queue = from_fields("mail", stored(QueueSettings(), ladder=f"[{rung}]"))

    assert queue.settings.ladder == (Rung(80, 0, "warn"),)


@pytest.mark.parametrize(
    "wrong", [{"ladder": "{broken"}, {"ladder": "[[80]]"}, {"lease_ms": ""}, {"max_depth": "many"}]
)
def test_what_cannot_be_read_raises(wrong: dict[str, str]) -> None:
    with pytest.raises((ValueError, TypeError, LookupError)):
        from_fields("mail", stored(QueueSettings(), **wrong))
