"""Whether OpenTelemetry is in use here, asked without importing any of it."""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hms_async.telemetry.tracing import Spans

_API = "opentelemetry.trace"
_NAMED = "OTEL_PYTHON_TRACER_PROVIDER" in os.environ


def spans(url: str) -> "Spans | None":
    """Return what makes spans; `None` where nobody has set up where they go.

    Whoever has set that up has imported the API, so without it in this process nothing is asked.

    Args:
        url: The store that the spans are about.

    Raises:
        ConfigInvalid: If `HMS_TRACE_PARENT` or `HMS_TRACE_CREATE` is none of its words.
    """
    api = sys.modules.get(_API)
    if api is None:
        return None
    # Asked for a provider that nobody has set, the API looks into the environment each time, which
    # is a tenth of an enqueue.
    if getattr(api, "_TRACER_PROVIDER", api) is None and not _NAMED:
        return None
    if isinstance(api.get_tracer_provider(), (api.ProxyTracerProvider, api.NoOpTracerProvider)):
        return None
    from hms_async.telemetry.tracing import spans_of  # noqa: PLC0415  # needs the API

    return spans_of(url)
