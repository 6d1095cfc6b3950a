"""How a queue's promise stands: its incidents, its misses, and what a forecast is made from."""

from contextlib import suppress
from math import inf
from typing import Any, NamedTuple

import msgspec

from hms_async.domain.audit import Actor
from hms_async.domain.forecast import Forecast, is_news, predict
from hms_async.domain.incident import KINDS, Incident, Kind
from hms_async.domain.queue import ALPHABET
from hms_async.storage.audit import as_args
from hms_async.storage.server import Server

SAMPLE = 17
_MOST_MISSES = 1_000


class Backlog(msgspec.Struct, frozen=True):
    """What a forecast is made from.

    Attributes:
        now_ms: The server's clock.
        paused: Whether the queue is.
        stopped: Whether its clock stands still.
        waiting: Tasks in its lanes.
        running: Tasks under a lease.
        served_per_s: How many tasks ended in a second while others waited; `None` when unknown.
        sample: Of some waiting tasks, in the order in which they will be taken, how many go
            before, and when they are due, if they are.
        told: What supervisors last told of the queue's future, for `tell_forecast`.
    """

    now_ms: int
    paused: bool
    stopped: bool
    waiting: int
    running: int
    served_per_s: float | None
    sample: list[tuple[int, int | None]]
    told: str

    def predict(self) -> Forecast:
        """Return what will become of the tasks that wait."""
        if self.stopped:
            # Nothing comes due while the clock stands still.
            return Forecast(at_ms=self.now_ms, confidence="paused", misses=0, drain_ms=inf)
        return predict(
            now_ms=self.now_ms,
            waiting=self.waiting,
            running=self.running,
            served_per_s=self.served_per_s,
            sample=self.sample,
            paused=self.paused,
        )

    def is_news(self, forecast: Forecast) -> bool:
        """Whether a forecast is worth a word after what was told last."""
        try:
            told = msgspec.json.decode(self.told, type=Forecast) if self.told else None
        except msgspec.DecodeError:  # a newer release's, or a foreign hand's
            told = None
        return is_news(told, forecast)


_ENOUGH_ENDS = 5
_WATCHED_LONG_MS = 300_000.0


def _served_per_s(served: float, over_ms: float, *, running: int) -> float | None:
    """Return a rate, once there is enough to tell one from chance: a few ends, or a long watch.

    That nothing has ended for long says nothing while something runs: tasks may be long.
    """
    if served >= _ENOUGH_ENDS or (over_ms >= _WATCHED_LONG_MS and (served >= 1 or not running)):
        return served * 1_000 / over_ms
    return None


async def read_backlog(server: Server, queue: str) -> Backlog:
    """Return what is known of a queue's backlog.

    Raises:
        QueueNotFound: If nobody created the queue.
    """
    return to_backlog(await server.run("forecast", queue, SAMPLE))


def to_backlog(reply: list[Any]) -> Backlog:
    """Read the reply of `forecast`."""
    now_ms, paused, waiting, running, served, over_ms, flat, told, stopped = reply
    return Backlog(
        now_ms=now_ms,
        paused=paused == 1,
        waiting=waiting,
        running=running,
        stopped=stopped == 1,
        served_per_s=_served_per_s(float(served), float(over_ms), running=running),
        sample=[
            (position, None if due == b"" else int(due))
            for position, due in zip(flat[::2], flat[1::2], strict=True)
        ],
        told=told.decode(errors="replace"),
    )


async def read_incidents(server: Server, queue: str) -> list[Incident]:
    """Return the last incident of each kind that a queue has had."""
    async with server.pipeline() as pipe:
        for kind in KINDS:
            pipe.hgetall(server.keys.part(queue, f"incident:{kind}"))
        records: list[Any] = await pipe.execute(raise_on_error=False)
    found = (read_incident(queue, record) for record in records)
    return [incident for incident in found if incident is not None]


def read_incident(queue: str, record: Any) -> Incident | None:
    """Return an incident from its stored record; `None` for none, or one of a foreign hand's."""
    if not record or isinstance(record, Exception):
        return None
    fields = {key.decode(): value.decode(errors="replace") for key, value in record.items()}
    with suppress(LookupError, ValueError):
        return Incident.read(queue, fields)
    return None  # the next raise writes it anew


class Miss(NamedTuple):
    """A task that broke its promise, as its end noted it.

    Attributes:
        id: The task.
        late_ms: By how much; 0 for one that expired before it was due.
        ended_ms: When.
    """

    id: str
    late_ms: int
    ended_ms: int


async def read_misses(server: Server, queue: str, since_ms: int) -> list[Miss]:
    """Return those of the latest 1,000 misses of a queue that are no older, the worst first."""
    key = server.keys.part(queue, "missed")
    async with server.pipeline() as pipe:
        pipe.zrangebyscore(key, since_ms, "+inf", start=0, num=_MOST_MISSES, withscores=True)
        (found,) = await pipe.execute(raise_on_error=False)
    if isinstance(found, Exception):  # a foreign hand has made something else of it
        return []
    entries: list[tuple[bytes, float]] = found
    misses: list[Miss] = []
    for member, ended_ms in entries:
        late, _, task_id = member.decode(errors="replace").partition(":")
        if late.isdecimal() and ALPHABET.fullmatch(task_id):
            misses.append(Miss(task_id, int(late), int(ended_ms)))
    return sorted(misses, key=lambda miss: miss.late_ms, reverse=True)


async def acknowledge(server: Server, queue: str, kind: Kind, *, by: Actor) -> str:
    """Say that somebody is at an incident: `ok`, `already`, or `none` when none is open."""
    who, via, reason = as_args(by)
    reply: bytes = await server.run("acknowledge", queue, kind, who, reason, via)
    return reply.decode()


async def tell_forecast(server: Server, queue: str, told: str, forecast: Forecast) -> bool:
    """Tell of a forecast that has changed; False when another supervisor has done so.

    Args:
        server: Where the queue is.
        queue: The queue.
        told: What was told last, as `read_backlog` gave it.
        forecast: What is told now.
    """
    now = msgspec.json.encode(forecast)
    first, slots = forecast.first_miss_ms, forecast.slots_wanted
    reply = await server.run(
        "tell_forecast",
        queue,
        told,
        now,
        forecast.misses or 0,
        "" if first is None else first,
        "" if slots is None else slots,
    )
    return bool(reply == b"ok")
