"""One run of a scenario with a subject."""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.speed.crew import Crew, Failed
from benchmarks.speed.environments import Environment
from benchmarks.speed.quantiles import latencies
from benchmarks.speed.scenarios import Scenario
from benchmarks.speed.server import Look, Server

_LAST_ACKS_S = 0.2  # what a worker may still tell the server after its last handler's end
_IDLE_S = 1.0
_LAG_S = 10.0  # how long a worker may work on after the last task was sent, if latency is asked
_EARLY_S = 0.001  # peers' clocks count milliseconds; anything sooner is early
_WORKERS = (1, 2, 4)

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Contest:
    """A subject on a server in a scenario.

    Attributes:
        scenario: What is asked.
        variant: The subject's name in the tables.
        environment: Where it runs.
        server: The server; emptied before each run.
        patience: After how many seconds without an end a run has failed.
    """

    scenario: Scenario
    variant: str
    environment: Environment
    server: Server
    patience: float

    def run(self, tasks: int) -> Figures:
        """Do it once with that many tasks.

        Raises:
            Failed: If there is nothing to tell of it.
        """
        self.server.empty()
        with TemporaryDirectory(prefix="hms-bench-") as folder:
            where = (self.variant, self.environment, self.server.url, self.scenario)
            crew = Crew(*where, self.patience, Path(folder))
            match self.scenario.kind:
                case "drain":
                    return self._drain(crew, tasks)
                case "enqueue":
                    return self._enqueue(crew, tasks)
                case "latency" | "due":
                    return self._latency(crew, tasks)
                case "processes":
                    return self._processes(crew, tasks)

    def _drain(self, crew: Crew, tasks: int) -> Figures:
        """Queue all, then start a worker; the time is that between handlers, without its start."""
        crew.produce("many", tasks - 1)
        before = self.server.look()
        with crew.workers(1, tasks) as workers:
            workers.see_done(tasks, self.patience)
            time.sleep(_LAST_ACKS_S)
            cost = self.server.look().since(before)
            rate, cpu = tasks / workers.seconds(), workers.samples[0].cpu
        ideal = self.scenario.ideal
        efficiency = {"efficiency": rate / ideal} if ideal else {}
        return {"rate": rate, **efficiency, "client_ms": cpu / tasks * 1e3, **_cost(cost, tasks)}

    def _enqueue(self, crew: Crew, tasks: int) -> Figures:
        before = self.server.look()
        sent = crew.produce(self.scenario.how, tasks)
        cost = self.server.look().since(before)
        rate, cpu = tasks / sent["seconds"], sent["cpu"]
        return {"rate": rate, "client_ms": cpu / tasks * 1e3, **_cost(cost, tasks)}

    def _latency(self, crew: Crew, tasks: int) -> Figures:
        """Let the worker be up and idle, then let another process send.

        What the server is asked includes the producer and what an idle worker asks.
        """
        crew.produce("one", 0)
        total = tasks + 2  # one that shows that the worker is up, one that connects the producer
        with crew.workers(1, total) as workers:
            workers.see_done(1, self.patience)
            time.sleep(_IDLE_S)
            before = self.server.look()
            sent = crew.produce(self.scenario.how, tasks, self.scenario.rate)
            undone = workers.undone(total, _LAG_S)
            time.sleep(_LAST_ACKS_S)
            cost = self.server.look().since(before)
            seen = workers.samples[0].latencies()
        if not seen:
            raise Failed(f"none of {tasks:,} tasks was started")
        figures = {**latencies(seen), "undone": undone, **_cost(cost, tasks)}
        if self.scenario.kind == "due":
            return figures | {"early": sum(late < -_EARLY_S for late in seen)}
        second = max(1, int(len(seen) / sent["seconds"]))
        drift = statistics.median(seen[-second:]) - statistics.median(seen[:second])
        return figures | {"sent_rate": tasks / sent["seconds"], "drift_ms": drift * 1e3}

    def _processes(self, crew: Crew, tasks: int) -> Figures:
        """Let 1, 2 and 4 processes do as much each; only rates are told."""
        figures: Figures = {"tasks": tasks}
        for count in _WORKERS:
            self.server.empty()
            crew.produce("many", tasks * count - 1)
            with crew.workers(count, tasks * count) as workers:
                workers.see_done(tasks * count, self.patience)
                figures[f"rate_{count}"] = tasks * count / workers.seconds()
        return figures


def _cost(server: Look, tasks: int) -> Figures:
    """Return what each task cost the server."""
    return {
        "tasks": tasks,
        "server_ms": server.cpu / tasks * 1e3,
        "commands": server.commands / tasks,
        "round_trips": server.reads / tasks,
    }
