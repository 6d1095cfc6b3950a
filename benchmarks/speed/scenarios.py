"""What is asked of every subject; `python -m benchmarks run --only NAME` takes some of them."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["drain", "enqueue", "latency", "due", "processes"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One question.

    Attributes:
        name: Its name on the command line.
        kind: How it is run; `benchmarks/speed/runs.py` has one function for each.
        about: What is done, for readers of the table.
        how: How the producer sends.
        tasks: How many tasks; the most, if the run is scaled to last some seconds.
        scaled: Whether a slow subject is given fewer.
        concurrency: How many tasks a worker process runs at once.
        sleep: What a handler does, in seconds; 0 for nothing.
        rate: Tasks per second if paced; seconds ahead if due.
        only: The one subject it is about, or empty for all.
    """

    name: str
    kind: Kind
    about: str
    how: str = "many"
    tasks: int = 20_000
    scaled: bool = True
    concurrency: int = 100
    sleep: float = 0.0
    rate: float = 0.0
    only: str = ""

    @property
    def ideal(self) -> float:
        """Tasks per second that sleeping handlers would allow; 0 if they do not sleep."""
        return self.concurrency / self.sleep if self.sleep else 0.0


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "drain",
            "drain",
            "One worker process, 100 at once, empties a queue of tasks that do nothing.",
        ),
        Scenario(
            "io-10",
            "drain",
            "The same with handlers that sleep 10 ms, 100 at once: at most 10,000/s.",
            sleep=0.010,
        ),
        Scenario(
            "io-50",
            "drain",
            "Handlers that sleep 50 ms, 1,000 at once: at most 20,000/s.",
            concurrency=1_000,
            sleep=0.050,
        ),
        Scenario(
            "enqueue-many",
            "enqueue",
            "One producer process, tasks of about 100 bytes, by the peer's call for many tasks "
            "or the best it has.",
        ),
        Scenario(
            "enqueue-group",
            "enqueue",
            "One producer process, plain enqueue calls within an `asyncio.TaskGroup`, as many at "
            "once as the peer can take.",
            how="group",
        ),
        Scenario(
            "enqueue-one",
            "enqueue",
            "One producer process, each enqueue call awaited before the next.",
            how="one",
        ),
        Scenario(
            "latency",
            "latency",
            "An idle worker; another process enqueues a task each 20 ms. From just before the "
            "enqueue call to the handler's start.",
            how="paced",
            tasks=500,
            scaled=False,
            rate=50.0,
        ),
        Scenario(
            "open-500",
            "latency",
            "The same at 500 tasks per second for 5 s, sent at their moment whether or not the "
            "worker keeps up.",
            how="paced",
            tasks=2_500,
            scaled=False,
            rate=500.0,
        ),
        Scenario(
            "open-5000",
            "latency",
            "The same at 5,000 tasks per second for 5 s.",
            how="paced",
            tasks=25_000,
            scaled=False,
            rate=5_000.0,
        ),
        Scenario(
            "due-5000",
            "due",
            "5,000 tasks scheduled for one instant some seconds ahead: how late the handlers "
            "start.",
            how="due",
            tasks=5_000,
            scaled=False,
            rate=6.0,
        ),
        Scenario(
            "processes",
            "processes",
            "hms alone: handlers that sleep 10 ms, 100 at once in each of 1, 2 and 4 worker "
            "processes.",
            sleep=0.010,
            scaled=False,
            only="hms",
        ),
    )
}
