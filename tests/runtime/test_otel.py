"""What OpenTelemetry costs those who do not use it."""

import subprocess
import sys

SCRIPT = """
import sys
from hms_async import AsyncOMSClient, AsyncWorker, Supervisor
from hms_async.telemetry import otel
assert otel.spans("redis://h") is None
import opentelemetry.trace
assert otel.spans("redis://h") is None
assert "hms_async.telemetry.tracing" not in sys.modules
"""
WITHOUT_API = """
import sys
sys.modules["opentelemetry"] = None
from hms_async import AsyncOMSClient, AsyncWorker, Supervisor
from hms_async.telemetry import otel
assert otel.spans("redis://h") is None
"""


def test_without_a_provider_of_spans_nothing_is_imported_for_them() -> None:
    for script in (SCRIPT, WITHOUT_API):
        subprocess.run([sys.executable, "-c", script], check=True)  # noqa: S603
