"""Metrics as text for Prometheus, by its own library, which is an extra."""

from collections.abc import Iterator
from typing import Any, Final, Protocol

from hms_async.errors import ConfigInvalid

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_MISSING: Final = 'metrics need one more package: pip install "hms-async[metrics]"'


class Collector(Protocol):
    """Has metrics to tell."""

    def collect(self) -> Iterator[Any]:
        """Yield each of them."""
        ...


def write(collector: Collector) -> bytes:
    """Return what a collector tells, in Prometheus' text format; safe in any thread.

    Raises:
        ConfigInvalid: If the library that writes it is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as error:
        raise ConfigInvalid(f"{_MISSING}  (there is no {error.name})") from error
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return generate_latest(registry)
