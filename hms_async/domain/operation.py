"""Acts on many tasks at once, as operations that go on in the background."""

from enum import StrEnum
from typing import cast

import msgspec

from hms_async.domain.audit import Actor
from hms_async.domain.count import check_count
from hms_async.domain.selection import Candidate, Where
from hms_async.domain.task import OPEN, TaskState
from hms_async.errors import ConfigInvalid

MOST_REFUSALS = 100
DEFAULT_RATE = 100
HIGHEST_RATE = 10_000
MOST_A_STEP = 100


class Act(StrEnum):
    """What is done to each task.

    `purge` cancels whatever is open and held by no worker. `remove` empties a queue and takes it
    away; it is begun by `delete_queue` only.
    """

    REQUEUE = "requeue"
    CANCEL = "cancel"
    BUMP = "bump"
    WAIVE = "waive"
    PURGE = "purge"
    REMOVE = "remove"


class OperationState(StrEnum):
    """How far an operation is."""

    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DONE = "done"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self not in (OperationState.RUNNING, OperationState.STOPPING)


_UNHELD = (TaskState.SCHEDULED, TaskState.WAITING, TaskState.RETRYING)
_OPEN = (*_UNHELD, TaskState.IN_PROGRESS)
# In the order in which they are worked off: tasks move from scheduled and retrying to waiting and
# from there into progress, so one that moves while it is looked for is more likely to be met.
_STATES: dict[Act, tuple[TaskState, ...]] = {
    Act.REQUEUE: (TaskState.FAILED, TaskState.CANCELLED, TaskState.EXPIRED),
    Act.CANCEL: _OPEN,
    Act.BUMP: (TaskState.WAITING,),
    Act.WAIVE: _OPEN,
    Act.PURGE: _UNHELD,
    Act.REMOVE: _OPEN,
}


class Refusal(msgspec.Struct, frozen=True):
    """A task that was meant, and that the act could not be done to.

    Attributes:
        id: The task.
        reason: Why not.
    """

    id: str
    reason: str


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """An act on many tasks, and how far it is.

    Attributes:
        id: Its id; empty of a dry run, which is stored nowhere.
        act: What is done.
        queue: The queue.
        where: Which of its tasks are meant.
        by: Who wants it, and why.
        created_ms: When it was begun. Tasks that came in, came back, or ended later are left alone.
        state: How far it is.
        rate: Tasks a second at most; `None` for no limit.
        force: Of `remove`: whether open tasks are cancelled first.
        matched: How many tasks were meant when it was begun.
        exact: Whether `matched` was counted; else it is estimated from a part of them.
        by_state: The same, for each state.
        done: How many tasks it was done to so far.
        refused: How many it could not be done to.
        refusals: The first of those.
        error: Why it failed, or what is to be known of its end.
        started_ms: When somebody began to work on it.
        finished_ms: When it came to its end.
    """

    id: str
    act: Act
    queue: str
    where: Where
    by: Actor
    created_ms: int
    state: OperationState = OperationState.RUNNING
    rate: int | None = None
    force: bool = False
    matched: int = 0
    exact: bool = True
    by_state: dict[TaskState, int] = {}
    done: int = 0
    refused: int = 0
    refusals: tuple[Refusal, ...] = ()
    error: str = ""
    started_ms: int | None = None
    finished_ms: int | None = None

    @property
    def states(self) -> tuple[TaskState, ...]:
        """The states whose tasks are meant, in the order in which they are worked off."""
        return states_of(self.act, self.where)

    def wants(self, task: Candidate) -> bool:
        """Return whether the act is to be done to a task, and has not been yet."""
        return (
            task.state in self.states
            and self.where.matches(task)
            and (self.act is Act.REMOVE or _was_there(task, self.created_ms))
            and not _is_done(self.act, task)
        )


def _was_there(task: Candidate, created_ms: int) -> bool:
    """Return whether a task came in, or back, or ended before the operation was begun."""
    return (task.finished_ms or 0) <= created_ms and (
        task.state.ended or task.taken_in_ms <= created_ms
    )


def _is_done(act: Act, task: Candidate) -> bool:
    match act:
        case Act.BUMP:
            return task.goes_first
        case Act.WAIVE:
            return not task.promised
        case Act.CANCEL | Act.REMOVE:
            return task.state is TaskState.IN_PROGRESS and task.cancel_asked
        case _:
            return False


def states_of(act: Act, where: Where) -> tuple[TaskState, ...]:
    """Return the states whose tasks are meant, in the order in which they are worked off.

    Without any given, those that the act is for; of `requeue` only what has failed, since what was
    cancelled or has expired was wanted so.
    """
    if not where.states:
        return (TaskState.FAILED,) if act is Act.REQUEUE else _STATES[act]
    return tuple(state for state in _STATES[act] if state in where.states)


def check_act(given: object, where: Where) -> Act:
    """Return an act that can be begun on such tasks.

    Raises:
        ConfigInvalid: If there is no such act, or it is not for one of the states.
    """
    try:
        act = Act(cast("str", given))
    except ValueError:
        act = Act.REMOVE
    if act is Act.REMOVE:
        words = ", ".join(one for one in Act if one is not Act.REMOVE)
        raise ConfigInvalid(f"act: {given!r} is not one of {words}")
    for n, state in enumerate(where.states):
        if state not in _STATES[act]:
            raise ConfigInvalid(
                f"where.states[{n}]: a task that is {state} cannot be the object of {act}, "
                f"only one that is {' or '.join(_STATES[act])}"
            )
    if where.ended_before_ms is not None and OPEN.intersection(states_of(act, where)):
        raise ConfigInvalid(f"where.ended_before: {act} is for tasks that have not ended")
    return act


def check_rate(given: object, act: Act) -> int | None:
    """Return how many tasks a second; `None` for no limit.

    Args:
        given: A whole number, or `None` for the act's own: 100, of `purge` no limit.
        act: The act.

    Raises:
        ConfigInvalid: If it is no whole number from 1, or over 10,000.
    """
    if given is None:
        return None if act in (Act.PURGE, Act.REMOVE) else DEFAULT_RATE
    rate = check_count(given, name="rate")
    if rate > HIGHEST_RATE:
        raise ConfigInvalid(f"rate={rate} is over {HIGHEST_RATE} tasks a second")
    return rate


def step_of(rate: int | None) -> int:
    """Return on how many tasks one step acts: a quarter of a second's, 100 at most.

    So a stop is heard, and a rate felt, within a second.
    """
    return MOST_A_STEP if rate is None else max(1, min(MOST_A_STEP, rate // 4))
