"""What people can do here: each act with its words, whom it is for, and when it can be done.

The dashboard shows a button for what can be done, and none for what cannot; what is done meanwhile
by somebody else is found out when the act is tried, and told.
"""

import shlex
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from hms_async.domain.access import Permission
from hms_async.domain.operation import Act as Many
from hms_async.domain.operation import states_of
from hms_async.domain.selection import Where
from hms_async.domain.task import OPEN, TaskRecord, TaskState

if TYPE_CHECKING:
    from hms_async.api.dashboard.entry import Look

Why = Literal["may", "must"]
WHY: Final = "<why>"
"""Stands in commands for what people say."""


class Act(NamedTuple):
    """Something that can be done.

    Attributes:
        name: Its name in addresses.
        label: What its button says.
        does: What will happen, for whoever is asked whether it is to be done.
        needs: What it takes.
        why: Whether a reason may or must be given.
        danger: Whether it takes something away.
    """

    name: str
    label: str
    does: str
    needs: tuple[Permission, ...] = (Permission.OPERATE,)
    why: Why = "may"
    danger: bool = False


CANCEL: Final = Act(
    "cancel",
    "Cancel",
    "What waits is cancelled at once; what runs is cancelled by its worker within about a second. "
    "What is cancelled can be requeued.",
    danger=True,
)
REQUEUE: Final = Act(
    "requeue",
    "Requeue",
    "What is requeued runs again, with all its attempts, before what waits; a promise counts from "
    "when its task first arrived.",
)
BUMP: Final = Act("bump", "Move to front", "What is moved goes before the others that wait.")
WAIVE: Final = Act(
    "waive",
    "Waive promise",
    "What is waived goes on without a promise, and counts neither as kept nor as broken. "
    "There is no way back.",
    why="must",
)
AGAIN: Final = Act(
    "again",
    "Run again with changes",
    "A new task goes into the same queue, with this payload as you change it; the old one stays "
    "as it is, and says which the new one is.",
    needs=(Permission.ENQUEUE, Permission.PAYLOAD),
)
PAUSE: Final = Act(
    "pause", "Pause", "Workers take none of its tasks any more; what runs goes on.", why="must"
)
RESUME: Final = Act("resume", "Resume", "Workers take its tasks again.")
PURGE: Final = Act(
    "purge",
    "Purge",
    "Every task that waits, is scheduled or is to be tried again is cancelled; what runs goes on. "
    "What is cancelled can be requeued.",
    why="must",
    danger=True,
)
ACKNOWLEDGE: Final = Act(
    "acknowledge",
    "Acknowledge",
    "Others see that somebody is at it; it is told again only if it gets worse.",
)
STOP: Final = Act(
    "stop",
    "Stop",
    "It stops within a second or so; what it has done stays done.",
    danger=True,
)
SEND_AGAIN: Final = Act("again", "Try again", "A message is sent once more, with all its tries.")
DROP: Final = Act(
    "drop", "Drop", "A dropped message is forgotten: nobody will be told.", why="must", danger=True
)

ON_TASKS: Final = (REQUEUE, BUMP, WAIVE, CANCEL)
"""What can be done to one task and to many."""


def on_task(look: "Look", task: TaskRecord) -> list[Act]:
    """Return what can be done to a task by whoever looks."""
    return [
        act for act in (*ON_TASKS, AGAIN) if _may(look, act, task.queue) and not why_not(act, task)
    ]


def on_state(look: "Look", queue: str, state: TaskState) -> list[Act]:
    """Return what can be done to many tasks of a state by whoever looks."""
    return [
        act
        for act in ON_TASKS
        if _may(look, act, queue) and states_of(Many(act.name), Where(states=(state,)))
    ]


def _may(look: "Look", act: Act, queue: str) -> bool:
    return all(look.caller.may(permission, queue) for permission in act.needs)


def why_not(act: Act, task: TaskRecord) -> str:
    """Return why an act cannot be done to a task as it is; empty if it can."""
    return _WHY_NOT[act.name](task)


def _cannot_cancel(task: TaskRecord) -> str:
    if task.state not in OPEN:
        return f"it {how(task.state)}"
    if task.cancel_asked_ms is not None:
        return "its worker has been asked to cancel it already"
    return ""


def _cannot_requeue(task: TaskRecord) -> str:
    states = states_of(Many.REQUEUE, Where(states=tuple(TaskState)))
    return "" if task.state in states else f"it {how(task.state)}"


def _cannot_bump(task: TaskRecord) -> str:
    if task.state is not TaskState.WAITING:
        return f"it {how(task.state)}"
    return "it goes first already" if task.goes_first else ""


def _cannot_waive(task: TaskRecord) -> str:
    if task.state not in OPEN:
        return f"it {how(task.state)}: what has ended has kept its promise or not"
    if task.waived is not None:
        return "it was let off its promise already"
    return "" if task.due_ms is not None else "it has no promise"


def _cannot_run_again(task: TaskRecord) -> str:
    return "" if task.raw is None else "its payload cannot be read"


_WHY_NOT: Final[Mapping[str, Callable[[TaskRecord], str]]] = {
    "cancel": _cannot_cancel,
    "requeue": _cannot_requeue,
    "bump": _cannot_bump,
    "waive": _cannot_waive,
    "again": _cannot_run_again,
}


def how(state: TaskState) -> str:
    """Return how a task is, as a predicate: "is in progress", "has failed"."""
    return _HOW.get(state, f"is {in_words(state)}")


def in_words(state: str) -> str:
    """Return a state as people say it."""
    return state.replace("_", " ")


_HOW: Final[Mapping[TaskState, str]] = {
    TaskState.RETRYING: "is to be tried again",
    TaskState.FAILED: "has failed",
    TaskState.EXPIRED: "has expired",
}


class Twins(NamedTuple):
    """The same act elsewhere.

    Attributes:
        hms: On the command line.
        curl: Over REST.
    """

    hms: str
    curl: str


def twins(look: "Look", hms: list[str], path: str, body: object) -> Twins:
    """Return an act's twins.

    Args:
        look: Who looks, which says where the API is.
        hms: The words of the command.
        path: The call's path.
        body: What is sent.
    """
    who = "" if look.caller.name == "loopback" else ' -H "Authorization: Bearer $HMS_TOKEN"'
    data = shlex.quote(msgspec.json.encode(body).decode())
    url = shlex.quote(f"{look.rest_url}{path}")
    return Twins(shlex.join(["hms", *hms]), f"curl -X POST {url}{who} -d {data}")


def twins_on_task(look: "Look", act: Act, task_id: str) -> Twins:
    """Return the twins of an act on one task."""
    group = "sla" if act is WAIVE else "job"
    return twins(
        look,
        [group, act.name, task_id, "--reason", WHY],
        f"/oms/tasks/{task_id}/{act.name}",
        {"reason": WHY},
    )


def twins_on_many(look: "Look", act: Act, queue: str, where: Where) -> Twins:
    """Return the twins of an act on many tasks."""
    narrowed = ["--where", said] if (said := str(where)) else []
    return twins(
        look,
        ["op", "start", act.name, "-Q", queue, *narrowed, "--reason", WHY],
        "/oms/operations",
        {"act": act.name, "queue": queue, "where": where.given(), "reason": WHY},
    )
