"""The promise of a queue: how long a task may take, when to speak up, and what to do then."""

import re
from typing import Literal

import msgspec

from hms_async.domain.duration import to_exact_text, to_ms
from hms_async.errors import ConfigInvalid

_RUNG = re.compile(r"(\d{1,6}(?:\.\d{1,4})?)%\s*(?:\+\s*(\S+)\s+)?\s*([a-z]\S*(?:\s*,\s*\S+)*)")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_WITH_TARGET = re.compile(rf"reroute:[A-Za-z0-9][A-Za-z0-9._-]{{0,127}}|call:{FUNCTION.pattern}")

Severity = Literal["info", "warning", "error", "critical"]
Late = Literal["after_others", "run_anyway", "expire"]

LATE: frozenset[str] = frozenset({"after_others", "run_anyway", "expire"})
"""What becomes of a task that is past due and has not begun: see `QueueSettings.late`."""

ACTIONS: frozenset[str] = frozenset(
    {"bump", "requeue", "cancel", "escalate", "page", "webhook", "notify"}
)
"""What a rung can do beside its event, its log line and its counter; `reroute:<queue>` and
`call:<function>` are the two with a target."""

AT_RISK_PERCENT = 80
"""The share of a promise after which it is at risk."""

_WHOLE = 100


class Rung(msgspec.Struct, frozen=True):
    """One step of a ladder: at a share of the promise (and a while after), say a word and act.

    Attributes:
        percent: Share of the promise that has passed, counted from the task's arrival.
        plus_ms: A further wait on top of it.
        name: What the event is called, such as `warn` or `breach`.
        actions: What is done then, in this order; see `ACTIONS`.
    """

    percent: float
    plus_ms: int
    name: str
    actions: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: object) -> "Rung":
        """Read a rung such as "80% warn,bump" or "100%+15m page".

        The first word names the event; a name that is an action's is carried out, too.

        Raises:
            ConfigInvalid: If the text is not of that form, or an action is unknown.
        """
        match = _RUNG.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            raise _not_a_rung(text)
        percent, plus, words = match.groups()
        name, *others = (word.strip() for word in words.split(","))
        if not _NAME.fullmatch(name):
            raise _not_a_rung(text)
        for word in others:
            if word not in ACTIONS and not _WITH_TARGET.fullmatch(word):
                raise ConfigInvalid(
                    f"{text!r} asks for {word!r}, which is no action: use "
                    f"{', '.join(sorted(ACTIONS))}, reroute:<queue> or call:<function>"
                )
        named = [name] if name in ACTIONS else []
        return cls(
            percent=float(percent),
            plus_ms=to_ms(plus, name="rung") if plus else 0,
            name=name,
            actions=tuple(dict.fromkeys(named + others)),
        )

    def at_ms(self, arrived_ms: int, sla_ms: int) -> int:
        """Return the instant at which this rung is due for a task."""
        return arrived_ms + int(sla_ms * self.percent / 100) + self.plus_ms

    def __str__(self) -> str:
        plus = f"+{to_exact_text(self.plus_ms)}" if self.plus_ms else ""
        words = dict.fromkeys((self.name, *self.actions))
        return f"{self.percent:.10g}%{plus} {','.join(words)}"


def _not_a_rung(text: object) -> ConfigInvalid:
    return ConfigInvalid(
        f"{text!r} is not a rung: write a share of the SLA and a name, with actions if you like, "
        'such as "80% warn,bump" or "100%+15m page"'
    )


Ladder = tuple[Rung, ...]

DEFAULT_LADDER: Ladder = (
    Rung(80.0, 0, "warn", ("bump",)),
    Rung(100.0, 0, "breach", ("escalate",)),
    Rung(100.0, 900_000, "page", ("page",)),
)


def severity_of(name: str, percent: float) -> Severity:
    """Return how loud a rung is: by its name where that says it, else by its share."""
    match name:
        case "note":
            return "info"
        case "page":
            return "critical"
        case _:
            return "warning" if percent < _WHOLE else "error"


def clock_word(arrived_ms: int, due_ms: int, now_ms: int) -> str:
    """Return how a promise stands at an instant: `on_track`, `at_risk` or `breached`."""
    if now_ms > due_ms:
        return "breached"
    used = (now_ms - arrived_ms) * 100
    return "at_risk" if used >= (due_ms - arrived_ms) * AT_RISK_PERCENT else "on_track"
