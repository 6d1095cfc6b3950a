"""Who looks at a page: signed in with a token, which a cookie brings along."""

import secrets
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import parse_qs

from fastapi import Request
from starlette.responses import Response

from hms_async.api.dashboard.standing import serving
from hms_async.api.dashboard.topics import OVERVIEW
from hms_async.api.visit import Visit, needs
from hms_async.domain.access import Permission, Principal
from hms_async.domain.audit import Actor
from hms_async.domain.series import Series
from hms_async.domain.task import TaskPage, TaskState
from hms_async.domain.worker import WorkerCard
from hms_async.errors import FormStale
from hms_async.runtime.board import Standing

if TYPE_CHECKING:
    from hms_async.api.dashboard.hub import Hub
    from hms_async.api.dashboard.standing import Look as AllQueues
    from hms_async.api.dashboard.standing import Standings

SIGNED_IN: Final = "hms_signed_in"
FORM_KEY: Final = "hms_form_key"
_MOST_PAGES: Final = 25
_SESSION_S: Final = 12 * 3600


class Look(Visit):
    """A look at a page by somebody who may."""

    def __init__(self, request: Request, caller: Principal, permission: Permission) -> None:
        super().__init__(request, caller, permission)
        request.state.caller = caller  # for the frame of a page that then cannot be shown

    @classmethod
    def recognise(cls, request: Request) -> None:
        """Let the cookie say who it is, if they have signed in."""
        if token := request.cookies.get(SIGNED_IN):
            request.state.signed_in = f"Bearer {token}"

    @property
    def actor(self) -> Actor:
        """Who acts here, for the audit."""
        return Actor(self.caller.name, "dashboard")

    @property
    def base(self) -> str:
        """What the paths of pages begin with."""
        return str(self.request.scope.get("root_path", ""))

    @property
    def rest_url(self) -> str:
        """Where the REST API is, for whoever copies a command."""
        url = self.request.url
        return f"{url.scheme}://{url.netloc}{self.base.removesuffix('/ui')}"

    @property
    def rights(self) -> object:
        """What decides what they see: those with the same rights share the parts of pages."""
        return self.caller.permissions, self.caller.queues

    async def all_queues(self) -> "AllQueues":
        """Return how all queues stand, as of this second.

        Raises:
            StoreError: If the store cannot be asked.
        """
        return await self._standings.get(self.oms)

    async def standing(self, queue: str) -> Standing:
        """Return how a queue stands now.

        Raises:
            QueueNotFound: If nobody created it.
            StoreError: If the store cannot be asked.
        """
        return await self._standings.one(self.oms, queue)

    async def series(self, queue: str, since: str) -> Series:
        """Return a queue over time, at most ten seconds old.

        Raises:
            QueueNotFound: If nobody created it.
            StoreError: If the store cannot be asked.
        """
        return await self._standings.series(self.oms, queue, since)

    async def workers(self, queue: str) -> list[WorkerCard]:
        """Return the workers that serve a queue, as of this second.

        Raises:
            StoreError: If the store cannot be asked.
        """
        return serving(await self._standings.workers(self.oms), queue)

    @property
    def _standings(self) -> "Standings":
        standings: Standings = self.request.app.state.standings
        return standings

    async def tasks(
        self, queue: str, state: TaskState, cursor: str | None = None, *, limit: int
    ) -> TaskPage:
        """Return a page of tasks as they may be seen, with at least one in it if there are any.

        What was cancelled leaves entries in its lane until a worker comes by; a page of the store
        may consist of those alone.

        Raises:
            ConfigInvalid: If the cursor is not valid.
            QueueNotFound: If nobody created the queue.
        """
        page = TaskPage([], cursor)
        for _ in range(_MOST_PAGES):
            page = await self.oms.list_tasks(queue, state, page.cursor, limit=limit)
            if page.tasks or page.cursor is None:
                break
        return TaskPage([self.visible(task) for task in page.tasks], page.cursor)

    def done(self, *topics: str) -> None:
        """Say that something was done about some topics: whoever comes next is to see it."""
        hub: Hub = self.request.app.state.hub
        for topic in topics:
            hub.touch(topic)
        self._standings.forget()
        hub.touch(OVERVIEW)

    @property
    def can_operate(self) -> bool:
        """Whether they may act on anything at all."""
        return self.caller.may(Permission.OPERATE)


Looking = Annotated[Look, needs(Permission.VIEW, Look)]
Administering = Annotated[Look, needs(Permission.ADMINISTER, Look)]
Acting = Annotated[Look, needs(Permission.OPERATE, Look)]
Enqueuing = Annotated[Look, needs(Permission.ENQUEUE, Look)]


class Form:
    """What a browser sent with a form."""

    def __init__(self, body: bytes) -> None:
        self._fields = parse_qs(body.decode(errors="replace"), keep_blank_values=True)

    @classmethod
    async def read(cls, request: Request) -> "Form":
        """Return the form of a request."""
        return cls(await request.body())

    def get(self, name: str, default: str = "") -> str:
        """Return a field; the first of several."""
        return self._fields.get(name, [default])[0]

    def all(self, name: str) -> list[str]:
        """Return all fields of that name."""
        return self._fields.get(name, [])


def sign_in(request: Request, response: Response, token: str) -> None:
    """Let a browser bring a token along from now on; scripts of pages cannot read it."""
    _set(request, response, SIGNED_IN, token)


def sign_out(request: Request, response: Response) -> None:
    """Let it forget the token."""
    response.delete_cookie(SIGNED_IN, path=_path(request))


def form_key(request: Request) -> str:
    """Return what a form of this browser has to bring back: its cookie's, or a new one."""
    known = request.cookies.get(FORM_KEY, "")
    return known if known.isalnum() else secrets.token_hex(16)


def keep_form_key(request: Request, response: Response, key: str) -> None:
    """Let the browser bring the key along, too."""
    _set(request, response, FORM_KEY, key)


def check_form(request: Request, form: Form) -> None:
    """Make sure that a form was on a page of ours: no other page can read the cookie.

    Raises:
        FormStale: If it was not.
    """
    known = request.cookies.get(FORM_KEY, "")
    given = form.get("key")
    if not known or not secrets.compare_digest(known.encode(), given.encode()):
        raise FormStale("this form is from another page, or too old: open the page again")


def _path(request: Request) -> str:
    return str(request.scope.get("root_path", "")) or "/"


def _set(request: Request, response: Response, name: str, value: str) -> None:
    response.set_cookie(
        name,
        value,
        max_age=_SESSION_S,
        path=_path(request),
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
