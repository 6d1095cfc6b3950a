"""What a worker's handlers saw, in a file that the runner reads while the worker still runs.

The file is mapped into memory, so that noting costs some tens of nanoseconds, nothing has to be
sent at the end, and what was seen is there although the worker was killed.
"""

import mmap
import resource
import time
from pathlib import Path

_STARTED, _ENDED, _FIRST_START, _LAST_END, _CPU_FIRST, _CPU_LAST = range(6)
_HEAD = 8  # numbers before the samples
_SIZE = 8  # bytes of a number
UNTIMED = 0.0


def own_cpu() -> float:
    """Return the CPU seconds, user and system, that all threads of this process have used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Samples:
    """Counts, instants and latencies of one worker process; all times in seconds.

    Instants are those of `time.monotonic`, which all processes of a Linux machine share.

    Args:
        path: The file; made if it is not there.
        expected: How many tasks will be done. It is the room for latencies, too.
    """

    def __init__(self, path: Path, expected: int) -> None:
        self.expected = expected
        size = (_HEAD + expected) * _SIZE
        if not path.exists():
            path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)
        self._numbers = memoryview(self._map).cast("d")

    def start(self, sent: float) -> None:
        """Note that a handler starts on a task that was sent then; `UNTIMED` if that is unknown."""
        now = time.monotonic()
        numbers = self._numbers
        started = int(numbers[_STARTED])
        if started == 0:
            numbers[_FIRST_START], numbers[_CPU_FIRST] = now, own_cpu()
        if sent and started < self.expected:
            numbers[_HEAD + started] = now - sent
        numbers[_STARTED] = started + 1

    def end(self) -> None:
        """Note that a handler ends."""
        numbers = self._numbers
        ended = int(numbers[_ENDED]) + 1
        numbers[_LAST_END] = time.monotonic()
        if ended == self.expected:
            numbers[_CPU_LAST] = own_cpu()
        numbers[_ENDED] = ended

    @property
    def started(self) -> int:
        """How many handlers have started."""
        return int(self._numbers[_STARTED])

    @property
    def ended(self) -> int:
        """How many handlers have ended."""
        return int(self._numbers[_ENDED])

    @property
    def first_start(self) -> float:
        """When the first handler started."""
        return self._numbers[_FIRST_START]

    @property
    def last_end(self) -> float:
        """When the last handler so far ended."""
        return self._numbers[_LAST_END]

    @property
    def cpu(self) -> float:
        """CPU seconds of the worker between the first start and the end of the last task."""
        return self._numbers[_CPU_LAST] - self._numbers[_CPU_FIRST]

    def latencies(self) -> list[float]:
        """Return the latencies in the order of the starts, those of untimed tasks left out."""
        seen = self._numbers[_HEAD : _HEAD + min(self.started, self.expected)]
        return [latency for latency in seen if latency != UNTIMED]

    def close(self) -> None:
        """Let go of the file."""
        self._numbers.release()
        self._map.close()
