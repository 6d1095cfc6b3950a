"""What an attempt came to."""

from typing import Literal

import msgspec

from hms_async.domain.fingerprint import fingerprint


class Fault(msgspec.Struct, frozen=True):
    """Why an attempt did not succeed.

    Attributes:
        type: The exception's class name, or a word of ours such as `Failed` or `LeaseLost`.
        message: One line or more for people; shortened to 2,000 characters.
        traceback: Where it came from; empty when the handler said `fail` itself.
    """

    type: str
    message: str
    traceback: str = ""

    @property
    def fingerprint(self) -> str:
        """What faults of one kind have in common; see `domain/fingerprint.py`."""
        return fingerprint(self.type, self.message)

    def __str__(self) -> str:
        if self.type == "Failed":
            return self.message
        return ": ".join(part for part in (self.type, self.message) if part)


class Completed(msgspec.Struct, frozen=True):
    """The task is done.

    Attributes:
        result: Its result as JSON; `null` when the handler gave none.
        about: What its event says, as JSON: the result's note and a hand-off; empty without them.
    """

    result: bytes = b"null"
    about: bytes = b""


class Failed(msgspec.Struct, frozen=True):
    """The attempt failed.

    Attributes:
        fault: Why.
        retryable: Whether the queue's retry policy may try again.
    """

    fault: Fault
    retryable: bool


class RetryAsked(msgspec.Struct, frozen=True):
    """The handler asked to be called again; counts as a failed attempt.

    Attributes:
        delay_ms: When; `None` leaves it to the queue's policy.
    """

    delay_ms: int | None


class HandedBack(msgspec.Struct, frozen=True):
    """The attempt was not finished and is not counted: the worker stops."""


Outcome = Completed | Failed | RetryAsked | HandedBack

Word = Literal["done", "fail", "retry", "error", "release"]
