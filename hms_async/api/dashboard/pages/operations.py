"""What goes on in the background, what stands still, and who did what."""

from contextlib import suppress
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Query
from starlette.responses import Response

from hms_async.api.dashboard import acts
from hms_async.api.dashboard.acts import twins
from hms_async.api.dashboard.asking import Question, answered, ask, objection, refuse, went
from hms_async.api.dashboard.entry import Acting, Administering, Look, Looking
from hms_async.api.dashboard.parts import Part, show
from hms_async.domain.access import Permission
from hms_async.domain.audit import AuditPage
from hms_async.domain.operation import Operation, OperationState
from hms_async.errors import OperationEnded, OperationNotFound, QueueNotFound
from hms_async.runtime.board import Standing
from hms_async.runtime.promises import Undelivered
from hms_async.storage.operations import MOST_KEPT

router = APIRouter()

_SHOWN = 30
_MESSAGES = 20
_LAST_ACTS = 15
_A_PAGE = 100


class Row(NamedTuple):
    """An operation, as pages show it.

    Attributes:
        operation: The operation.
        per_s: How many tasks a second it comes through, if it has begun.
        left_ms: How long it will take at that speed, if it runs.
    """

    operation: Operation
    per_s: float | None
    left_ms: float | None

    @property
    def passed(self) -> int:
        """How many tasks it is done with."""
        return self.operation.done + self.operation.refused

    @property
    def total(self) -> int:
        """How many there are: more than were foreseen, if those were estimated."""
        return max(self.operation.matched, self.passed, 1)


def _row(one: Operation, now_ms: int) -> Row:
    passed = one.done + one.refused
    took_ms = (one.finished_ms or now_ms) - (one.started_ms or now_ms)
    per_s = passed / took_ms * 1_000 if passed and took_ms > 0 else None
    runs = one.state is OperationState.RUNNING
    left_ms = max(one.matched - passed, 0) / per_s * 1_000 if runs and per_s else None
    return Row(one, per_s, left_ms)


@router.get("/operations")
async def operations(look: Looking) -> Response:
    """Show operations, pauses, undelivered messages and, to those who may see it, the audit."""

    async def build() -> Part:
        everything = await look.all_queues()
        # Those of others may be all of the latest ones.
        latest = await look.oms.operations.list(_SHOWN if look.caller.everywhere else MOST_KEPT)
        rows = [_row(one, everything.now_ms) for one in latest if look.sees(one.queue)][:_SHOWN]
        mine = [one for one in everything.queues if look.sees(one.name)]
        return Part.of(
            "operations.html",
            title="operations",
            base=look.base,
            now_ms=everything.now_ms,
            running=[row for row in rows if not row.operation.state.ended],
            ended=[row for row in rows if row.operation.state.ended],
            paused=[one for one in mine if one.stats.paused],
            undelivered=await _undelivered(look, mine),
            audit=await _audit(look, limit=_LAST_ACTS),
            can_operate=look.can_operate,
            rest_url=look.rest_url,
        )

    return await show(look, ["operations"], build)


async def _undelivered(
    look: Look, queues: list[Standing]
) -> list[tuple[Standing, list[Undelivered]]]:
    found: list[tuple[Standing, list[Undelivered]]] = []
    for one in queues:
        if one.stats.undelivered and len(found) < _MESSAGES:
            with suppress(QueueNotFound):  # it was removed
                messages = await look.oms.sla.undelivered(one.name, limit=_MESSAGES)
                found.append((one, [look.visible_message(each) for each in messages]))
    return found


async def _audit(look: Look, *, limit: int) -> AuditPage | None:
    if not look.caller.may(Permission.ADMINISTER):
        return None
    return await look.oms.audit(limit=limit, sees=look.audits)


@router.get("/audit")
async def audit(
    look: Administering,
    queue: str = "",
    cursor: Annotated[str | None, Query(max_length=256)] = None,
) -> Response:
    """Show who did what, the last first."""
    if queue:
        look.queue(queue)

    async def build() -> Part:
        return Part.of(
            "audit.html",
            title="audit",
            base=look.base,
            rest_url=look.rest_url,
            now_ms=(await look.all_queues()).now_ms,
            queue=queue,
            queues=await look.queues(),
            first=cursor is None,
            audit=await look.oms.audit(
                queue or None, cursor=cursor, limit=_A_PAGE, sees=look.audits
            ),
        )

    return await show(look, [], build)


async def _seen(look: Look, operation_id: str) -> Operation:
    """Return an operation on a queue that the caller may see.

    Raises:
        OperationNotFound: If there is none.
    """
    found = await look.oms.operations.get(operation_id)
    if not look.sees(found.queue):
        raise OperationNotFound(operation_id)
    return found


@router.get("/operations/{operation_id}")
async def operation(operation_id: str, look: Looking) -> Response:
    """Show an operation: how far it is, and which tasks it could not be done to."""

    async def build() -> Part:
        found = await _seen(look, operation_id)
        now_ms = (await look.all_queues()).now_ms
        return Part.of(
            "operation.html",
            title=f"{found.act} {found.queue}: {found.state}",
            base=look.base,
            rest_url=look.rest_url,
            now_ms=now_ms,
            row=_row(found, now_ms),
            one=found,
            can_stop=look.can_operate and found.state is OperationState.RUNNING,
        )

    return await show(look, ["operations"], build)


async def _stopping(look: Look, operation_id: str) -> Question:
    """Return what is asked before an operation is stopped."""
    found = await _seen(look, operation_id)
    stoppable = found.state is OperationState.RUNNING
    return Question(
        act=acts.STOP,
        title=f"Stop: {found.act} in {found.queue}?",
        about=[f"It is {found.state}: {found.done:,} of {found.matched:,} tasks so far."],
        back=f"/operations/{found.id}",
        button=acts.STOP.label,
        twins=twins(
            look,
            ["op", "stop", found.id, "--reason", acts.WHY],
            f"/oms/operations/{found.id}/stop",
            {"reason": acts.WHY},
        ),
        why_not="" if stoppable else f"It cannot be stopped: it is {found.state}.",
    )


@router.get("/operations/{operation_id}/stop")
async def ask_to_stop(operation_id: str, look: Acting) -> Response:
    """Ask whether an operation is to stop."""
    return ask(look, await _stopping(look, operation_id))


@router.post("/operations/{operation_id}/stop")
async def stop(operation_id: str, look: Acting) -> Response:
    """Ask it to stop, and show it."""
    form = await answered(look)
    question = await _stopping(look, operation_id)
    if (page := objection(look, question, form)) is not None:
        return page
    try:
        await look.oms.operations.stop(operation_id, reason=form.get("reason"), by=look.actor)
    except OperationEnded as error:  # meanwhile
        return refuse(look, question, error)
    look.done("operations")
    return went(look, question.back, "stopping")
