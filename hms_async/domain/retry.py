"""When a failed attempt is tried again."""

from dataclasses import dataclass, field
from datetime import timedelta

from hms_async.domain.count import check_count
from hms_async.domain.duration import Duration, to_ms


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter, and a limit on attempts.

    Attributes:
        max_attempts: Attempts in all, the first included; crashes are not counted here.
        base: The longest wait after the first failure; doubles with each further one.
        cap: The longest wait of all.
    """

    max_attempts: int = 5
    base: Duration = field(default="1s", compare=False)
    cap: Duration = field(default="5m", compare=False)
    base_ms: int = field(init=False, repr=False)
    cap_ms: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_count(self.max_attempts, name="max_attempts")
        object.__setattr__(self, "base_ms", to_ms(self.base, name="retry.base"))
        object.__setattr__(self, "cap_ms", to_ms(self.cap, name="retry.cap"))

    @classmethod
    def from_ms(cls, max_attempts: int, base_ms: int, cap_ms: int) -> "RetryPolicy":
        """Return the policy that a queue's stored settings describe."""
        return cls(
            max_attempts=max_attempts,
            base=timedelta(milliseconds=base_ms),
            cap=timedelta(milliseconds=cap_ms),
        )

    def delay_ms(self, attempts_used: int, jitter: float) -> int:
        """Return how long to wait after a failed attempt.

        Args:
            attempts_used: Attempts that failed so far, this one included; at least 1.
            jitter: A uniform draw from [0, 1), made by the caller: tasks that failed
                together must not come back together.

        Returns:
            Milliseconds, from 0 up to `base * 2 ** (attempts_used - 1)`, at most `cap`.

        Source: M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
        """
        # 2 ** 1000 would overflow a float; past 2 ** 62 the cap has long decided.
        doublings = min(max(attempts_used, 1) - 1, 62)
        return int(min(self.cap_ms, self.base_ms * 2**doublings) * jitter)
