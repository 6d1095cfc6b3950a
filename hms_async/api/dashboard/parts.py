"""Parts of pages: built once for all who may see the same, and shared while nothing changes."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import anyio
import msgspec
from markupsafe import Markup
from starlette.responses import Response

from hms_async.api.dashboard import render
from hms_async.api.dashboard.entry import Look
from hms_async.api.dashboard.hub import Hub

MOST_KEPT: Final = 200
ONLY_THE_PART: Final = "x-part"
"""The header of a script that keeps a page fresh: it wants the part without the frame."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The inner part of a page.

    Attributes:
        title: What the tab says.
        main: Its HTML.
        status: That of the response.
    """

    title: str
    main: Markup
    status: int = 200

    @classmethod
    def of(cls, template: str, *, title: str, **about: Any) -> "Part":
        """Return the part that a template makes."""
        return cls(title=title, main=render.part(template, title=title, **about))


Build = Callable[[], Awaitable[Part]]


class _Kept:
    def __init__(self) -> None:
        self.building = anyio.Lock()
        self.versions: tuple[int, ...] | None = None
        self.part: Part | None = None


class Parts:
    """The parts that were built last.

    Args:
        hub: Knows whether anything has changed since.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._kept: OrderedDict[object, _Kept] = OrderedDict()

    async def get(self, look: Look, topics: Sequence[str], build: Build) -> Part:
        """Return a part, built anew only if something has changed, or if nobody watches."""
        if self._hub.versions(topics) is None:
            return await build()
        key = (str(look.request.url), look.rights)
        kept = self._kept.setdefault(key, _Kept())
        self._kept.move_to_end(key)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        async with kept.building:
            versions = self._hub.versions(topics)
            if kept.part is None or kept.versions is None or kept.versions != versions:
                kept.part = await build()
                kept.versions = versions
            return kept.part


async def show(look: Look, topics: Sequence[str], build: Build) -> Response:
    """Return a page about some topics, or its part alone to the script that keeps it fresh."""
    parts: Parts = look.request.app.state.parts
    part = await parts.get(look, topics, build)
    if look.request.headers.get(ONLY_THE_PART):
        return render.html(part.main, part.status)
    return render.framed(
        look.request,
        part.main,
        title=part.title,
        status=part.status,
        caller=look.caller,
        topics=topics,
        wall="wall" in look.request.query_params,
    )
