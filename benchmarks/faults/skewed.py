"""`hms` in a process whose wall clock is wrong: python -m benchmarks.faults.skewed SECONDS ..."""

import datetime as dt
import sys
import time
from typing import Self


class _Wrong(dt.datetime):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Self:
        return cls.fromtimestamp(time.time(), tz)


def put_wrong(seconds: float) -> None:
    """Let every wall clock of this process be ahead by so many seconds."""
    true_time, true_time_ns = time.time, time.time_ns
    time.time = lambda: true_time() + seconds
    time.time_ns = lambda: true_time_ns() + int(seconds * 1e9)
    dt.__dict__["datetime"] = _Wrong


if __name__ == "__main__":
    put_wrong(float(sys.argv.pop(1)))
    from hms_async.cli.main import main

    main()
