"""A queue's tasks in one state, page by page, to be looked through, ticked and exported."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from hms_async.api import documents
from hms_async.api.dashboard.acts import on_state
from hms_async.api.dashboard.entry import Looking
from hms_async.api.dashboard.export import Export, exported
from hms_async.api.dashboard.parts import Part, show
from hms_async.api.dashboard.rows import error_of, row
from hms_async.domain.task import TaskPage, TaskRecord, TaskState

router = APIRouter()

_A_PAGE = 100
_COLUMNS = (
    *("id", "queue", "state", "correlation_id", "priority", "attempt", "crashes", "worker"),
    *("arrived_at", "due_at", "starts_at", "started_at", "finished_at"),
)


@router.get("/q/{queue}/tasks")
async def tasks(
    queue: str,
    look: Looking,
    state: TaskState = TaskState.WAITING,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
    export: Export | None = None,
) -> Response:
    """Show a page of a queue's tasks, or return what is on it as CSV or NDJSON."""
    name = look.queue(queue)

    async def page() -> TaskPage:
        return await look.tasks(name, state, cursor, limit=_A_PAGE)

    if export is not None:
        found = [_flat(task) for task in (await page()).tasks]
        return exported(found, export, f"{name}-{state.value}")

    async def build() -> Part:
        found = await page()
        stats = await look.oms.stats(name)
        settings = (await look.oms.get_queue(name)).settings
        max_attempts = settings.retry.max_attempts
        return Part.of(
            "tasks.html",
            title=f"{state.value.replace('_', ' ')} - {name}",
            base=look.base,
            rest_url=look.rest_url,
            now_ms=stats.now_ms,
            name=name,
            state=state,
            counts={one: int(getattr(stats, one.value)) for one in TaskState},
            rows=[row(task, stats.now_ms, max_attempts=max_attempts) for task in found.tasks],
            first=cursor is None,
            cursor=found.cursor,
            acts=on_state(look, name, state),
        )

    return await show(look, [f"queue:{name}"], build)


def _flat(task: TaskRecord) -> dict[str, Any]:
    shown = documents.Task.of(task)
    return {name: getattr(shown, name) for name in _COLUMNS} | {"error": error_of(task)}
