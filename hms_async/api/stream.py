"""A stream of server-sent events over several queues, which can be taken up where it broke off."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

import anyio
import msgspec
from anyio.abc import ObjectSendStream
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hms_async.api.visit import Visit
from hms_async.domain.event import Event
from hms_async.errors import AccessError, HMSError
from hms_async.storage.events import check_place
from hms_async.telemetry.logs import get_logger

log = get_logger("hms_async.api")

PING_S: Final = 15.0
_RETRY: Final = b"retry: 3000\n\n"
_FAREWELL: Final = b"event: bye\ndata: {}\n\n"
_BUFFERED: Final = 100


class Places:
    """How far a reader has come in each queue; as text, the id of an event in such a stream.

    With one queue the event's own id; with several `<queue>=<id>` for each, joined by commas.
    """

    def __init__(self, places: dict[str, str | None]) -> None:
        self._places = places

    @classmethod
    def read(cls, queues: Sequence[str], text: str | None) -> "Places | None":
        """Return the places that an id stands for; `None` if it is not of these queues.

        Raises:
            ConfigInvalid: If it is no id at all.
        """
        if text is None:
            return cls(dict.fromkeys(queues))
        for place in text.split(","):
            check_place(place.partition("=")[2] or place)
        if "=" not in text:
            # An id of one queue says nothing of the others, but that they are read from anywhere.
            return cls(dict.fromkeys(queues, text)) if len(queues) == 1 or text == "0-0" else None
        pairs = [part.partition("=") for part in text.split(",")]
        found = {queue: place for queue, _, place in pairs}
        if not found.keys() <= set(queues):
            return None
        return cls({queue: found.get(queue) for queue in queues})

    def items(self) -> Iterable[tuple[str, str | None]]:
        """Return each queue with the id of the last event seen."""
        return list(self._places.items())

    def pass_by(self, event: Event) -> str:
        """Note that an event is told; returns the id that it has in this stream."""
        self._places[event.queue] = event.id
        if len(self._places) == 1:
            return event.id
        return ",".join(f"{queue}={place}" for queue, place in self._places.items() if place)


class Stream(Response):
    """Server-sent events, until the reader goes, is refused, or the process is about to end."""

    def __init__(self, visit: Visit) -> None:
        super().__init__(media_type="text/event-stream")
        del self.headers["content-length"]
        self.headers["X-Accel-Buffering"] = "no"  # a proxy must not collect them
        self._visit = visit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head, then what there is to tell as it comes."""
        del scope, receive  # the visit has both
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        await say(send, _RETRY)
        self._visit.house.streams += 1
        try:
            with suppress(AccessError):  # who comes again is told
                async with self._visit.while_there():
                    await self.tell(send)
        finally:
            self._visit.house.streams -= 1
        if not self._visit.gone:
            await send({"type": "http.response.body", "body": _FAREWELL, "more_body": False})

    async def tell(self, send: Send) -> None:
        """Tell what there is to tell, until cancelled."""
        raise NotImplementedError


class EventStream(Stream):
    """What happens to some queues and their tasks."""

    def __init__(self, visit: Visit, places: Places, types: Sequence[str] | None) -> None:
        super().__init__(visit)
        self._places = places
        self._types = types

    async def tell(self, send: Send) -> None:
        """Tell events as they come."""
        sender, receiver = anyio.create_memory_object_stream[Event](_BUFFERED)
        async with anyio.create_task_group() as group, sender, receiver:
            for queue, after in self._places.items():
                group.start_soon(self._follow, queue, after, sender, name=f"events-{queue}")
            while True:
                event: Event | None = None
                with anyio.move_on_after(PING_S):
                    event = await receiver.receive()
                if event is None:
                    await say(send, b": ping\n\n")
                else:
                    await say(send, self._written(event))

    async def _follow(self, queue: str, after: str | None, sender: ObjectSendStream[Event]) -> None:
        try:
            async for event in self._visit.oms.events(queue, after=after, types=self._types):
                await sender.send(event)
        except HMSError as error:  # the queue was removed, or a right taken away
            log.warning("api.events_ended", queue=queue, error=str(error))

    def _written(self, event: Event) -> bytes:
        data = msgspec.json.encode(self._visit.show_event(event))
        place = self._places.pass_by(event)
        return f"id: {place}\nevent: {event.type}\ndata: ".encode() + data + b"\n\n"


async def say(send: Send, data: bytes) -> None:
    """Send a part of a stream."""
    await send({"type": "http.response.body", "body": data, "more_body": True})
