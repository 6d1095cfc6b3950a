"""What people read in a chat, or on a pager."""

from typing import Any

import pytest

from hms_async import Escalation
from hms_async.runtime.actions import in_words

COMMON: dict[str, Any] = {"id": "m", "queue": "kyc", "made_ms": 1}
OPENED = COMMON | {"type": "incident.opened", "incident": "kyc:1", "count": 1}


@pytest.mark.parametrize(
    ("said", "title", "text"),
    [
        (
            OPENED | {"about": "sla", "severity": "error"},
            "[error] kyc: tasks are late (opened)",
            "Incident kyc:1. hms sla ack kyc sla acknowledges it.",
        ),
        (
            OPENED | {"about": "sla", "severity": "warning"},
            "[warning] kyc: tasks are at risk (opened)",
            "Incident kyc:1. hms sla ack kyc sla acknowledges it.",
        ),
        (
            OPENED | {"about": "forecast", "severity": "warning", "type": "incident.resolved"},
            "[warning] kyc: tasks will be late (resolved)",
            "Incident kyc:1.",
        ),
        (
            COMMON
            | {"type": "sla.warn", "severity": "warning", "percent": 80.0, "task_id": "t-1"}
            | {"correlation_id": "REQ-1"},
            "[warning] kyc: task t-1 (REQ-1) at 80 %",
            "sla.warn of kyc. hms job show t-1 tells more.",
        ),
    ],
)
def test_a_notice_says_what_is_wrong_and_what_to_type(
    said: dict[str, Any], title: str, text: str
) -> None:
    assert in_words(Escalation(**said)) == (title, text)
