"""What tests of and with this package stand on: a clock to turn, a store in memory, a worker."""

from hms_async.testing.clock import ManualClock
from hms_async.testing.memory import memory_url
from hms_async.testing.workers import running

__all__ = ["ManualClock", "memory_url", "running"]
