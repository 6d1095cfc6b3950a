from hypothesis import given
from hypothesis import strategies as st

from hms_async.domain.outcome import Completed, Failed, Fault, HandedBack, Outcome, RetryAsked
from hms_async.domain.retry import RetryPolicy
from hms_async.domain.settle import Settlement, decide

FAULT = Fault("ValueError", "no ink")
POLICY = RetryPolicy(base="1s", cap="1m")


def decided(outcome: Outcome, *, attempts_used: int = 1, jitter: float = 0.5) -> Settlement:
    return decide(outcome, attempts_used=attempts_used, policy=POLICY, jitter=jitter)


def test_completed_is_done_with_its_result() -> None:
    assert decided(Completed(b'{"ok":true}')) == Settlement("done", result=b'{"ok":true}')


def test_completed_without_a_result_is_done_with_null() -> None:
    assert decided(Completed()) == Settlement("done", result=b"null")


def test_handed_back_is_released_without_a_fault() -> None:
    assert decided(HandedBack()) == Settlement("release")


def test_a_final_failure_fails_at_once() -> None:
    assert decided(Failed(FAULT, retryable=False)) == Settlement("fail", fault=FAULT)


def test_a_failure_is_tried_again_when_the_policy_says() -> None:
    failed = Failed(FAULT, retryable=True)

    assert decided(failed, attempts_used=3) == Settlement("retry", delay_ms=2_000, fault=FAULT)


def test_a_retry_that_was_asked_for_without_a_delay_waits_as_the_policy_says() -> None:
    settlement = decided(RetryAsked(None), attempts_used=3)

    assert (settlement.word, settlement.delay_ms) == ("retry", 2_000)


@given(st.integers(0), st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_a_retry_waits_exactly_as_long_as_was_asked(
    delay_ms: int, used: int, jitter: float
) -> None:
    settlement = decided(RetryAsked(delay_ms), attempts_used=used, jitter=jitter)

    assert (settlement.word, settlement.delay_ms) == ("retry", delay_ms)


def test_a_retry_that_was_asked_for_says_so() -> None:
    assert str(decided(RetryAsked(None)).fault) == (
        "RetryAsked: the handler asked for another attempt"
    )


def test_attempts_that_are_used_up_are_left_to_the_store() -> None:
    used_up = POLICY.max_attempts

    assert decided(Failed(FAULT, retryable=True), attempts_used=used_up).word == "retry"
    assert decided(RetryAsked(0), attempts_used=used_up).word == "retry"
