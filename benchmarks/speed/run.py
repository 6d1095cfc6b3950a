"""All runs: subjects take turns within each round, and each round begins with another one."""

import os
import platform
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed import server as servers
from benchmarks.speed.crew import Failed
from benchmarks.speed.environments import Environment, Unusable, described, provide
from benchmarks.speed.runs import Contest
from benchmarks.speed.scenarios import Scenario
from benchmarks.speed.server import Server
from benchmarks.subjects.__main__ import load

_LEAST = 500  # tasks that a run has at least, and those of the trial run

Report = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the command line asks for.

    Attributes:
        peers: Subjects beside our own: the names of their files.
        scenarios: What to run.
        repeats: How many rounds.
        tasks: The most tasks of a scaled scenario.
        seconds: How long a scaled run is to last about.
        patience: After how many seconds a run has failed.
        server: `valkey` or `redis`.
        envs: Where environments are kept.
        python: What they are made with.
        here: Run our own subject with this very interpreter, without an environment.
    """

    peers: Sequence[str]
    scenarios: Sequence[Scenario]
    repeats: int
    tasks: int
    seconds: float
    patience: float
    server: str
    envs: Path
    python: Path
    here: bool


def measure(plan: Plan) -> Report:
    """Run everything and return what came out, ready for JSON.

    Returns:
        `machine`: versions and cores. `subjects`: by name, versions and promises, or `failed`.
        `runs`: one entry for each run, with its figures or `failed`.
    """
    environments = dict(_environments(plan))
    with servers.running(plan.server) as server:
        report: Report = {
            "machine": {
                "cores": os.cpu_count(),
                "architecture": platform.machine(),
                "system": platform.system(),
                "server": server.name,
                "repeats": plan.repeats,
            },
            "subjects": {name: _told(found) for name, found in environments.items()},
            "runs": [],
        }
        for scenario in plan.scenarios:
            for entry in _rounds(scenario, environments, server, plan):
                report["runs"].append(entry)
                _say(entry)
    return report


def _environments(plan: Plan) -> Iterator[tuple[str, tuple[str, Environment | Unusable]]]:
    """Give each variant's name, its module and its environment, or why there is none."""
    for module in ("hms", "floor", *plan.peers):
        print(f"{module}: environment", file=sys.stderr)
        found: Environment | Unusable
        try:
            if plan.here and module in ("hms", "floor"):
                found = described(module, Path(sys.executable))
            else:
                found = provide(module, plan.envs, plan.python)
        except Unusable as error:
            print(f"{module}: {error}", file=sys.stderr)
            found = error
        for variant in load(module).variants:
            yield variant, (module, found)


def _told(found: tuple[str, Environment | Unusable]) -> Report:
    module, environment = found
    if isinstance(environment, Unusable):
        return {"module": module, "failed": str(environment)}
    return {"module": module, "versions": environment.versions}


def _rounds(
    scenario: Scenario,
    environments: dict[str, tuple[str, Environment | Unusable]],
    server: Server,
    plan: Plan,
) -> Iterator[Report]:
    """Give the entries of one scenario; a subject that failed once is not tried again."""
    sizes: dict[str, int] = {}
    for variant, (module, environment) in environments.items():
        entry: Report = {"scenario": scenario.name, "subject": variant}
        cannot = load(module).cannot
        if scenario.only not in ("", variant):
            continue
        if scenario.name in cannot:
            yield entry | {"cannot": cannot[scenario.name]}
        elif isinstance(environment, Unusable):
            yield entry | {"failed": f"not installed: {environment}"}
        else:
            contest = Contest(scenario, variant, environment, server, plan.patience)
            try:
                sizes[variant] = _size(contest, plan)
            except Failed as failure:
                yield entry | {"failed": str(failure)}
    for number in range(plan.repeats):
        for variant in _rotated(list(sizes), number):
            environment = environments[variant][1]
            if isinstance(environment, Unusable):
                continue
            contest = Contest(scenario, variant, environment, server, plan.patience)
            entry = {"scenario": scenario.name, "subject": variant, "round": number}
            try:
                yield entry | contest.run(sizes[variant])
            except Failed as failure:
                del sizes[variant]
                yield entry | {"failed": str(failure)}


def _size(contest: Contest, plan: Plan) -> int:
    """Return how many tasks a subject is given, after a small trial run if it is scaled."""
    scenario = contest.scenario
    most = min(scenario.tasks, plan.tasks)
    least = max(_LEAST, 2 * scenario.concurrency)
    if not scenario.scaled or most <= least:
        return most
    rate = contest.run(least)["rate"]
    return int(min(most, max(least, rate * plan.seconds)))


def _rotated(names: Sequence[str], by: int) -> list[str]:
    by %= max(1, len(names))
    return [*names[by:], *names[:by]]


def _say(entry: Report) -> None:
    figures = {name: value for name, value in entry.items() if name not in ("scenario", "subject")}
    print(f"{entry['scenario']:14} {entry['subject']:14} {_line(figures.items())}", file=sys.stderr)


def _line(figures: Iterable[tuple[str, Any]]) -> str:
    return "  ".join(
        f"{name} {value:,.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in figures
    )
