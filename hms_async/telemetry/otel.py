"""Whether OpenTelemetry is in use here, asked without importing any of it."""

import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hms_async.telemetry.tracing import Processing, Spans

_API = "opentelemetry.trace"


class Ended(NamedTuple):
    """An attempt whose outcome was sent.

    Attributes:
        queue: Its queue.
        task_id: Its task.
        word: What the outcome was.
        taken: Whether it was accepted; not if the lease was lost.
        processing: Its span, if it ran here.
    """

    queue: str
    task_id: str
    word: str
    taken: bool
    processing: "Processing | None" = None


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
    if isinstance(api.get_tracer_provider(), (api.ProxyTracerProvider, api.NoOpTracerProvider)):
        return None
    from hms_async.telemetry.tracing import spans_of  # noqa: PLC0415  # needs the API

    return spans_of(url)
