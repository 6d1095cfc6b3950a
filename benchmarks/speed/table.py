"""Figures as Markdown."""

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.speed.quantiles import spread
from benchmarks.speed.scenarios import SCENARIOS, Scenario
from benchmarks.subjects.__main__ import load

BEGIN, END = "<!-- table -->", "<!-- /table -->"

Report = dict[str, Any]
Entry = dict[str, Any]
Cell = Callable[[Sequence[Entry]], str]


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _short(value: float) -> str:
    return f"{value:,.3g}" if value < 1_000 else f"{value:,.0f}"  # noqa: PLR2004


def _median(figure: str, form: Callable[[float], str] = _short) -> Cell:
    """Show the median of a figure over the rounds; nothing where it was not measured."""

    def cell(runs: Sequence[Entry]) -> str:
        values = [run[figure] for run in runs if figure in run]
        return form(spread(values)[0]) if values else ""

    return cell


def _with_spread(figure: str, form: Callable[[float], str] = _whole) -> Cell:
    """Show the median of a figure, and least and greatest beside it."""

    def cell(runs: Sequence[Entry]) -> str:
        values = [run[figure] for run in runs if figure in run]
        if not values:
            return ""
        median, least, most = spread(values)
        return f"**{form(median)}** ({form(least)}..{form(most)})"

    return cell


_COST: list[tuple[str, Cell]] = [
    ("server CPU ms", _median("server_ms")),
    ("commands", _median("commands")),
    ("round trips", _median("round_trips")),
]
_LATE: list[tuple[str, Cell]] = [
    ("p50 ms", _with_spread("p50_ms", _short)),
    ("p90 ms", _median("p90_ms")),
    ("p99 ms", _with_spread("p99_ms", _short)),
    ("max ms", _median("max_ms")),
]
_UNDONE: tuple[str, Cell] = ("not done", _median("undone", _whole))
_PERCENT: list[tuple[str, Cell]] = [("of the ideal", _median("efficiency", "{:.0%}".format))]


def _columns(scenario: Scenario) -> list[tuple[str, Cell]]:
    """Return headings and cells of a scenario's table."""
    rate = [("tasks/s", _with_spread("rate"))]
    if scenario.kind == "drain":
        ideal = _PERCENT if scenario.ideal else []
        return [*rate, *ideal, ("worker CPU ms", _median("client_ms")), *_COST]
    if scenario.kind == "enqueue":
        return [*rate, ("producer CPU ms", _median("client_ms")), *_COST]
    if scenario.kind == "latency":
        sent = ("sent/s", _median("sent_rate", _whole))
        return [*_LATE, ("drift ms", _median("drift_ms")), sent, _UNDONE, *_COST]
    if scenario.kind == "due":
        return [*_LATE, ("early", _median("early", _whole)), _UNDONE, *_COST]
    counts = [(f"tasks/s with {count}", _with_spread(f"rate_{count}")) for count in (1, 2, 4)]
    return [*counts, ("speed-up with 2", _speed_up(2)), ("with 4", _speed_up(4))]


def _speed_up(count: int) -> Cell:
    def cell(runs: Sequence[Entry]) -> str:
        values = [run[f"rate_{count}"] / run["rate_1"] for run in runs if "rate_1" in run]
        return f"{spread(values)[0]:.2f}" if values else ""

    return cell


def _order(scenario: Scenario, runs: Sequence[Entry]) -> float:
    """Return what rows are sorted by, best first; those without figures come last."""
    figure, sign = ("p50_ms", 1) if scenario.kind in ("latency", "due") else ("rate", -1)
    values = [run[figure] for run in runs if figure in run]
    return sign * spread(values)[0] if values else float("inf")


def table(report: Report) -> str:
    """Return the whole report as Markdown, a table for each scenario."""
    machine = report["machine"]
    head = (
        f"{machine['system']} {machine['architecture']}, {machine['cores']} cores, "
        f"{machine['server']}. Medians of {machine['repeats']} rounds, least..greatest in "
        "parentheses; CPU, commands and round trips are per task."
    )
    parts = [head, _subjects(report)]
    for scenario in SCENARIOS.values():
        by_subject: dict[str, list[Entry]] = {}
        for run in report["runs"]:
            if run["scenario"] == scenario.name:
                by_subject.setdefault(run["subject"], []).append(run)
        if by_subject:
            parts.append(_scenario(scenario, by_subject, report))
    return "\n\n".join(parts)


def _scenario(scenario: Scenario, by_subject: dict[str, list[Entry]], report: Report) -> str:
    columns = _columns(scenario)
    rows = [["", *(heading for heading, _ in columns), "acks, results"]]
    silent: list[str] = []
    for name, runs in sorted(by_subject.items(), key=lambda item: _order(scenario, item[1])):
        promise = load(report["subjects"][name]["module"]).variants[name]
        done = [run for run in runs if "tasks" in run]
        if done:
            cells = [cell(done) for _, cell in columns]
            rows.append([name, *cells, f"{promise.acks}, {promise.results}"])
        silent += [f"{name}: failed, {run['failed']}" for run in runs if "failed" in run]
        silent += [f"{name}: not run, {run['cannot']}" for run in runs if run.get("cannot")]
    text = f"### {scenario.name}\n\n{scenario.about}\n\n{_markdown(rows)}\n\n"
    return (text + "\n".join(f"- {line}" for line in silent)).rstrip()


def _subjects(report: Report) -> str:
    """Return who was measured: versions, promises, settings."""
    rows = [["", "versions", "acks", "results kept", "many at once by", "settings"]]
    for name, told in report["subjects"].items():
        subject = load(told["module"])
        promise = subject.variants[name]
        versions = told.get("versions", {"failed": told.get("failed", "")})
        listed = ", ".join(f"{package} {version}" for package, version in versions.items())
        rows.append([name, listed, promise.acks, promise.results, subject.bulk, subject.settings])
    return _markdown(rows)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    return "\n".join(lines)


def put_into(page: str, text: str) -> str:
    """Return a page with the text between its markers.

    Raises:
        ValueError: If the page has no markers.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"
