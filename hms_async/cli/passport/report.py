"""What came of the demo's tasks, counted from the handlers' journal."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hms_async import TaskRecord, TaskState
from hms_async.cli.passport import journal
from hms_async.cli.passport.journal import Line

_NAMED = 5


@dataclass(slots=True)
class Report:
    """What a run came to.

    Attributes:
        accepted: Tasks whose enqueue returned.
        done: Those that are done.
        failed: Reasons why the others failed, and how often.
        retried: Attempts that raised, so that another one followed.
        retried_tasks: Tasks that had such attempts.
        rescued: Leases taken back from a dead worker.
        twice: Tasks with more than one verdict: at-least-once, seen at work.
        unfinished: Requests that had not ended when the time was over.
        lost: Requests that nobody has: without a verdict in the journal, and not open either.
        disputed: Requests of which the store says otherwise than the journal.
        waits: Seconds from arrival to the first attempt that the journal has, sorted.
        runs: Seconds from start to verdict, sorted.
        kept: Tasks that ended within their promise.
    """

    accepted: int
    done: int = 0
    failed: Counter[str] = field(default_factory=Counter[str])
    retried: int = 0
    retried_tasks: int = 0
    rescued: int = 0
    twice: int = 0
    unfinished: list[str] = field(default_factory=list[str])
    lost: list[str] = field(default_factory=list[str])
    disputed: list[str] = field(default_factory=list[str])
    waits: list[float] = field(default_factory=list[float])
    runs: list[float] = field(default_factory=list[float])
    kept: int = 0

    @property
    def well(self) -> bool:
        """Whether every accepted task has ended, as the journal says it did."""
        return not (self.lost or self.unfinished or self.disputed)

    def rows(self) -> list[tuple[str, str, str]]:
        """Return the summary: what, how many, and a remark."""
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.failed.most_common())
        raised = f"attempts that raised, of {many(self.retried_tasks, 'task')}"
        proof = "" if self.unfinished else _PROOF
        rows = [
            ("accepted", f"{self.accepted}", "= done + failed" if self.well else ""),
            ("done", f"{self.done}", ""),
            ("failed", f"{self.failed.total()}", reasons),
            ("retried", f"{self.retried}", raised if self.retried else ""),
            ("rescued", f"{self.rescued}", "from the worker that was killed"),
            ("run twice", f"{self.twice}", _TWICE if self.twice else ""),
            ("lost", f"{len(self.lost)}", _names(self.lost) or proof),
        ]
        if self.unfinished:
            rows.append(("unfinished", f"{len(self.unfinished)}", _names(self.unfinished)))
        if self.disputed:
            rows.append(("disputed", f"{len(self.disputed)}", _names(self.disputed)))
        return rows

    def figures(self, promise: str) -> list[tuple[str, str]]:
        """Return how long it took, and how the promise was kept."""
        return [
            (
                "wait",
                f"p50 {quantile(self.waits, 0.5):.2f} s   p99 {quantile(self.waits, 0.99):.2f} s",
            ),
            (
                "run",
                f"p50 {quantile(self.runs, 0.5):.2f} s   p99 {quantile(self.runs, 0.99):.2f} s",
            ),
            ("SLA kept", f"{self.kept} of {self.accepted}   promise {promise}"),
        ]


_PROOF = "each has its verdict in the file that the handlers fsync"
_TWICE = "at-least-once: the worker died after its verdict, before it could report it"


def count(
    accepted: Mapping[str, str], lines: Sequence[Line], records: Iterable[TaskRecord]
) -> Report:
    """Hold what was accepted against what the handlers wrote down.

    Args:
        accepted: The request of each accepted task, by id.
        lines: The journal.
        records: What the store knows of these tasks.
    """
    known = {record.id: record for record in records}
    tries: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        if line.task in accepted:
            tries[line.task].append(line)
    report = Report(accepted=len(accepted))
    for task_id, request in accepted.items():
        _count_tries(report, tries[task_id])
        _count_end(report, request, tries[task_id], known.get(task_id))
    report.waits.sort()
    report.runs.sort()
    return report


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which that share of the sorted values lies; 0 of none."""
    return values[min(int(len(values) * share), len(values) - 1)] if values else 0.0


def _count_tries(report: Report, lines: Sequence[Line]) -> None:
    if not lines:
        return
    first = min(lines, key=lambda line: line.start)
    report.waits.append(max(first.start - first.arrived, 0.0))
    report.runs += [line.end - line.start for line in lines]
    raised = sum(not line.final for line in lines)
    report.retried += raised
    report.retried_tasks += raised > 0
    report.twice += len(lines) - raised > 1


def _count_end(
    report: Report, request: str, lines: Sequence[Line], record: TaskRecord | None
) -> None:
    verdicts = {line.verdict for line in lines if line.final}
    if record is not None:
        report.rescued += record.crashes
        report.kept += _is_kept(record)
    if record is not None and not record.state.ended:
        report.unfinished.append(request)
    elif not verdicts:
        report.lost.append(request)
    elif record is None or verdicts != {_verdict_of(record)}:
        report.disputed.append(request)
    elif record.state is TaskState.DONE:
        report.done += 1
    else:
        report.failed[record.reason] += 1


def _verdict_of(record: TaskRecord) -> str:
    return journal.OK if record.state is TaskState.DONE else record.reason


def many(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _is_kept(record: TaskRecord) -> bool:
    end, due = record.finished_ms, record.due_ms
    return end is not None and (due is None or end <= due)


def _names(requests: Sequence[str]) -> str:
    more = f" and {len(requests) - _NAMED} more" if len(requests) > _NAMED else ""
    return ", ".join(requests[:_NAMED]) + more
