"""A queue's tasks in one state, page by page, to be looked through, ticked and exported."""

import csv
import io
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from hms_async.api import documents
from hms_async.api.dashboard.acts import on_state
from hms_async.api.dashboard.entry import Look, Looking
from hms_async.api.dashboard.parts import Part, show
from hms_async.api.dashboard.rows import error_of, row
from hms_async.domain.task import TaskPage, TaskRecord, TaskState

router = APIRouter()

_A_PAGE = 100
_COLUMNS = ("id", "queue", "state", "correlation_id", "attempt", "arrived_at", "due_at")
_TIMES = ("started_at", "finished_at", "worker", "error")

Export = Literal["csv", "ndjson"]


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
        return _exported(look, (await page()).tasks, export, f"{name}-{state.value}")

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


def _exported(look: Look, found: list[TaskRecord], kind: Export, name: str) -> Response:
    if kind == "ndjson":
        body = b"".join(msgspec.json.encode(look.show(task)) + b"\n" for task in found)
        media_type = "application/x-ndjson"
    else:
        body = _as_csv(found).encode()
        media_type = "text/csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}.{kind}"'}
    return Response(body, headers=headers, media_type=media_type)


def _as_csv(found: list[TaskRecord]) -> str:
    text = io.StringIO()
    out = csv.writer(text)
    out.writerow((*_COLUMNS, *_TIMES))
    for task in found:
        shown = documents.Task.of(task)
        out.writerow(
            [_cell(getattr(shown, name)) for name in (*_COLUMNS, *_TIMES[:-1])]
            + [_cell(error_of(task))]
        )
    return text.getvalue()


def _cell(value: object) -> str:
    """Return a value as a cell that no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in "=+-@\t\r" and text else text
