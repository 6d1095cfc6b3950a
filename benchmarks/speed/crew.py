"""The processes of one run: a producer, and workers with the files in which they note."""

import json
import re
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults.processes import Owned
from benchmarks.speed.environments import Environment
from benchmarks.speed.scenarios import Scenario
from benchmarks.subjects.samples import Samples

_POLL_S = 0.02
_ERROR = re.compile(r"[\w.]*(Error|Exception|Exit)\b")


class Failed(Exception):
    """A run gave no figures; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class Crew:
    """Who starts processes of a subject, watches them, and ends them.

    Attributes:
        variant: The subject's name in the tables.
        environment: Where it runs.
        url: The server.
        scenario: What its workers are to do.
        patience: After how many seconds without an end a process has failed.
        folder: Where logs and notes go.
    """

    variant: str
    environment: Environment
    url: str
    scenario: Scenario
    patience: float
    folder: Path

    def produce(self, how: str, tasks: int, rate: float = 0.0) -> dict[str, Any]:
        """Send one task, then so many more; returns what the producer tells.

        Raises:
            Failed: If it could not, or not in time.
        """
        log = self.folder / f"produce-{how}-{tasks}.log"
        command = [*self._command("produce", tasks), "--how", how, "--rate", str(rate)]
        producer = Owned(command, log)
        try:
            code = producer.join(self.patience)
        except TimeoutError:
            raise Failed(f"its producer took more than {self.patience:g} s") from None
        finally:
            producer.kill()
        if code:
            raise Failed(f"its producer ended: {_why(log)}")
        told: dict[str, Any] = json.loads(log.read_text().splitlines()[-1])
        return told

    @contextmanager
    def workers(self, count: int, tasks: int) -> Generator["Workers"]:
        """Have worker processes for the length of a block.

        Args:
            count: How many.
            tasks: How many tasks they will do together, at most.
        """
        files = [self.folder / f"work-{count}-{number}" for number in range(count)]
        samples = [Samples(file, tasks) for file in files]
        processes: list[Owned] = []
        try:
            for file in files:
                command = [*self._command("work", tasks), "--samples", str(file)]
                command += ["--concurrency", str(self.scenario.concurrency)]
                command += ["--sleep", str(self.scenario.sleep)]
                processes.append(Owned(command, file.with_suffix(".log")))
            yield Workers(processes, samples)
        finally:
            for process in processes:
                process.kill()
            for one in samples:
                one.close()

    def _command(self, what: str, tasks: int) -> list[str]:
        names = [self.environment.module, self.variant, what]
        command = [str(self.environment.python), "-m", "benchmarks.subjects", *names]
        return [*command, "--url", self.url, "--tasks", str(tasks)]


@dataclass(frozen=True, slots=True)
class Workers:
    """Worker processes that run, and what each has noted so far."""

    processes: Sequence[Owned]
    samples: Sequence[Samples]

    @property
    def ended(self) -> int:
        """How many tasks they have done."""
        return sum(one.ended for one in self.samples)

    def seconds(self) -> float:
        """Return the time from the first handler's start to the last one's end."""
        busy = [one for one in self.samples if one.started]
        return max(one.last_end for one in busy) - min(one.first_start for one in busy)

    def undone(self, tasks: int, within: float) -> int:
        """Wait until so many tasks are done, whoever does them; returns how many are not.

        Raises:
            Failed: If a worker ends before.
        """
        deadline = time.monotonic() + within
        while self.ended < tasks and time.monotonic() < deadline:
            for process in self.processes:
                if process.died is not None and self.ended < tasks:
                    raise Failed(f"its worker ended: {_why(process.log)}")
            time.sleep(_POLL_S)
        return max(0, tasks - self.ended)

    def see_done(self, tasks: int, within: float) -> None:
        """Wait until so many tasks are done.

        Raises:
            Failed: If they are not in time.
        """
        if undone := self.undone(tasks, within):
            raise Failed(f"{undone:,} of {tasks:,} tasks were not done after {within:g} s")


def _why(log: Path) -> str:
    """Return the line of a log that says the most of how it ended."""
    lines = [line.strip(" |") for line in log.read_text(errors="replace").splitlines()]
    errors = [line for line in lines if _ERROR.match(line)]
    return (errors or [line for line in lines if line] or ["no output"])[-1]
