"""A producer and a worker that speak Redis, written from docs/protocol.md alone.

Nothing of hms_async is imported: a port to another language has the same parts. What it needs is
the text of three scripts, which `hms protocol export scripts` writes.

    python protocol_worker.py enqueue passport.photo REQ-123 '{"file": "s3://uploads/sam.jpg"}'
    python protocol_worker.py work passport.photo
"""

import json
import os
import random
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import redis

URL = os.environ.get("HMS_URL", "redis://127.0.0.1:6379/0")
SCRIPTS = Path(os.environ.get("HMS_SCRIPTS", "scripts"))
NOT_READY = ("BUSY ", "MISCONF ", "NOREPLICAS ")  # redis-py has classes for the other such answers
LANE = 1  # one queue, and one exchange at a time
HEAR_WITHIN_S, STOP_WITHIN_S = 1.0, 20.0
CHANCE = random.SystemRandom()


class Fail(Exception):
    """The task cannot be done, and no further attempt would change that."""


class Left(Exception):
    """The task was left in the middle: it is cancelled, its lease is lost, or the process stops."""


class Task:
    """A claim, as the reply of `exchange` has it."""

    def __init__(self, claim: list[Any], now_ms: int, suspect: str) -> None:
        self.id, self.token = str(claim[0]), str(claim[1])
        self.attempt, self.crashes = int(claim[2]), int(claim[3])
        self.claimed_ms, self.suspect = now_ms, self.token == suspect
        asked = json.loads(claim[7])
        self.payload: Any = asked["payload"]
        self.traceparent: str | None = asked.get("traceparent")  # for what is asked of others
        self.leave = threading.Event()

    def sleep(self, seconds: float) -> None:
        """Wait, unless the task is to be left: a thread can only be asked to."""
        if self.leave.wait(seconds):
            raise Left


class Queue:
    """A queue's scripts and its bell; any number of threads may use it."""

    def __init__(self, url: str, name: str) -> None:
        self.name, self.key = name, f"queue:{name}"
        self.redis: redis.Redis = redis.Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            url, socket_timeout=5, decode_responses=True, encoding_errors="replace"
        )
        self._scripts = {  # redis-py sends the SHA1, and the text only after NOSCRIPT
            script: self.redis.register_script((SCRIPTS / f"{script}.lua").read_bytes())
            for script in ("enqueue", "exchange", "extend")
        }

    def call(self, script: str, *args: str | float) -> Any:
        """Run a script. No answer, or a server that is not ready: the very same call again."""
        while True:
            try:
                reply = self._scripts[script](keys=[self.key], args=["task:", "", *args])
            except redis.RedisError as error:
                if type(error) is redis.ResponseError and not str(error).startswith(NOT_READY):
                    raise  # it says what is wrong with the arguments
                print(f"{script}, again: {error}", file=sys.stderr)
                time.sleep(CHANCE.uniform(0.1, 0.5))
                continue
            if reply == "no_queue":
                sys.exit(f"no queue {self.name}: hms queue create {self.name} --sla 2h")
            return reply

    def enqueue(self, payload: Any, case: str) -> str:
        """Put a task in; its id is made once, so that sending it twice makes one task."""
        task_id, unique = secrets.token_hex(16), f"unique:{self.name}:"
        asked = {"v": 1, "id": task_id, "queue": self.name, "correlation_id": case}
        envelope, options = json.dumps(asked | {"payload": payload}), json.dumps({"corr": case})
        answer = self.call("enqueue", self.name, unique, task_id, envelope, options)[0]
        if answer != "created" and answer[0] != "exists":
            sys.exit(f"refused: {answer}")
        return task_id


Outcome = tuple[Task, str, str]
"""A task, the word for what became of it, and the body that goes with the word."""


class Worker:
    """Runs a function on a queue's tasks, up to 250 at a time, each in a thread."""

    def __init__(self, queue: Queue, handle: Callable[[Task], Any], slots: int = 10) -> None:
        self._queue, self._handle, self._slots = queue, handle, slots
        self._incarnation, self._number = secrets.token_hex(16), 0
        self._running: dict[str, Task] = {}  # by token
        # What ended; None to look again at once, as the bell rang or a signal came.
        self._inbox: SimpleQueue[Outcome | None] = SimpleQueue()
        self._listening = threading.Event()
        self._lease_s = 0.3  # until the first exchange says it
        self._stopping_since: float | None = None

    def run(self) -> None:
        """Work until SIGTERM or SIGINT, then hand back what has not ended."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for act in (self._listen, self._keep_leases):
            threading.Thread(target=act, daemon=True).start()
        print(f"works for {self._queue.name}; Ctrl-C stops it", flush=True)
        outcomes: list[Outcome] = []
        while self._stopping_since is None or self._running or outcomes:
            outcomes = self._collect(self._exchange(outcomes))
            if self._stopping_since and time.monotonic() > self._stopping_since + STOP_WITHIN_S:
                # Threads that would not leave: handing their tasks back is the last act.
                outcomes += [(task, "release", "") for task in self._running.values()]
                self._running = {}

    def _stop(self, *_: object) -> None:
        self._stopping_since = time.monotonic()
        self._leave(list(self._running))
        self._inbox.put(None)

    def _room(self) -> int:
        return 0 if self._stopping_since else self._slots - len(self._running)

    def _exchange(self, outcomes: list[Outcome]) -> float:
        """Settle and claim in one numbered call; return for how long to wait for the next."""
        self._number += 1
        suspect_wanted = int(not any(task.suspect for task in self._running.values()))
        settles: list[str] = []
        for task, word, body in outcomes:
            argument = str(CHANCE.random()) if word == "error" else ""
            settles += [task.id, task.token, word, argument, body]
        reply = self._queue.call(
            "exchange", self._queue.name, f"protocol-{os.getpid()}", self._incarnation, LANE,
            self._number, self._room(), "", suspect_wanted, 0, 0, *settles,
        )  # fmt: skip
        _, now_ms, left, due_ms, _, paused, lease_ms, settled, claims, suspect, _, cancelled, *_ = (
            reply
        )
        for (task, word, _), answer in zip(outcomes, settled[::2], strict=True):
            if answer in ("stale", "gone"):
                print(f"{task.id}: {word} came too late ({answer})", file=sys.stderr)
        self._lease_s = lease_ms / 1000
        for first in range(0, len(claims), 8):
            task = Task(claims[first : first + 8], now_ms, suspect)
            self._running[task.token] = task
            threading.Thread(target=self._work, args=(task,), daemon=True).start()
        self._leave(list(self._running) if self._stopping_since else cancelled)
        if paused or not self._room():
            self._listening.clear()
            return HEAR_WITHIN_S
        self._listening.set()
        until_due_s = max(int(due_ms) - now_ms, 0) / 1000 if due_ms else HEAR_WITHIN_S
        return 0 if left else min(until_due_s, HEAR_WITHIN_S)

    def _collect(self, wait_s: float) -> list[Outcome]:
        """Return what has ended; wait for something if nothing has."""
        ended: list[Outcome] = []
        try:
            found = self._inbox.get(timeout=wait_s) if wait_s else self._inbox.get_nowait()
            while True:
                if found and self._running.pop(found[0].token, None):
                    ended.append(found)
                found = self._inbox.get_nowait()
        except Empty:
            return ended

    def _work(self, task: Task) -> None:
        try:
            outcome = task, "done", json.dumps(self._handle(task), allow_nan=False)
        except Left:
            outcome = task, "release", ""
        except Exception as error:  # noqa: BLE001  # whatever it raises is the attempt's outcome
            fault = json.dumps({"type": type(error).__name__, "message": str(error)})
            outcome = task, "fail" if isinstance(error, Fail) else "error", fault
        self._inbox.put(outcome)

    def _leave(self, tokens: list[str]) -> None:
        for token in tokens:
            if task := self._running.get(token):
                task.leave.set()

    def _keep_leases(self) -> None:
        while True:
            time.sleep(self._lease_s / 3)
            if held := list(self._running.values()):
                pairs = [word for task in held for word in (task.id, task.token)]
                for tokens in self._queue.call("extend", "", *pairs):  # lost, and to be cancelled
                    self._leave(tokens)

    def _listen(self) -> None:
        bell = f"{self._queue.key}:bell"
        while self._listening.wait():
            try:
                if self._queue.redis.blpop([bell], timeout=1):
                    if not self._room():
                        self._queue.redis.rpush(bell, "1")  # for somebody who has
                    self._listening.clear()  # until the exchange that follows
                    self._inbox.put(None)
            except redis.RedisError:
                time.sleep(CHANCE.uniform(0.1, 0.5))


def validate(task: Task) -> dict[str, str]:
    """Pretend to look at a photo."""
    task.sleep(0.1)
    if not task.payload["file"].endswith(".jpg"):
        raise Fail("Not a JPEG")
    return {"note": "Photo OK"}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["enqueue", name, case, text]:
            print(Queue(URL, name).enqueue(json.loads(text), case))
        case ["work", name]:
            Worker(Queue(URL, name), validate).run()
        case _:
            sys.exit(__doc__)
