"""Which tasks of a queue are meant, when more than one is."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

import msgspec

from hms_async.domain.duration import instant_to_ms, ms_to_rfc3339
from hms_async.domain.fingerprint import check_fingerprint, fingerprint
from hms_async.domain.queue import check_name
from hms_async.domain.task import TaskState
from hms_async.errors import ConfigInvalid, HMSError

MOST_IDS = 1_000
LONGEST_TEXT = 512


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked at of a task, to say whether it is meant.

    Attributes:
        id: Its id.
        state: Where it is.
        taken_in_ms: When it was accepted, or brought back after its end; for one that was never to
            wait, when it arrived.
        arrived_ms: When its SLA clock started, or is going to.
        finished_ms: When it ended.
        correlation_id: The case it belongs to.
        error_type: Of its last fault, the exception's class or a word of ours.
        error: The message of that.
        goes_first: Whether it waits in another lane than the normal one.
        cancel_asked: Whether its holder has been asked to cancel it.
        promised: Whether it has a promise that it was not let off.
    """

    id: str
    state: TaskState
    taken_in_ms: int = 0
    arrived_ms: int = 0
    finished_ms: int | None = None
    correlation_id: str | None = None
    error_type: str = ""
    error: str = ""
    goes_first: bool = False
    cancel_asked: bool = False
    promised: bool = False

    @property
    def fingerprint(self) -> str:
        """What its last fault has in common with others of its kind; empty without a fault."""
        return fingerprint(self.error_type, self.error) if self.error_type or self.error else ""


class Where(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What must hold of a task for it to be meant; each that is given must.

    Attributes:
        states: It is in one of these; if empty, in any that the act is for.
        ids: It is one of these, if any are given.
        correlation_id: The case that it belongs to.
        error_type: What its last fault is called, such as `Timeout`.
        error: A text that the message of that fault contains, in any case.
        fingerprint: What that fault has in common with others of its kind.
        arrived_before_ms: It arrived before this instant.
        ended_before_ms: It ended before this instant.
    """

    states: tuple[TaskState, ...] = ()
    ids: tuple[str, ...] = ()
    correlation_id: str | None = None
    error_type: str | None = None
    error: str | None = None
    fingerprint: str | None = None
    arrived_before_ms: int | None = None
    ended_before_ms: int | None = None

    @classmethod
    def create(
        cls,
        *,
        states: Iterable[TaskState | str] | str = (),
        ids: Iterable[str] | str = (),
        correlation_id: str | None = None,
        error_type: str | None = None,
        error: str | None = None,
        fingerprint: str | None = None,
        arrived_before: datetime | str | None = None,
        ended_before: datetime | str | None = None,
    ) -> "Where":
        """Return a selection; the attributes say what each is.

        Instants are a `datetime` with a time zone, or RFC 3339 text.

        Raises:
            ConfigInvalid: If one makes no sense; the message says which, as `where.states[0]`.
        """
        return cls(
            states=tuple(
                _state(state, f"where.states[{n}]")
                for n, state in enumerate(_several(states, "where.states"))
            ),
            ids=_ids(_several(ids, "where.ids")),
            correlation_id=_text(correlation_id, "where.correlation_id"),
            error_type=_text(error_type, "where.error_type"),
            error=_text(error, "where.error"),
            fingerprint=None
            if fingerprint is None
            else check_fingerprint(fingerprint, name="where.fingerprint"),
            arrived_before_ms=_instant(arrived_before, "where.arrived_before"),
            ended_before_ms=_instant(ended_before, "where.ended_before"),
        )

    @classmethod
    def read(cls, given: object) -> "Where":
        """Return what a caller gave as a `Where`, as a mapping with its names, or as `None`.

        Raises:
            ConfigInvalid: If it is none of these, has another name in it, or a value that makes
                no sense; the message says where.
        """
        if given is None:
            return cls()
        if isinstance(given, Where):
            return given
        if not isinstance(given, Mapping):
            raise ConfigInvalid(f"where={given!r} is not an object, such as {{'states': 'failed'}}")
        fields = cast("Mapping[str, Any]", given)
        for name in fields:
            if name not in NAMES:
                raise ConfigInvalid(f"where.{name}: there is no such field: {', '.join(NAMES)}")
        return cls.create(**fields)

    def matches(self, task: Candidate) -> bool:
        """Return whether a task is meant."""
        return (
            (not self.states or task.state in self.states)
            and (not self.ids or task.id in self.ids)
            and (self.correlation_id is None or task.correlation_id == self.correlation_id)
            and (self.error_type is None or task.error_type == self.error_type)
            and (self.error is None or self.error.casefold() in task.error.casefold())
            and (self.fingerprint is None or task.fingerprint == self.fingerprint)
            and (self.arrived_before_ms is None or task.arrived_ms < self.arrived_before_ms)
            and (
                self.ended_before_ms is None
                or (task.finished_ms is not None and task.finished_ms < self.ended_before_ms)
            )
        )

    @property
    def of_faults(self) -> bool:
        """Whether a task's last fault says whether it is meant, so that it must be known."""
        return not (self.error_type is None and self.error is None and self.fingerprint is None)

    @property
    def by_state_only(self) -> bool:
        """Whether the state alone says who is meant, so that nobody needs to be looked at."""
        return self == Where(states=self.states)

    def given(self) -> dict[str, Any]:
        """Return what `create` makes it of, as JSON has it: nothing of what was not given."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        for name in ("arrived_before", "ended_before"):
            if ms := fields.pop(f"{name}_ms", None):
                fields[name] = ms_to_rfc3339(ms)
        return fields

    def __str__(self) -> str:
        """Return it as the command line takes it; empty where every task is meant."""
        parts = [f"state={state}" for state in self.states]
        parts += [f"id={task_id}" for task_id in self.ids]
        for name, text in (
            ("corr", self.correlation_id),
            ("type", self.error_type),
            ("error", self.error),
            ("fingerprint", self.fingerprint),
        ):
            parts += [] if text is None else [f"{name}={text}"]
        for name, ms in (
            ("arrived-before", self.arrived_before_ms),
            ("ended-before", self.ended_before_ms),
        ):
            parts += [] if ms is None else [f"{name}={ms_to_rfc3339(ms)}"]
        return ",".join(parts)


NAMES = (
    "states",
    "ids",
    "correlation_id",
    "error_type",
    "error",
    "fingerprint",
    "arrived_before",
    "ended_before",
)
"""What may be given of a selection."""


def _several(given: object, path: str) -> list[object]:
    if isinstance(given, str):
        return [given]
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise ConfigInvalid(f"{path}={given!r} is not a list")
    return list(cast("Iterable[object]", given))


def _state(given: object, path: str) -> TaskState:
    try:
        return TaskState(cast("str", given))
    except ValueError:
        raise ConfigInvalid(
            f"{path}: {given!r} is not a state: one of {', '.join(TaskState)}"
        ) from None


def _ids(given: list[object]) -> tuple[str, ...]:
    if len(given) > MOST_IDS:
        raise ConfigInvalid(f"where.ids: {len(given)} ids are too many: at most {MOST_IDS}")
    return tuple(
        dict.fromkeys(
            check_name(one, what=f"where.ids[{n}]: task id") for n, one in enumerate(given)
        )
    )


def _text(given: object, path: str) -> str | None:
    if given is None or (isinstance(given, str) and 0 < len(given) <= LONGEST_TEXT):
        return given
    raise ConfigInvalid(f"{path}: {given!r} is not a text of 1 to {LONGEST_TEXT} characters")


def _instant(given: object, path: str) -> int | None:
    if given is None:
        return None
    moment = given
    if isinstance(given, str):
        try:
            moment = datetime.fromisoformat(given)
        except ValueError:
            raise ConfigInvalid(
                f"{path}: {given!r} is not an instant: write 2026-12-01T08:00:00Z"
            ) from None
    try:
        return instant_to_ms(cast("datetime", moment), name=path)
    except HMSError as error:
        raise ConfigInvalid(str(error)) from error
