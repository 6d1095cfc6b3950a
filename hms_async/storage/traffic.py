"""What a connection to the server has carried, for the metrics of its process.

Plain numbers: to keep them costs a microsecond a round trip, whether anybody asks or not.
"""

import time
from typing import Final

from hms_async.domain.observations import Histogram
from hms_async.errors import StoreError, StoreFull, StoreProtocol, StoreRefused

COMMAND_BOUNDS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)

_KINDS: Final = ((StoreRefused, "refused"), (StoreFull, "full"), (StoreProtocol, "protocol"))


class Traffic:
    """Counts what went over one store's connections.

    Attributes:
        scripts: How long the calls of each script took that were answered, in seconds. Those that
            wait on the server for something to do are not among them.
        errors: How many calls failed, by what kind of trouble.
        reconnects: How many connections had to be made anew.
        server: What answers there, such as `valkey 9.1.2`; empty until somebody has asked.
    """

    def __init__(self) -> None:
        self.scripts: dict[str, Histogram] = {}
        self.errors: dict[str, int] = dict.fromkeys(
            ("unavailable", *(kind for _, kind in _KINDS)), 0
        )
        self.reconnects = 0
        self.server = ""

    def answered(self, script: str, began: float) -> None:
        """Count a call that began at this moment of the monotonic clock."""
        took = self.scripts.get(script)
        if took is None:
            took = self.scripts[script] = Histogram(COMMAND_BOUNDS_S)
        took.observe(time.monotonic() - began)

    def failed(self, error: StoreError) -> None:
        """Count a call that came to this."""
        kind = next((word for of, word in _KINDS if isinstance(error, of)), "unavailable")
        self.errors[kind] += 1
