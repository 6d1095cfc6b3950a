"""What the counters of a queue are called, as the scripts write them.

They are fields of `queue:<q>:counts`, which only grow, and of `queue:<q>:stats:<minute>`.
"""

from collections.abc import Mapping
from typing import Final

ATTEMPTS: Final = {
    "ok": "done",
    "error": "ended.error",
    "timeout": "ended.timeout",
    "lease_lost": "ended.lease_lost",
    "cancelled": "ended.cancelled",
    "released": "released",
}
"""How attempts end. With those in progress they are all that were `claimed`."""

REFUSALS: Final = {
    "duplicate": "rejected.exists",
    "id_in_use": "rejected.id_in_use",
    "full": "rejected.full",
    "too_large": "rejected.too_large",
    "dropped": "dropped",
}
"""Why a task was not accepted; `dropped` is an entry of a foreign hand that can be no task."""

ENDS: Final = ("done", "failed", "cancelled", "expired")
"""How tasks end."""

PROMISES: Final = ("met", "missed", "waived")
"""What became of the promises of tasks."""

WAIT_S: Final = (
    0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800,
    3_600, 7_200, 14_400, 28_800, 86_400,
)  # fmt: skip
RUN_S: Final = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600,
)  # fmt: skip
USED_SHARE: Final = (0.1, 0.25, 0.5, 0.75, 0.8, 0.9, 0.95, 1, 1.1, 1.25, 1.5, 2, 5)

HISTOGRAMS: Final[Mapping[str, tuple[float, ...]]] = {
    "wait": WAIT_S,
    "run": RUN_S,
    "total": WAIT_S,
    "used": USED_SHARE,
}
"""The upper bounds of the buckets `<name>:1`, `<name>:2`, ...; what is beyond is in one more."""

OTHER: Final = "_other"
"""Stands for all labels beyond the most that there may be."""
