"""Runs scenarios, and holds each against the oracle and its own expectations."""

import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import anyio

from benchmarks.faults import oracle
from benchmarks.faults.scene import Scene, staged
from benchmarks.faults.servers import Fsync, Kind
from hms_async import TaskState

_ENDED = frozenset(str(state) for state in TaskState if state.ended)

Act = Callable[[Scene], Awaitable[None]]

_LONGEST_S = 240.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A fault, and what must hold.

    Attributes:
        name: Its name in the table.
        act: Brings it about, and says what is expected.
        fsyncs: How the server keeps its data; one run for each.
        short: Whether the short form of the campaign has it.
        extra: Further arguments of the server.
        alone: Whether it wants the machine for itself.
        longest_s: How long it may take in all.
    """

    name: str
    act: Act
    fsyncs: tuple[Fsync | None, ...] = ("everysec",)
    short: bool = False
    extra: tuple[str, ...] = ()
    alone: bool = False
    longest_s: float = _LONGEST_S

    @property
    def what(self) -> str:
        """What it does, in a line."""
        return (self.act.__doc__ or "").splitlines()[0].rstrip(".")


SCENARIOS: list[Scenario] = []


def scenario(name: str, **options: Any) -> Callable[[Act], Act]:
    """Enter a function as a scenario."""

    def enter(act: Act) -> Act:
        SCENARIOS.append(Scenario(name=name, act=act, **options))
        return act

    return enter


@dataclass(slots=True)
class Verdict:
    """A row of the table."""

    scenario: str
    server: str
    tasks: int = 0
    lost: int = 0
    duplicated: int = 0
    overlapping: int = 0
    recovery_s: float | None = None
    took_s: float = 0.0
    wrong: list[str] = field(default_factory=list[str])

    @property
    def ok(self) -> bool:
        """Whether all expectations were met."""
        return not self.wrong

    def as_dict(self) -> dict[str, Any]:
        """Return it for a file of JSON."""
        return asdict(self) | {"ok": self.ok}


async def run(chosen: Scenario, kind: Kind, *, short: bool) -> Verdict:
    """Run a scenario on a server of its own and return its row."""
    verdict = Verdict(scenario=chosen.name, server=str(kind))
    began = time.monotonic()
    try:
        async with staged(kind, short=short, extra=chosen.extra) as scene:
            verdict.wrong = scene.wrong  # the very list, as the scene adds to it at its end
            try:
                with anyio.fail_after(chosen.longest_s):
                    await chosen.act(scene)
                    await judge(scene, verdict)
            except Exception as error:  # noqa: BLE001  # a row that fails must not end the others
                scene.wrong.append(_told(error))
    except Exception as error:  # noqa: BLE001  # likewise
        verdict.wrong.append(_told(error))
    verdict.took_s = time.monotonic() - began
    return verdict


async def judge(scene: Scene, verdict: Verdict) -> None:
    """Hold what happened against the journal and the records."""
    done = oracle.executions(scene.workers.journal.lines())
    duplicated = oracle.duplicated(done)
    verdict.recovery_s, verdict.tasks = scene.recovery_s, scene.uncounted
    for queue, accepted in scene.accepted.items():
        records = await scene.records(accepted, "state")
        ended = {task for task, (state,) in records.items() if state in _ENDED}
        in_done = {task for task, (state,) in records.items() if state == "done"}
        lost = oracle.lost(accepted, ended)
        evidence = oracle.evidence(await scene.events(queue), scene.workers.deaths())
        overlapping = oracle.overlapping([one for one in done if one.id in accepted], evidence)
        unproven = oracle.unproven(in_done, done)
        verdict.tasks += len(accepted)
        verdict.lost += len(lost)
        verdict.duplicated += len(duplicated & accepted)
        verdict.overlapping += len(overlapping)
        scene.expect(not lost, f"lost: {_some(lost)}")
        scene.expect(not overlapping, f"overlapping: {_some(overlapping)}")
        scene.expect(not unproven, f"done, but no handler ended: {_some(unproven)}")
        stats = await scene.oms.stats(queue)
        scene.expect(stats.balanced, f"the books of {queue} do not balance: {stats}")
        counts = Counter(state for (state,) in records.values())
        for what in oracle.miscounted(stats, counts, len(accepted)):
            scene.expect(holds=False, what=f"{queue}: {what}")
    if not scene.duplicates_are_expected:
        scene.expect(not duplicated, f"duplicated: {_some(duplicated)}")


def _some(ids: set[str]) -> str:
    names = sorted(ids)
    return f"{len(names)}: {', '.join(names[:5])}"


def _told(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)
    where = next((one for one in reversed(frames) if "benchmarks" in one.filename), None)
    place = f" ({where.name}, line {where.lineno})" if where else ""
    return f"{type(error).__name__}: {error}{place}"
