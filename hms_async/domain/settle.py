"""ACT's decision: what the outcome of an attempt leads to."""

from typing import assert_never

import msgspec

from hms_async.domain.outcome import Completed, Failed, Fault, HandedBack, Outcome, RetryAsked, Word
from hms_async.domain.retry import RetryPolicy

_ASKED = Fault("RetryAsked", "the handler asked for another attempt")


class Settlement(msgspec.Struct, frozen=True):
    """What is sent to the store about one attempt.

    The store has the last word: a `retry` of a task that has used its attempts up
    fails it there, in the same script, whoever sent it.

    Attributes:
        word: What happens to the task.
        delay_ms: For `retry`: how long until the next attempt.
        jitter: For `error`, which leaves the delay to the store: a uniform draw from [0, 1).
        result: For `done`: the result as JSON.
        about: For `done`: what its event says, as JSON, or nothing.
        fault: For `fail`, `retry` and `error`: why.
    """

    word: Word
    delay_ms: int = 0
    jitter: float = 0.0
    result: bytes = b""
    about: bytes = b""
    fault: Fault | None = None


def decide(
    outcome: Outcome, *, attempts_used: int, policy: RetryPolicy, jitter: float
) -> Settlement:
    """Return what an outcome leads to.

    Args:
        outcome: What the attempt came to.
        attempts_used: Attempts that count so far (crashes do not), this one included.
        policy: The queue's retry policy.
        jitter: A uniform draw from [0, 1).
    """
    settlement = decide_unknowing(outcome, jitter=jitter)
    if settlement.word != "error":
        return settlement
    wait_ms = policy.delay_ms(attempts_used, jitter)
    return Settlement("retry", wait_ms, fault=settlement.fault)


def decide_unknowing(outcome: Outcome, *, jitter: float) -> Settlement:
    """Return what an outcome leads to, for one who knows neither the attempt nor its queue.

    Where that depends on them the word is `error`, and the store decides by the queue's policy.

    Args:
        outcome: What the attempt came to.
        jitter: A uniform draw from [0, 1).
    """
    match outcome:
        case Completed(result, about):
            return Settlement("done", result=result, about=about)
        case HandedBack():
            return Settlement("release")
        case Failed(fault, retryable=False):
            return Settlement("fail", fault=fault)
        case Failed(fault):
            return Settlement("error", jitter=jitter, fault=fault)
        case RetryAsked(None):
            return Settlement("error", jitter=jitter, fault=_ASKED)
        case RetryAsked(delay_ms):
            return Settlement("retry", delay_ms or 0, fault=_ASKED)
        case _:
            assert_never(outcome)
