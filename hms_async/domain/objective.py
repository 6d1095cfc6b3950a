"""How many promises are to be kept, and how fast the room for broken ones is used up."""

from collections.abc import Mapping
from typing import Any

import msgspec

from hms_async.errors import ConfigInvalid

Goal = float | str
"""What an argument that is a goal takes: 0.99, or "99%"."""

DEFAULT_GOAL = 0.99


def read_goal(value: Goal) -> float:
    """Return a goal as a share of promises.

    Raises:
        ConfigInvalid: If it is no share between 0 and 1. Nor may it be 1: with no room for a miss
            at all, none can be used up.
    """
    share = _share(value)
    if not 0 < share < 1:  # false for NaN as well
        raise ConfigInvalid(
            f'goal={value!r} is no share of promises: give 0.99 or "99%", more than none of them '
            "and less than all"
        )
    return share


def _share(value: Any) -> float:
    try:
        if isinstance(value, str) and value.strip().endswith("%"):
            # Rounded, as 99.9 / 100 is a little more than 0.999.
            return round(float(value.strip().removesuffix("%")) / 100, 12)
        return float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return float("nan")


def percent(share: float, digits: int = 10) -> str:
    """Return a share for people: "99.9%"."""
    return f"{share * 100:.{digits}g}%"


class Kept(msgspec.Struct, frozen=True):
    """Promises whose clock has closed in some span.

    Attributes:
        met: Those that were kept.
        missed: Those that were not.
    """

    met: int
    missed: int

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> "Kept":
        """Return what some counters of a queue tell."""
        return cls(counts.get("met", 0), counts.get("missed", 0))

    @property
    def closed(self) -> int:
        """How many there are."""
        return self.met + self.missed

    @property
    def ratio(self) -> float | None:
        """The share that was kept; `None` when there is none to judge by."""
        return self.met / self.closed if self.closed else None

    def burn(self, goal: float) -> float | None:
        """Return how fast the error budget is used up: 1 uses it up just when the span is over.

        Args:
            goal: The share of promises that are to be kept.
        """
        return self.missed / self.closed / (1 - goal) if self.closed else None

    def budget_left(self, goal: float) -> float | None:
        """Return the share of the error budget that is left; below 0 when the goal is missed.

        The budget is as many misses as the goal allows of the promises closed so far.

        Args:
            goal: The share of promises that are to be kept.
        """
        burnt = self.burn(goal)
        return None if burnt is None else 1 - burnt
