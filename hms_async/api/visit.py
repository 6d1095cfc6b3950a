"""One request of somebody who may make it: what every route works with."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any, cast

import anyio
import msgspec
from anyio import CancelScope
from fastapi import Depends, Request

from hms_async.api import documents
from hms_async.client import AsyncOMSClient
from hms_async.domain.access import Permission, Principal
from hms_async.domain.audit import Actor
from hms_async.domain.case import Case
from hms_async.domain.event import Event
from hms_async.domain.queue import check_name
from hms_async.domain.task import TaskRecord
from hms_async.domain.trace import TraceContext, read_trace
from hms_async.errors import AccessError, Forbidden, HMSError, IdInUse, StoreError, TaskNotFound
from hms_async.runtime.promises import Undelivered
from hms_async.telemetry import otel

if TYPE_CHECKING:
    from hms_async.api.house import House

CHECKED_EACH_S = 2.0
"""How often it is seen to that the caller of a request that goes on is still let in."""

NEEDS = "hms_needs"
"""Where a dependency says which permission it asks for; a test reads it off every route."""


class Visit:
    """A request that was let in.

    Args:
        request: The request.
        caller: Who makes it.
        permission: What the route is for.

    Attributes:
        house: What the requests of this process share.
        gone: Whether the caller has gone away, as far as `while_there` has noticed.
    """

    def __init__(self, request: Request, caller: Principal, permission: Permission) -> None:
        self.request = request
        self.caller = caller
        self.permission = permission
        self.house: House = request.app.state.house
        self.gone = False
        self._refused: AccessError | None = None

    @classmethod
    def recognise(cls, request: Request) -> None:
        """Note who makes a request, where that is not said as programs say it."""

    @property
    def oms(self) -> AsyncOMSClient:
        """The client."""
        return self.house.oms

    @property
    def stopping(self) -> anyio.Event:
        """Set when the process is about to end: what waits is to answer now."""
        return self.house.stopping

    def queue(self, name: str) -> str:
        """Return a queue's name that the caller may use.

        Raises:
            NameInvalid: If it is none.
            Forbidden: If it is not for this caller.
        """
        check_name(name, what="queue name")
        if not self.caller.may(self.permission, name):
            raise Forbidden(self.caller.name, self.permission, name)
        return name

    def sees(self, queue: str | None) -> bool:
        """Whether the caller may do here what the route is for."""
        return self.caller.may(self.permission, queue)

    def audits(self, queue: str | None) -> bool:
        """Whether the caller may read what was done to a queue, or with `None` to no single one.

        The latter, such as the making of tokens, is for those who may see all queues.
        """
        return self.caller.everywhere if queue is None else self.sees(queue)

    def tell(self, error: HMSError) -> HMSError:
        """Return an error as the caller may see it: it names no queue that is not theirs."""
        if isinstance(error, IdInUse) and not self.sees(error.queue):
            return IdInUse(error.task_id, None)
        return error

    async def queues(self) -> list[str]:
        """Return the queues that the caller may see, sorted."""
        return [name for name in await self.oms.list_queues() if self.sees(name)]

    async def task(self, task_id: str) -> TaskRecord:
        """Return a task that the caller may see.

        Raises:
            TaskNotFound: If there is none, or it is not for this caller.
        """
        record = await self.oms.get_task(task_id)
        if not self.sees(record.queue):
            # That it exists is not told either.
            raise TaskNotFound(task_id)
        return record

    def show(self, record: TaskRecord) -> documents.Task:
        """Return a task as the caller may see it."""
        return documents.Task.of(self.visible(record))

    def show_case(self, case: Case) -> documents.Case:
        """Return a case as the caller may see it."""
        return documents.Case.of(self.visible_case(case))

    def show_event(self, event: Event) -> documents.Event:
        """Return an event as the caller may see it."""
        seen = self.house.redactor.visible_event(
            event,
            payload=self.caller.sees_payload(event.queue),
            result=self.caller.sees_result(event.queue),
        )
        return documents.Event.of(seen)

    def visible_case(self, case: Case) -> Case:
        """Return a case without what the caller may not see of its tasks."""
        return msgspec.structs.replace(case, tasks=[self.visible(task) for task in case.tasks])

    def visible(self, record: TaskRecord) -> TaskRecord:
        """Return a task without what the caller may not see of it."""
        return self.house.redactor.visible(
            record,
            payload=self.caller.sees_payload(record.queue),
            result=self.caller.sees_result(record.queue),
        )

    def visible_message(self, message: Undelivered) -> Undelivered:
        """Return an undelivered message as the caller may see it."""
        return message.visible(self.house.redactor)

    @asynccontextmanager
    async def while_there(self, *, stopping: bool = True) -> AsyncGenerator[None]:
        """Leave what is inside when the caller has gone, or the process is about to end.

        Args:
            stopping: Whether the latter matters; not to what notices by itself.

        Raises:
            AccessError: If the caller is no longer let in.
        """
        failure: HMSError | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._until_gone, group.cancel_scope, name="caller-gone")
            group.start_soon(self._until_refused, group.cancel_scope, name="caller-refused")
            if stopping:
                group.start_soon(self._until_stopping, group.cancel_scope, name="api-stopping")
            try:
                yield
            except HMSError as error:
                failure = error  # the group would wrap it
            group.cancel_scope.cancel()
        if failure := failure or self._refused:
            raise failure

    async def check(self) -> None:
        """Make sure that the caller is still let in, as far as anybody can say.

        Raises:
            AccessError: If not.
        """
        with suppress(StoreError):
            await self.house.check(self.request)

    async def _until_refused(self, scope: CancelScope) -> None:
        while self._refused is None:
            await anyio.sleep(CHECKED_EACH_S)
            try:
                await self.check()
            except AccessError as error:
                self._refused = error
        scope.cancel()

    async def _until_gone(self, scope: CancelScope) -> None:
        while (await self.request.receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        scope.cancel()

    async def _until_stopping(self, scope: CancelScope) -> None:
        await self.stopping.wait()
        scope.cancel()

    @property
    def trace(self) -> TraceContext | None:
        """The caller's trace, where no span of the request carries it on: FastAPI makes one."""
        return None if otel.spans(self.oms.url) else read_trace(self.request.headers)

    @property
    def actor(self) -> Actor:
        """Who acts here, for the audit."""
        return Actor(self.caller.name, "rest")


def needs(permission: Permission, kind: type[Visit] = Visit) -> Any:
    """Return the dependency that lets in who has a permission, and gives their visit.

    Args:
        permission: Which.
        kind: What kind of visit it is.
    """

    async def admit(request: Request) -> Visit:
        house: House = request.app.state.house
        kind.recognise(request)
        caller = await house.admit(request)
        if not caller.may(permission):
            raise Forbidden(caller.name, permission)
        return kind(request, caller, permission)

    setattr(admit, NEEDS, permission)
    return Depends(admit)


Enqueuing = Annotated[Visit, needs(Permission.ENQUEUE)]
Waiting = Annotated[Visit, needs(Permission.WAIT)]
Working = Annotated[Visit, needs(Permission.WORK)]
Viewing = Annotated[Visit, needs(Permission.VIEW)]
Operating = Annotated[Visit, needs(Permission.OPERATE)]
Administering = Annotated[Visit, needs(Permission.ADMINISTER)]


def needed_by(dependency: Callable[..., Awaitable[Any]]) -> Permission | None:
    """Return the permission that a dependency asks for, if it is one of ours."""
    return cast("Permission | None", getattr(dependency, NEEDS, None))
