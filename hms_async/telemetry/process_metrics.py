"""The metrics of one process, as text for Prometheus.

Those of queues are kept in the store, and are the same whoever is asked for them; these are what
only the process itself knows. No label says which process: that is the target of the scrape.
"""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hms_async.domain.observations import Histogram
from hms_async.telemetry.logs import package_version
from hms_async.telemetry.writing import write

if TYPE_CHECKING:
    from hms_async.storage.traffic import Traffic
    from hms_async.telemetry.vitals import Vitals


class ProcessMetrics:
    """What one process has to tell.

    Args:
        vitals: What it notes of itself.
        traffic: What has gone between it and the store.
        slots: How many slots there are, and how many of them are busy, if it has any.
    """

    def __init__(
        self,
        vitals: "Vitals",
        traffic: "Traffic",
        slots: "Callable[[], tuple[int, int] | None]" = lambda: None,
    ) -> None:
        self._vitals = vitals
        self._traffic = traffic
        self._slots = slots

    def text(self) -> bytes:
        """Return them in Prometheus' text format; safe to call from any thread.

        Raises:
            ConfigInvalid: If the library that writes it is not installed.
        """
        return write(self)

    def collect(self) -> Iterator[Any]:
        """Yield each metric, for the library."""
        from prometheus_client.metrics_core import (  # noqa: PLC0415  # an extra
            CounterMetricFamily,
            GaugeMetricFamily,
        )

        vitals, traffic = self._vitals, self._traffic
        build = GaugeMetricFamily(
            "hms_build_info",
            "What runs here; always 1.",
            labels=["version", "python", "store"],
        )
        build.add_metric([package_version(), platform.python_version(), traffic.server], 1)
        yield build
        slots = self._slots()
        if slots is not None:
            count, busy = slots
            yield GaugeMetricFamily(
                "hms_worker_slots", "How many tasks this worker can run at once.", count
            )
            yield GaugeMetricFamily("hms_worker_slots_busy", "How many tasks it runs.", busy)
            yield _counters(
                "hms_worker_pops",
                "Claims by their outcome.",
                "outcome",
                vitals.pops,
            )
            yield _counters(
                "hms_worker_lease_renewals",
                "Leases by what came of renewing them.",
                "outcome",
                vitals.renewals,
            )
        yield _histogram(
            "hms_worker_loop_lag_seconds",
            "By how much later than asked for the event loop comes round.",
            [((), vitals.lag)],
        )
        yield _histogram(
            "hms_supervisor_sweep_seconds",
            "How long the supervisor's rounds over all queues take.",
            [(("sla",), vitals.sweeps)],
            ["loop"],
        )
        yield _histogram(
            "hms_http_request_seconds",
            "How long requests take until their answer begins, waits for tasks among them.",
            sorted(vitals.requests.items()),
            ["route", "method", "code_class"],
        )
        yield _histogram(
            "hms_store_command_seconds",
            "How long the store takes to answer, by script.",
            [((name,), one) for name, one in sorted(traffic.scripts.items())],
            ["op"],
        )
        yield _counters("hms_store_errors", "Calls that failed, by kind.", "kind", traffic.errors)
        yield CounterMetricFamily(
            "hms_store_reconnects",
            "Connections to the store that had to be made anew.",
            traffic.reconnects,
        )


def _counters(name: str, text: str, label: str, counts: Mapping[str, int]) -> Any:
    from prometheus_client.metrics_core import CounterMetricFamily  # noqa: PLC0415  # an extra

    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


def _histogram(
    name: str,
    text: str,
    observed: Iterable[tuple[tuple[str, ...], Histogram]],
    labels: Iterable[str] = (),
) -> Any:
    from prometheus_client.metrics_core import HistogramMetricFamily  # noqa: PLC0415  # an extra

    family = HistogramMetricFamily(name, text, labels=list(labels))
    for values, one in observed:
        family.add_metric(list(values), one.cumulative(), one.sum)
    return family
