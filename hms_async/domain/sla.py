"""The promise of a queue: how long a task may take, and when to say that it will be late."""

import re

import msgspec

from hms_async.domain.duration import to_exact_text, to_ms
from hms_async.errors import ConfigInvalid

_RUNG = re.compile(r"(\d{1,6}(?:\.\d{1,4})?)%\s*(?:\+\s*(\S+)\s+)?\s*([a-z][a-z0-9_]*)")


class Rung(msgspec.Struct, frozen=True):
    """One step of a ladder: at a share of the promise (and a while after), say a word.

    Attributes:
        percent: Share of the promise that has passed, counted from the task's arrival.
        plus_ms: A further wait on top of it.
        name: What the event is called, such as `warn` or `breach`.
    """

    percent: float
    plus_ms: int
    name: str

    @classmethod
    def parse(cls, text: object) -> "Rung":
        """Read a rung such as "80% warn" or "100%+15m page".

        Raises:
            ConfigInvalid: If the text is not of that form.
        """
        match = _RUNG.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            raise ConfigInvalid(
                f"{text!r} is not a rung: write a share of the SLA and a name, "
                'such as "80% warn" or "100%+15m page"'
            )
        percent, plus, name = match.groups()
        plus_ms = to_ms(plus, name="rung") if plus else 0
        return cls(percent=float(percent), plus_ms=plus_ms, name=name)

    def at_ms(self, arrived_ms: int, sla_ms: int) -> int:
        """Return the instant at which this rung is due for a task."""
        return arrived_ms + int(sla_ms * self.percent / 100) + self.plus_ms

    def __str__(self) -> str:
        plus = f"+{to_exact_text(self.plus_ms)}" if self.plus_ms else ""
        return f"{self.percent:.10g}%{plus} {self.name}"


Ladder = tuple[Rung, ...]

DEFAULT_LADDER: Ladder = (Rung(80.0, 0, "warn"), Rung(100.0, 0, "breach"))

AT_RISK_PERCENT = 80
"""The share of a promise after which it is at risk, where a word for the clock is wanted."""


def clock_word(arrived_ms: int, due_ms: int, now_ms: int) -> str:
    """Return how a promise stands at an instant: `on_track`, `at_risk` or `breached`."""
    if now_ms > due_ms:
        return "breached"
    used = (now_ms - arrived_ms) * 100
    return "at_risk" if used >= (due_ms - arrived_ms) * AT_RISK_PERCENT else "on_track"
