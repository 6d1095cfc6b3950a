"""A worker process as a script is one; its handlers note what they do."""

import sys

from benchmarks.faults import handlers
from hms_async import AsyncWorker

MODE, CONCURRENCY, SHUTDOWN_TIMEOUT = sys.argv[1:]

AsyncWorker(
    queue="q",
    handler=getattr(handlers, MODE),
    concurrency=int(CONCURRENCY),
    shutdown_timeout=SHUTDOWN_TIMEOUT,
).run_forever()
