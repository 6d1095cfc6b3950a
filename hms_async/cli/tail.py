"""`hms tail`: what happens in all queues, or some, a line each."""

import os
import select
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import anyio
import click
from anyio.abc import ObjectSendStream

from hms_async.cli import options, show
from hms_async.cli.happenings import as_json, as_line, at_ms
from hms_async.cli.session import ask, until_interrupted
from hms_async.client import AsyncOMSClient
from hms_async.domain.event import GAP, Event, check_type
from hms_async.errors import QueueNotFound, StoreUnavailable
from hms_async.storage.store import EVENTS_KEPT_MS

MOST_QUEUES: Final = 100
"""Each that is followed takes a connection."""

_LOOK_AGAIN_S: Final = 2.0
_LOOK_FOR_READER_S: Final = 0.5
_AT_ONCE: Final = 500
_NAMED: Final = 5
_ALL_KEPT: Final = "0-0"


def _kinds(_: click.Context, __: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    kinds = (kind.strip() for word in words for kind in word.split(","))
    return tuple(check_type(kind) for kind in kinds if kind)


@click.command(cls=options.Command)
@options.only_queues
@click.option(
    "--state",
    "kinds",
    multiple=True,
    metavar="KIND,...",
    callback=_kinds,
    help='Only done, failed, retrying, ...; one that ends in a dot is a family: "sla.".',
)
@click.option("--corr", metavar="ID", help="Only a case.")
@click.option(
    "--after",
    metavar="EVENT",
    help="From an event on, by its id; 0-0 for all that are kept, about an hour.",
)
@options.store
@options.output
def tail(
    *,
    queues: tuple[str, ...],
    kinds: tuple[str, ...],
    corr: str | None,
    after: str | None,
    url: str | None,
    namespace: str,
    output: options.Output,
) -> None:
    """Print what happens, one event a line, until Ctrl-C.

    With -o json each line is one JSON object; the id of the last one goes on from there with
    --after. While the server is away it waits, and then goes on where it was. With several queues
    an id stands for its instant. It follows 100 queues at the most and says which it leaves out.
    """

    def tell(event: Event) -> None:
        if corr is not None and event.correlation_id != corr and event.type != GAP:
            return
        print(as_json(event, "event") if output == "json" else as_line(event), flush=True)  # noqa: T201  # it must not swallow a closed pipe

    async def work(oms: AsyncOMSClient) -> None:
        for name in queues:
            await oms.get_queue(name)
        await Tail(oms, queues, kinds, after).run(tell)

    with until_interrupted():
        ask(url, namespace, work)


class Tail:
    """Follows queues, new ones too if none were named.

    Args:
        oms: The client.
        queues: Which; all if empty.
        kinds: Only events of these types, if any are given.
        after: The id of an event to go on from.
    """

    def __init__(
        self,
        oms: AsyncOMSClient,
        queues: tuple[str, ...],
        kinds: tuple[str, ...],
        after: str | None,
    ) -> None:
        self._oms = oms
        self._queues: tuple[str, ...] = queues
        self._kinds = kinds or None
        self._after = after
        self._followed: set[str] = set()
        self._left_out: set[str] = set()

    async def run(self, tell: Callable[[Event], None]) -> None:
        """Tell of events as they come, until nobody reads any more, or there is no queue left."""
        send, receive = anyio.create_memory_object_stream[Event](_AT_ONCE)
        async with send, receive, anyio.create_task_group() as group:
            group.start_soon(self._follow_all, send, name="tail-queues")
            group.start_soon(_until_nobody_reads, group.cancel_scope, name="tail-reader")
            async for event in receive:
                try:
                    tell(event)
                except BrokenPipeError:
                    _let_go_of_stdout()
                    break
            group.cancel_scope.cancel()

    async def _follow_all(self, send: ObjectSendStream[Event]) -> None:
        after = self._after
        async with send, anyio.create_task_group() as group:
            while True:
                for name in self._new(self._queues or await self._all()):
                    group.start_soon(self._follow, name, after, send, name=f"tail-{name}")
                # One that is created later is told of from its beginning.
                after = _ALL_KEPT
                if self._queues:
                    return
                await anyio.sleep(_LOOK_AGAIN_S)

    def _new(self, names: tuple[str, ...]) -> list[str]:
        """Return which of these are to be followed from now on, and say which cannot be."""
        known = self._followed | self._left_out
        new = [name for name in names if name not in known]
        room = MOST_QUEUES - len(self._followed)
        taken, left = new[:room], new[room:]
        self._followed.update(taken)
        self._left_out.update(left)
        if left:
            more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
            show.warn(
                f"{MOST_QUEUES} queues are followed at the most, so nothing is told of "
                f"{', '.join(left[:_NAMED])}{more}: name those you want, -Q"
            )
        return taken

    async def _all(self) -> tuple[str, ...]:
        try:
            return tuple(await self._oms.list_queues())
        except StoreUnavailable:  # it is waited for, as those who follow do
            return ()

    async def _follow(self, queue: str, after: str | None, send: ObjectSendStream[Event]) -> None:
        try:
            async for event in self._oms.events(queue, after=after, types=self._kinds):
                if event.type != GAP or event.id != after or self._is_missing(event):
                    await send.send(event)
        except QueueNotFound:
            show.say(f"queue {queue} was removed")
        self._followed.discard(queue)

    def _is_missing(self, gap: Event) -> bool:
        """Tell whether a gap is one: the event to go on from may be another queue's."""
        return self._queues == (gap.queue,) or show.now_ms() - at_ms(gap) >= EVENTS_KEPT_MS


async def _until_nobody_reads(scope: anyio.CancelScope) -> None:
    """End a tail whose reader has gone, without waiting for the next event to find out."""
    poll = select.poll()
    with suppress(OSError, ValueError):
        poll.register(sys.stdout.fileno(), 0)
        while not poll.poll(0):  # noqa: ASYNC110  # nothing tells
            await anyio.sleep(_LOOK_FOR_READER_S)
        _let_go_of_stdout()
        scope.cancel()


def _let_go_of_stdout() -> None:
    """Let what is left in stdout's buffer go nowhere, so that the end of Python does not fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
