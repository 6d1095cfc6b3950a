"""What workers elsewhere say of their tasks: outcomes, and that they go on."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, assert_never

import msgspec

from hms_async.domain.handoff import Handoff
from hms_async.domain.outcome import Failed, Fault, HandedBack, Outcome, RetryAsked, Word
from hms_async.domain.settle import decide_unknowing
from hms_async.errors import ConfigInvalid, HMSError, ResultInvalid, StoreProtocol
from hms_async.runtime.claims import Claims
from hms_async.runtime.exchange import to_send
from hms_async.runtime.guests import Guests
from hms_async.runtime.task import completed, refused
from hms_async.storage.holding import Holder
from hms_async.storage.replies import MOST_A_CALL, Settle
from hms_async.storage.store import Store

May = Callable[[str], bool]
"""Whether the caller may work on a queue's tasks; others are none to it."""

Answer = Literal["continue", "cancel", "drain", "lost"]

_FAILED = Fault("Failed", "")


class RemoteOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker elsewhere says of one task.

    Attributes:
        id: The task.
        token: What proves that the worker holds it.
        word: `done`; `fail` for good; `error`, after which the queue's retry policy decides;
            `retry`, after a delay; `release`, to hand it back uncounted.
        result: For `done`: any JSON value.
        handoff: For `done`: what is to go on with the case.
        fault: For `fail`, `error` and `retry`: why.
        delay_ms: For `retry`: when; the queue's policy decides if not given.
        traceparent: The worker's span of this attempt, which is kept with a fault.
    """

    id: str
    token: str
    word: Word
    result: Any = None
    handoff: Handoff | Mapping[str, Any] | None = None
    fault: Fault | None = None
    delay_ms: int | None = None
    traceparent: str = ""


class RemoteSettled(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an outcome.

    Attributes:
        id: The task.
        answer: `ok`; `already`, this token settled it before; `stale`, somebody else has the task;
            `gone`, it is not stored; `error`, the server did not do it, or did not say so: it can
            be sent again.
        state: The state that the task is in now; empty for `gone` and `error`.
        queue: Its queue; empty for one that is not stored.
        error: Why, for `error`; or why a result was not taken, and the task failed.
    """

    id: str
    answer: Literal["ok", "already", "stale", "gone", "error"]
    state: str = ""
    queue: str = ""
    error: HMSError | None = None


class Verdicts:
    """Carries outcomes and renewals of workers elsewhere to their queues.

    Args:
        store: Where the queues are.
        claims: Sends outcomes.
        guests: Hears which leases end and which go on.
    """

    def __init__(self, store: Store, claims: Claims, guests: Guests) -> None:
        self._store = store
        self._claims = claims
        self._guests = guests

    async def settle(self, outcomes: Sequence[RemoteOutcome], may: May) -> list[RemoteSettled]:
        """Send outcomes, one call for each queue, and return what became of each.

        Raises:
            ConfigInvalid: If there are more than 250.
            StoreError: If the server does not say whose tasks they are.
        """
        _check_number(len(outcomes))
        answers = [RemoteSettled(id=outcome.id, answer="gone") for outcome in outcomes]
        holders = await self._holders([outcome.id for outcome in outcomes], may)
        for holder, places in _by(holders).items():
            batch = [_to_settle(outcomes[place]) for place in places]
            settled = await self._settle(holder, batch)
            for place, answer in zip(places, settled, strict=True):
                answers[place] = answer
        return answers

    async def _settle(
        self, holder: Holder, batch: list[tuple[Settle, ResultInvalid | None]]
    ) -> list[RemoteSettled]:
        settles = [settle for settle, _ in batch]
        try:
            told = await self._claims.settle(holder.queue, settles, worker=holder.worker or None)
        except StoreProtocol as error:
            if len(batch) == 1:
                return [_failed(settles[0], holder, error)]
            # It is one of them, and the others are none the worse (R11).
            return [one for item in batch for one in await self._settle(holder, [item])]
        except HMSError as error:
            return [_failed(settle, holder, error) for settle in settles]
        for settle in settles:
            self._guests.settled(holder.worker, settle.token)
        # Of the same outcome twice in a batch the second is answered with the state before.
        states = {
            settle.token: answer.state
            for settle, answer in zip(settles, told, strict=True)
            if answer.answer == "ok"
        }
        return [
            RemoteSettled(
                id=settle.id,
                answer=_ANSWERS[answer.answer],
                state=states.get(settle.token, answer.state),
                queue=holder.queue,
                error=error if answer.answer == "ok" else None,
            )
            for (settle, error), answer in zip(batch, told, strict=True)
        ]

    async def extend(
        self,
        leases: Sequence[tuple[str, str]],
        lease_ms: int | None,
        kept: Literal["continue", "drain"],
        may: May,
    ) -> list[Answer]:
        """Renew leases, and return `kept`, `cancel` or `lost` for each.

        Raises:
            ConfigInvalid: If there are more than 250.
            StoreError: If the server does not answer, or refuses.
        """
        _check_number(len(leases))
        answers: list[Answer] = ["lost"] * len(leases)
        holders = await self._holders([task_id for task_id, _ in leases], may)
        workers = [holder.worker if holder else "" for holder in holders]
        queues = [Holder(holder.queue, "") if holder else None for holder in holders]
        for (queue, _), places in _by(queues).items():
            pairs = [leases[place] for place in places]
            extended = await self._store.extend(queue, pairs, lease_ms=lease_ms)
            for place, (_, token) in zip(places, pairs, strict=True):
                if token in extended.lost:
                    self._guests.settled(workers[place], token)
                    continue
                self._guests.renewed(workers[place], token)
                answers[place] = "cancel" if token in extended.cancelling else kept
        return answers

    async def _holders(self, task_ids: Sequence[str], may: May) -> list[Holder | None]:
        found = await self._store.holders(task_ids)
        return [one if one is not None and may(one.queue) else None for one in found]


_ANSWERS: dict[str, Literal["ok", "already", "stale", "gone"]] = {
    "ok": "ok",
    "already": "already",
    "stale": "stale",
    "gone": "gone",
}


def _by(holders: Sequence[Holder | None]) -> dict[Holder, list[int]]:
    """Return the places of each holder's tasks."""
    places: dict[Holder, list[int]] = {}
    for place, holder in enumerate(holders):
        if holder is not None:
            places.setdefault(holder, []).append(place)
    return places


def _failed(settle: Settle, holder: Holder, error: HMSError) -> RemoteSettled:
    return RemoteSettled(id=settle.id, answer="error", queue=holder.queue, error=error)


def _check_number(count: int) -> None:
    if count > MOST_A_CALL:
        raise ConfigInvalid(f"{count} tasks are too many for one call: up to {MOST_A_CALL}")


def _to_settle(told: RemoteOutcome) -> tuple[Settle, ResultInvalid | None]:
    """Return an outcome as it is sent, and why its result cannot be kept, if it cannot."""
    error: ResultInvalid | None = None
    try:
        outcome = _outcome(told)
    except ResultInvalid as invalid:
        outcome, error = refused(invalid), invalid
    jitter = random.random()  # noqa: S311  # spreads retries, guards nothing
    settlement = decide_unknowing(outcome, jitter=jitter)
    if told.word == "retry" and told.fault is not None:
        settlement = msgspec.structs.replace(settlement, fault=told.fault)
    return to_send(told.id, told.token, settlement, told.traceparent), error


def _outcome(told: RemoteOutcome) -> Outcome:
    match told.word:
        case "done":
            return completed(told.result, told.handoff)
        case "fail" | "error":
            return Failed(told.fault or _FAILED, retryable=told.word == "error")
        case "retry":
            return RetryAsked(told.delay_ms)
        case "release":
            return HandedBack()
        case _:
            assert_never(told.word)
