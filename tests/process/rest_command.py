"""What `worker.sh` runs in tests: it notes what it does, as the handlers of the other workers do.

With nothing but what the interpreter has at hand: it is started for each task.
"""

import json
import os
import signal
import sys
import time

payload = json.load(sys.stdin)


def note(word: str) -> None:
    line = {
        "word": word,
        "id": os.environ["TASK_ID"],
        "token": os.environ["TASK_TOKEN"],
        "attempt": int(os.environ["TASK_ATTEMPT"]),
        "crashes": 0,
        "pid": WORKER,
        "at": time.monotonic_ns(),
        "claimed_ms": time.time_ns() // 1_000_000,
        "payload": payload,
    }
    file = os.open(os.environ["FAULTS_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, json.dumps(line).encode() + b"\n")
    os.fsync(file)


def leave(*_: object) -> None:
    note("cut")
    os._exit(1)


WORKER = os.getppid()
signal.signal(signal.SIGTERM, leave)
note("start")
time.sleep(payload["s"])
signal.signal(signal.SIGTERM, signal.SIG_IGN)
note("end")
