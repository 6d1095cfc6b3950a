"""The speed benchmark, for anyone to repeat.

python -m benchmarks run --peers blitzq,ardiq,saq,arq,streaq,docket,taskiq,dramatiq --json out.json
python -m benchmarks table out.json
python -m benchmarks plot out.json --out docs/img/

What is kept of promises, for anyone to repeat.

python -m benchmarks promises
python -m benchmarks milestones

What HTTP costs, for anyone to repeat.

python -m benchmarks rest

What counting and a scrape cost, for anyone to repeat.

python -m benchmarks metrics

Whether it stays as fast as the work grows, for anyone to repeat.

python -m benchmarks growth
"""

import argparse
import json
import signal
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec

from benchmarks import (
    counting,
    dashboard,
    growth,
    milestones,
    pictures,
    promises,
    rest,
    subjects,
)
from benchmarks.speed.environments import interpreter
from benchmarks.speed.plot import draw
from benchmarks.speed.run import Plan, measure
from benchmarks.speed.scenarios import SCENARIOS
from benchmarks.speed.table import put_into, table
from hms_async.telemetry.logs import configure


def _scenarios(text: str) -> list[str]:
    return _among(text, SCENARIOS)


def _peers(text: str) -> list[str]:
    files = Path(subjects.__path__[0]).glob("*.py")
    subjects_there = {file.stem for file in files if "SUBJECT = " in file.read_text()}
    return _among(text, subjects_there - {"hms", "floor"})  # these two are always there


def _among(text: str, known: Collection[str]) -> list[str]:
    names = [name for name in text.split(",") if name]
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(sorted(known))}")
    return names


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="measure, and print the table")
    run.add_argument("--peers", type=_peers, default=[], help="files in benchmarks/subjects")
    run.add_argument("--only", type=_scenarios, default=list(SCENARIOS), help=", ".join(SCENARIOS))
    run.add_argument("--repeats", type=int, default=3, help="rounds; the subjects take turns")
    run.add_argument("--tasks", type=int, default=25_000, help="the most that a run has")
    run.add_argument("--seconds", type=float, default=4.0, help="what a run is to last about")
    run.add_argument("--patience", type=float, default=60.0, help="seconds until a run has failed")
    run.add_argument("--server", choices=["valkey", "redis"], default="valkey")
    run.add_argument("--envs", type=Path, default=Path(".bench"), help="where environments stay")
    run.add_argument("--python", help="what environments are made with; the newest found")
    run.add_argument("--here", action="store_true", help="hms in this interpreter")
    run.add_argument("--json", type=Path, help="where the figures go")

    show = commands.add_parser("table", help="print figures as Markdown")
    show.add_argument("figures", type=Path)
    show.add_argument("--into", type=Path, help="a page with markers, to be brought up to date")

    kept = commands.add_parser("promises", help="what one worker keeps of several promises")
    kept.add_argument("--seconds", type=float, default=6.0, help="how long tasks arrive in a run")
    kept.add_argument("--rounds", type=int, default=3, help="rounds; the orders take turns")
    kept.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, too")

    reached = commands.add_parser("milestones", help="how late rungs speak, and what they cost")
    reached.add_argument("--tasks", type=int, default=100_000, help="how many are open at once")
    reached.add_argument(
        "--over",
        type=_numbers,
        default=[30.0, 10.0, 0.0],
        help="how many seconds a rung spreads",
    )
    reached.add_argument(
        "--waiting",
        type=_numbers,
        default=[100_000, 500_000],
        help="lengths of a queue to look at",
    )
    reached.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, too")

    _add_rest(commands.add_parser("rest", help="pop and complete over HTTP, and wake-ups"))
    _add_dashboard(commands.add_parser("dashboard", help="how long pages take with much to show"))
    _add_pictures(commands.add_parser("pictures", help="pictures of the dashboard, by Chromium"))
    _add_metrics(commands.add_parser("metrics", help="what counting and a scrape cost"))
    _add_growth(commands.add_parser("growth", help="rates as queues grow, and as more are served"))
    plot = commands.add_parser("plot", help="draw figures as SVG")
    plot.add_argument("figures", type=Path)
    plot.add_argument("--out", type=Path, default=Path("docs/img"))
    return parser.parse_args()


def _add_rest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", type=int, default=20_000, help="in a queue to be drained")
    parser.add_argument("--singles", type=int, default=2_000, help="of those popped one by one")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; the ways take turns")
    parser.add_argument("--wakes", type=int, default=300, help="long polls to be woken")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, too")


def _add_dashboard(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--queues", type=int, default=200)
    parser.add_argument("--tasks", type=int, default=1_000_000, help="open tasks, in all queues")
    parser.add_argument("--looks", type=int, default=30, help="at each page")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, too")


def _add_pictures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=90, help="work before the first one")
    parser.add_argument("--out", type=Path, default=Path("docs/img"))


def _add_metrics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--calls", type=int, default=3_000, help="of each script, both ways")
    parser.add_argument("--tasks", type=int, default=20_000, help="in a queue to be drained")
    parser.add_argument("--rounds", type=int, default=20, help="pairs of rounds")
    parser.add_argument("--queues", type=int, default=50, help="in a scrape")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, too")


def _add_growth(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", type=int, default=100_000, help="done for each rate")
    parser.add_argument(
        "--waiting",
        type=_numbers,
        default=[1_000, 10_000, 100_000, 1_000_000],
        help="how many wait behind them",
    )
    parser.add_argument(
        "--queues", type=_numbers, default=[1, 10, 100, 1_000], help="how many are served"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds; all take turns")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, too")


def _run(given: argparse.Namespace) -> None:
    plan = Plan(
        peers=given.peers,
        scenarios=[SCENARIOS[name] for name in given.only],
        repeats=given.repeats,
        tasks=given.tasks,
        seconds=given.seconds,
        patience=given.patience,
        server=given.server,
        envs=given.envs,
        python=interpreter(given.python),
        here=given.here,
    )
    report = measure(plan)
    if given.json:
        given.json.write_text(json.dumps(report, indent=1) + "\n")
    print(table(report))


def _promises(given: argparse.Namespace) -> None:
    measure = partial(promises.measure, seconds=given.seconds, rounds=given.rounds)
    report = anyio.run(measure)
    _write(given.json, report)
    print(promises.table(report))


def _milestones(given: argparse.Namespace) -> None:
    waiting = [int(number) for number in given.waiting]
    measure = partial(milestones.measure, tasks=given.tasks, over_s=given.over, waiting=waiting)
    report = anyio.run(measure)
    _write(given.json, report)
    print(milestones.table(report))


def _rest(given: argparse.Namespace) -> None:
    measure = partial(
        rest.measure,
        tasks=given.tasks,
        singles=given.singles,
        rounds=given.rounds,
        wakes=given.wakes,
    )
    report = anyio.run(measure, backend_options={"use_uvloop": True})
    _write(given.json, report)
    print(rest.table(report))


def _dashboard(given: argparse.Namespace) -> None:
    measure = partial(dashboard.measure, queues=given.queues, tasks=given.tasks, looks=given.looks)
    report = anyio.run(measure)
    _write(given.json, report)
    print(dashboard.table(report))


def _pictures(given: argparse.Namespace) -> None:
    for path in anyio.run(partial(pictures.take, given.out, seconds=given.seconds)):
        print(path)


def _metrics(given: argparse.Namespace) -> None:
    measure = partial(
        counting.measure,
        calls=given.calls,
        tasks=given.tasks,
        rounds=given.rounds,
        queues=given.queues,
    )
    report = anyio.run(measure, backend_options={"use_uvloop": True})
    _write(given.json, report)
    print(counting.table(report))


def _growth(given: argparse.Namespace) -> None:
    measure = partial(
        growth.measure,
        tasks=given.tasks,
        waiting=[int(number) for number in given.waiting],
        queues=[int(number) for number in given.queues],
        rounds=given.rounds,
    )
    report = anyio.run(measure, backend_options={"use_uvloop": True})
    _write(given.json, report)
    print(growth.table(report))


def _write(file: Path | None, report: msgspec.Struct) -> None:
    if file:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


def _leave(number: int, _frame: object) -> None:
    """Raise, so that every block on the way out ends the processes that it has started."""
    raise SystemExit(128 + number)


def main() -> None:
    """Do what the command line says; a signal ends it with all of its processes."""
    given = _arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    if given.command == "run":
        _run(given)
        return
    measures = {
        "promises": _promises,
        "milestones": _milestones,
        "rest": _rest,
        "dashboard": _dashboard,
        "pictures": _pictures,
        "metrics": _metrics,
        "growth": _growth,
    }
    if measure := measures.get(given.command):
        configure(fmt="text", level="critical")
        measure(given)
        return
    report: dict[str, Any] = json.loads(given.figures.read_text())
    if given.command == "plot":
        draw(report, given.out)
    elif given.into:
        given.into.write_text(put_into(given.into.read_text(), table(report)))
    else:
        print(table(report))


if __name__ == "__main__":
    main()
