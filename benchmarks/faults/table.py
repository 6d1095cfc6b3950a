"""The table of a campaign."""

from collections.abc import Sequence

from benchmarks.faults.campaign import Verdict

_ROW = "{:26} {:16} {:>9} {:>5} {:>10} {:>11} {:>9}  {}"


def head() -> None:
    """Print the names of the columns."""
    names = "scenario", "server", "tasks", "lost", "duplicated", "overlapping", "recovery"
    print(_ROW.format(*names, "verdict"), flush=True)


def show(verdict: Verdict) -> None:
    """Print a row, and below it what did not hold."""
    recovery = "" if verdict.recovery_s is None else f"{verdict.recovery_s:.1f} s"
    word = "ok" if verdict.ok else "WRONG"
    row = _ROW.format(
        verdict.scenario,
        verdict.server,
        f"{verdict.tasks:,}",
        verdict.lost,
        verdict.duplicated,
        verdict.overlapping,
        recovery,
        f"{word} ({verdict.took_s:.0f} s)",
    )
    print("\n    ".join([row, *verdict.wrong]), flush=True)


def foot(verdicts: Sequence[Verdict], seconds: float) -> None:
    """Print how it went in all."""
    wrong = [one for one in verdicts if not one.ok]
    names = ", ".join(f"{one.scenario} on {one.server}" for one in wrong)
    print(
        f"\n{len(verdicts)} rows in {seconds:.0f} s, "
        f"{sum(one.tasks for one in verdicts):,} tasks, "
        f"{sum(one.lost for one in verdicts)} lost, "
        f"{len(wrong)} wrong{': ' + names if wrong else ''}"
    )
