"""One run of a scenario with a subject: processes started, watched, and ended."""

import json
import re
import statistics
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.faults.processes import Owned
from benchmarks.speed.environments import Environment
from benchmarks.speed.quantiles import latencies
from benchmarks.speed.scenarios import Scenario
from benchmarks.speed.server import Look, Server
from benchmarks.subjects.samples import Samples

_POLL_S = 0.02
_LAST_ACKS_S = 0.2  # what a worker may still tell the server after its last handler's end
_IDLE_S = 1.0
_WORKERS = (1, 2, 4)
_EARLY_S = 0.001  # peers' clocks count milliseconds; anything sooner is early

_ERROR = re.compile(r"[\w.]*(Error|Exception|Exit)\b")

Figures = dict[str, Any]


class Failed(Exception):
    """A run gave no figures; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class Contest:
    """A subject on a server in a scenario.

    Attributes:
        scenario: What is asked.
        variant: The subject's name in the tables.
        environment: Where it runs.
        server: The server, empty.
        patience: After how many seconds without an end a run has failed.
    """

    scenario: Scenario
    variant: str
    environment: Environment
    server: Server
    patience: float
    processes: list[Owned] = field(default_factory=list[Owned])

    def run(self, tasks: int) -> Figures:
        """Do it once with that many tasks.

        Raises:
            Failed: If there is nothing to tell of it.
        """
        self.server.empty()
        kinds: dict[str, Callable[[Path, int], Figures]] = {
            "drain": self._drain,
            "enqueue": self._enqueue,
            "latency": self._latency,
            "due": self._latency,
            "processes": self._processes,
        }
        with TemporaryDirectory(prefix="hms-bench-") as folder:
            try:
                return kinds[self.scenario.kind](Path(folder), tasks)
            finally:
                for process in self.processes:
                    process.kill()
                self.processes.clear()

    def _drain(self, folder: Path, tasks: int) -> Figures:
        self._produce(folder, "many", tasks - 1)
        before = self.server.look()
        with self._worker(folder, tasks) as (worker, samples):
            self._await(tasks, [worker], [samples])
            time.sleep(_LAST_ACKS_S)
            cost = self.server.look().since(before)
            rate = tasks / (samples.last_end - samples.first_start)
            figures = self._cost(tasks, samples.cpu, cost) | {"rate": rate}
        if self.scenario.ideal:
            figures["efficiency"] = rate / self.scenario.ideal
        return figures

    def _enqueue(self, folder: Path, tasks: int) -> Figures:
        before = self.server.look()
        sent = self._produce(folder, self.scenario.how, tasks)
        cost = self.server.look().since(before)
        return self._cost(tasks, sent["cpu"], cost) | {"rate": tasks / sent["seconds"]}

    def _latency(self, folder: Path, tasks: int) -> Figures:
        """Let the worker be up and idle, then let another process send."""
        self._produce(folder, "one", 0)
        total = tasks + 2  # one that shows that the worker is up, one that connects the producer
        with self._worker(folder, total) as (worker, samples):
            self._await(1, [worker], [samples])
            time.sleep(_IDLE_S)
            before = self.server.look()
            sent = self._produce(folder, self.scenario.how, tasks, self.scenario.rate)
            self._await(total, [worker], [samples])
            time.sleep(_LAST_ACKS_S)
            cost = self.server.look().since(before)
            seen = samples.latencies()
        figures = self._cost(tasks, 0.0, cost) | latencies(seen)
        del figures["worker_ms"]
        if self.scenario.kind == "due":
            return figures | {"early": sum(late < -_EARLY_S for late in seen)}
        second = max(1, int(len(seen) / sent["seconds"]))
        drift = statistics.median(seen[-second:]) - statistics.median(seen[:second])
        return figures | {"sent_rate": tasks / sent["seconds"], "drift_ms": drift * 1e3}

    def _processes(self, folder: Path, tasks: int) -> Figures:
        """Let 1, 2 and 4 processes do as much each; only rates are told."""
        figures: Figures = {}
        for count in _WORKERS:
            self.server.empty()
            whole = tasks * count
            self._produce(folder, "many", whole - 1)
            files = [folder / f"{count}-{number}" for number in range(count)]
            samples = [Samples(file, whole) for file in files]
            workers = [self._start(file, whole) for file in files]
            self._await(whole, workers, samples)
            busy = [one for one in samples if one.started]
            seconds = max(one.last_end for one in busy) - min(one.first_start for one in busy)
            figures[f"rate_{count}"] = whole / seconds
            for worker, one in zip(workers, samples, strict=True):
                worker.kill()
                one.close()
        return figures

    def _cost(self, tasks: int, cpu: float, server: Look) -> Figures:
        return {
            "tasks": tasks,
            "worker_ms": cpu / tasks * 1e3,
            "server_ms": server.cpu / tasks * 1e3,
            "commands": server.commands / tasks,
            "round_trips": server.reads / tasks,
        }

    def _command(self, what: str, tasks: int) -> list[str]:
        names = [self.environment.module, self.variant, what]
        command = [str(self.environment.python), "-m", "benchmarks.subjects", *names]
        return [*command, "--url", self.server.url, "--tasks", str(tasks)]

    def _produce(self, folder: Path, how: str, tasks: int, rate: float = 0.0) -> dict[str, Any]:
        """Send one task, then so many more; returns what the producer tells."""
        log = folder / f"{how}-{tasks}.log"
        command = [*self._command("produce", tasks), "--how", how, "--rate", str(rate)]
        producer = Owned(command, log)
        self.processes.append(producer)
        try:
            code = producer.join(self.patience)
        except TimeoutError:
            raise Failed(f"its producer took more than {self.patience:g} s") from None
        if code:
            raise Failed(f"its producer ended with {_last_line(log)}")
        told: dict[str, Any] = json.loads(log.read_text().splitlines()[-1])
        return told

    def _start(self, file: Path, tasks: int) -> Owned:
        scenario = self.scenario
        command = [*self._command("work", tasks), "--samples", str(file)]
        command += ["--concurrency", str(scenario.concurrency), "--sleep", str(scenario.sleep)]
        worker = Owned(command, file.with_suffix(".log"))
        self.processes.append(worker)
        return worker

    @contextmanager
    def _worker(self, folder: Path, tasks: int) -> Generator[tuple[Owned, Samples]]:
        file = folder / "samples"
        samples = Samples(file, tasks)
        worker = self._start(file, tasks)
        try:
            yield worker, samples
        finally:
            worker.kill()
            samples.close()

    def _await(self, tasks: int, workers: Sequence[Owned], samples: Sequence[Samples]) -> None:
        """Wait until so many tasks are done, whoever does them."""
        deadline = time.monotonic() + self.patience
        while (ended := sum(one.ended for one in samples)) < tasks:
            for worker in workers:
                if worker.died is not None:
                    raise Failed(f"its worker ended: {_last_line(worker.log)}")
            if time.monotonic() > deadline:
                raise Failed(f"{ended:,} of {tasks:,} tasks done after {self.patience:g} s")
            time.sleep(_POLL_S)


def _last_line(log: Path) -> str:
    """Return the line of a log that says the most of how it ended."""
    lines = [line.strip(" |") for line in log.read_text(errors="replace").splitlines()]
    errors = [line for line in lines if _ERROR.match(line)]
    return (errors or [line for line in lines if line] or ["no output"])[-1]
