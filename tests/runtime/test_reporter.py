"""What each answer of the store to an outcome is called in the log."""

import pytest
from structlog.testing import capture_logs

from hms_async.domain.outcome import Fault
from hms_async.domain.settle import Settlement
from hms_async.runtime.report import Reporter
from hms_async.runtime.task import Attempt
from hms_async.storage.replies import Claim, Settled

FAULT = Fault("ValueError", "no")


@pytest.mark.parametrize(
    ("settlement", "settled", "outcome", "level"),
    [
        (Settlement("done", result=b"1"), Settled("ok", "done"), "ok", "info"),
        (Settlement("done", result=b"1"), Settled("already", "done"), "ok", "info"),
        (Settlement("fail", fault=FAULT), Settled("already", "waiting"), "failed", "error"),
        (
            Settlement("retry", 5, fault=FAULT),
            Settled("already", "in_progress"),
            "retry",
            "warning",
        ),
        (Settlement("retry", 5, fault=FAULT), Settled("ok", "failed"), "failed", "error"),
        (Settlement("release"), Settled("already", "in_progress"), "released", "warning"),
        (Settlement("release"), Settled("ok", "waiting"), "released", "warning"),
        (Settlement("done", result=b"1"), Settled("stale", "done"), "lost", "warning"),
        (Settlement("release"), Settled("gone", ""), "lost", "warning"),
    ],
)
def test_an_outcome_that_was_settled_by_an_earlier_send_is_told_by_its_word(
    settlement: Settlement, settled: Settled, outcome: str, level: str
) -> None:
    reporter = Reporter("w", "memory://")
    claim = Claim("t1", "token", 1, 0, 0, None, 0, b"{}")
    attempt = Attempt(claim, "q", server_ms=0, max_result_bytes=100)
    with capture_logs() as told:
        reporter.finished(attempt, settlement, settled)

    assert [(one["outcome"], one["log_level"]) for one in told] == [(outcome, level)]
    assert reporter.handed_back == (outcome == "released")
