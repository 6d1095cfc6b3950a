"""Figures as pictures: a horizontal chart for each scenario, as SVG that follows light and dark."""

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.speed.quantiles import spread
from benchmarks.speed.scenarios import SCENARIOS, Scenario
from benchmarks.subjects.__main__ import load

_WIDTH, _LEFT, _RIGHT, _TOP, _ROW, _BAR = 760, 120, 190, 58, 26, 14  # pixels
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #57606a } .title { font-weight: 600; fill: #24292f }
.name { text-anchor: end } .hms.name { font-weight: 600; fill: #0969da }
.bar, .dot { fill: #8c959f } .hms.bar, .hms.dot { fill: #0969da }
.floor.bar, .early.bar { fill: none; stroke: #8c959f; stroke-dasharray: 4 3 }
.early.bar { stroke-dasharray: none } .tail { fill: none; stroke-width: 2 }
line { stroke: #24292f } line.range { stroke: #8c959f; stroke-width: 3 } .tail { stroke: #8c959f }
line.hms.range, .hms.tail { stroke: #0969da }
@media (prefers-color-scheme: dark) {
text { fill: #9198a1 } .title { fill: #f0f6fc } .hms.name { fill: #4493f8 }
.bar, .dot { fill: #6e7681 } .hms.bar, .hms.dot { fill: #4493f8 }
.floor.bar, .early.bar { stroke: #6e7681 } line { stroke: #f0f6fc }
line.range, .tail { stroke: #6e7681 } line.hms.range, .hms.tail { stroke: #4493f8 }
}"""
_WORDS = {"early": " (at most once)", "floor": " (bare scripts)"}

Report = dict[str, Any]
Rows = list[tuple[str, str, tuple[float, float, float]]]


def draw(report: Report, folder: Path) -> None:
    """Write `<scenario>.svg` for each scenario that has figures."""
    folder.mkdir(parents=True, exist_ok=True)
    for scenario in SCENARIOS.values():
        timed = scenario.kind in ("latency", "due")
        if scenario.kind == "processes":
            rows = _processes(report)
        else:
            rows = _rows(report, scenario, ("p50_ms", "p99_ms") if timed else ("rate",))
            rows.sort(key=lambda row: row[2][0], reverse=not timed)
        if rows:
            picture = (_tails if timed else _bars)(scenario, rows)
            (folder / f"{scenario.name}.svg").write_text(picture)
            print(folder / f"{scenario.name}.svg")


def _rows(report: Report, scenario: Scenario, figures: Sequence[str]) -> Rows:
    """Return name, style and three numbers of each subject.

    The numbers are median, least and greatest of one figure, or the medians of two and a zero.
    """
    rows: Rows = []
    for name, told in report["subjects"].items():
        runs = [
            run
            for run in report["runs"]
            if (run["scenario"], run["subject"]) == (scenario.name, name) and figures[0] in run
        ]
        if runs:
            acks = load(told["module"]).variants[name].acks
            style = name if name in ("hms", "floor") else acks
            spreads = [spread([run[figure] for run in runs]) for figure in figures]
            single = len(figures) == 1
            rows.append((name, style, spreads[0] if single else (spreads[0][0], spreads[1][0], 0)))
    return rows


def _processes(report: Report) -> Rows:
    runs = [run for run in report["runs"] if "rate_1" in run]
    counts = (1, 2, 4) if runs else ()
    return [
        (
            f"{count} process{'es' if count > 1 else ''}",
            "hms",
            spread([run[f"rate_{count}"] for run in runs]),
        )
        for count in counts
    ]


def _bars(scenario: Scenario, rows: Rows) -> str:
    """Draw rates: a bar for each median, a thin line from least to greatest."""
    scale = (_WIDTH - _LEFT - _RIGHT) / max(most for _, _, (_, _, most) in rows)
    parts: list[str] = []
    for number, (name, style, (median, least, most)) in enumerate(rows):
        y = _TOP + number * _ROW
        width, first, last = median * scale, _LEFT + least * scale, _LEFT + most * scale
        parts += [
            _tag("text", f"{style} name", name, x=_LEFT - 8, y=y + 12),
            _tag("rect", f"{style} bar", x=_LEFT, y=y, width=width, height=_BAR, rx=2),
            _tag("line", "", x1=first, x2=last, y1=y + 7, y2=y + 7),
            _tag("text", "", f"{median:,.0f}{_WORDS.get(style, '')}", x=last + 8, y=y + 12),
        ]
    return _page(scenario, "tasks per second, more is better", parts, len(rows))


def _tails(scenario: Scenario, rows: Rows) -> str:
    """Draw latencies on a logarithmic axis: a dot for the median, a ring for p99."""
    low = math.log10(min(p50 for _, _, (p50, _, _) in rows))
    high = math.log10(max(p99 for _, _, (_, p99, _) in rows))
    scale = (_WIDTH - _LEFT - _RIGHT - 20) / max(high - low, 0.1)
    parts: list[str] = []
    for number, (name, style, (p50, p99, _)) in enumerate(rows):
        y = _TOP + number * _ROW + 7
        first, last = (_LEFT + 10 + (math.log10(at) - low) * scale for at in (p50, p99))
        told = f"{p50:,.3g} .. {p99:,.3g} ms{_WORDS.get(style, '')}"
        parts += [
            _tag("text", f"{style} name", name, x=_LEFT - 8, y=y + 5),
            _tag("line", f"{style} range", x1=first, x2=last, y1=y, y2=y),
            _tag("circle", f"{style} dot", cx=first, cy=y, r=5),
            _tag("circle", f"{style} tail", cx=last, cy=y, r=5),
            _tag("text", "", told, x=last + 12, y=y + 5),
        ]
    return _page(scenario, "p50 and p99, logarithmic, less is better", parts, len(rows))


def _tag(name: str, style: str, text: str = "", **attributes: float) -> str:
    """Return an element of SVG."""
    given = "".join(f' {key}="{value:.6g}"' for key, value in attributes.items())
    styled = f' class="{style}"' if style else ""
    return f"<{name}{styled}{given}>{escape(text)}</{name}>"


def _page(scenario: Scenario, axis: str, parts: Sequence[str], rows: int) -> str:
    size = f"{_WIDTH} {_TOP + rows * _ROW + 6}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img">',
            _tag("title", "", f"{scenario.name}: {axis}"),
            f"<style>{_STYLE}</style>",
            _tag("text", "title", scenario.name, x=12, y=20),
            _tag("text", "", axis, x=12, y=40),
            *parts,
            "</svg>\n",
        ]
    )
