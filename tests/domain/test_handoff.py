from typing import Any

import pytest

from hms_async import Handoff, ResultInvalid
from hms_async.domain.handoff import read_handoff

GOOD: dict[str, Any] = {"workflow": "passport.renewal", "key": "REQ-123", "payload": {"copies": 2}}


def test_a_mapping_is_as_good_as_a_hand_off() -> None:
    handoff = Handoff("passport.renewal", "REQ-123", {"copies": 2})

    assert read_handoff(GOOD) == read_handoff(handoff) == handoff


def test_a_payload_may_be_left_out() -> None:
    assert read_handoff({"workflow": "w", "key": "k"}) == Handoff("w", "k", None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("passport.renewal", "handoff='passport.renewal' is none: give Handoff"),
        ({"key": "k"}, "handoff.workflow: missing"),
        ({"workflow": "w"}, "handoff.key: missing"),
        (GOOD | {"workflow": ""}, "handoff.workflow: '' is not a text of 1 to 512 characters"),
        (GOOD | {"key": 5}, "handoff.key: 5 is not a text"),
        (GOOD | {"key": "k" * 513}, "handoff.key: 'kkk"),
        (Handoff(workflow="w", key=None), "handoff.key: None is not a text"),  # type: ignore[arg-type]
        (GOOD | {"priority": "high"}, "handoff.priority: no such field; a hand-off has workflow"),
    ],
)
def test_what_is_wrong_is_named(given: Any, said: str) -> None:
    with pytest.raises(ResultInvalid) as caught:
        read_handoff(given)

    assert str(caught.value).startswith(said)
