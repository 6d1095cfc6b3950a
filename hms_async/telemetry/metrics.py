"""The metrics of queues, as text for Prometheus.

The scripts count in the store, so the text is the same whichever process is asked for it, workers
in any language are counted alike, and a restart loses nothing.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio import to_thread

from hms_async.errors import StoreError
from hms_async.storage.measure import read
from hms_async.storage.weighing import weigh
from hms_async.telemetry.exported import away, families
from hms_async.telemetry.families import Buckets, Family
from hms_async.telemetry.logs import get_logger
from hms_async.telemetry.writing import write

if TYPE_CHECKING:
    from prometheus_client import Metric

    from hms_async.storage.measure import Measurement
    from hms_async.storage.store import Store

_FRESH_S: Final = 1.0
_WEIGHTS_FRESH_S: Final = 60.0
_PATIENCE_S: Final = 5.0

log = get_logger("hms_async.metrics")


class QueueMetrics:
    """What the queues of a store have to tell.

    However often it is asked, the store is read once a second at most, by one caller at a time.

    Args:
        store: Where the queues are.
        clock: Seconds that pass, for tests.
    """

    def __init__(self, store: "Store", *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._lock = anyio.Lock()
        self._text = b""
        self._made_at = -_FRESH_S
        self._weights: Mapping[str, int] = {}
        self._weighed_at = -_WEIGHTS_FRESH_S
        self._is_up = True

    async def text(self) -> bytes:
        """Return them in Prometheus' text format, no older than a second.

        While the store does not answer it says just that, `hms_store_up 0`.

        Raises:
            ConfigInvalid: If the library that writes it is not installed.
        """
        async with self._lock:
            if self._clock() - self._made_at >= _FRESH_S:
                found = list(await self._measure())
                # Of fifty queues it takes a few hundredths of a second, in which others can go on.
                self._text = await to_thread.run_sync(exposition, found)
                self._made_at = self._clock()
            return self._text

    async def _measure(self) -> Iterable[Family]:
        try:
            with anyio.fail_after(_PATIENCE_S):
                found = await read(self._store)
        except (StoreError, TimeoutError) as error:
            if self._is_up:
                log.warning("metrics.store_away", error=str(error) or "no answer in time")
            self._is_up = False
            return away()
        self._is_up = True
        if self._clock() - self._weighed_at >= _WEIGHTS_FRESH_S:
            await self._weigh(found)
        return families(found, self._weights)

    async def _weigh(self, found: "Measurement") -> None:
        """Weigh the queues, or keep the weights that are known: they are the least of it."""
        self._weighed_at = self._clock()
        with suppress(StoreError), anyio.move_on_after(_PATIENCE_S):
            self._weights = await weigh(self._store, [one.stats for one in found.queues])


def exposition(found: Iterable[Family]) -> bytes:
    """Return metrics in Prometheus' text format.

    Raises:
        ConfigInvalid: If the library that writes it is not installed.
    """
    return write(_Collector(found))


class _Collector:
    """Gives metrics to the library."""

    def __init__(self, found: Iterable[Family]) -> None:
        self._found = found

    def collect(self) -> Iterator["Metric"]:
        """Yield each of them."""
        from prometheus_client.metrics_core import (  # noqa: PLC0415  # an extra
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        kinds: Mapping[str, Callable[..., Any]] = {
            "counter": CounterMetricFamily,
            "gauge": GaugeMetricFamily,
            "histogram": HistogramMetricFamily,
        }
        for name, kind, meaning, labels, samples in self._found:
            family: Any = kinds[kind](name, meaning, labels=labels)
            for words, value in samples:
                family.add_metric(words, *(value if isinstance(value, Buckets) else (value,)))
            yield family
