"""The demo's course of events."""

import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Final

import anyio
import click
from anyio import to_thread
from rich.console import Console

from hms_async import (
    AsyncOMSClient,
    HMSError,
    NewTask,
    QueueStats,
    RetryPolicy,
    TaskRecord,
    TaskState,
)
from hms_async.cli.passport import hints, journal, report
from hms_async.cli.passport.crew import QUEUE, SLOTS, Clerk, Crew
from hms_async.cli.passport.photos import Upload, write_photos
from hms_async.cli.passport.place import Place, opened
from hms_async.cli.passport.report import Report, many
from hms_async.cli.passport.screen import Screen
from hms_async.storage.connect import redact
from hms_async.storage.embedded import server_name
from hms_async.storage.store import Store

_PROMISE: Final = "30s"
_LEASE: Final = "3s"
_RETRY: Final = RetryPolicy(max_attempts=5, base="200ms", cap="2s")
_LIMIT_S, _LIMIT_S_PER_TASK, _USUAL = 35.0, 0.1, 300
_TICK_S = 0.05
_PAGE = 500
_WORDS = {
    "jpeg": "JPEG",
    "png": "PNG named .jpg",
    "truncated": "cut off",
    "outage": "whose face service is away twice",
}


def run(tasks: int, *, keep: bool, url: str | None) -> int:
    """Play it once, and return the exit code: 0 when nothing is lost."""
    return anyio.run(_run, tasks, keep, url)


async def _run(tasks: int, keep: bool, url: str | None) -> int:  # noqa: FBT001  # called by anyio.run
    code, problem, caught = 1, None, list[int]()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    # The receiver stays while we clean up: a second Ctrl-C must not leave half of it behind.
    with anyio.open_signal_receiver(*heard) as signals:
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                async for number in signals:
                    caught.append(number)
                    group.cancel_scope.cancel()

            group.start_soon(watch, name="signals")
            try:
                async with opened(url) as place:
                    code = await _Play(tasks, place).show(keep=keep)
            except (HMSError, SystemExit) as error:  # rich exits when nobody reads any more
                problem = error  # raised below, as a group would wrap it
            group.cancel_scope.cancel()
    if caught:
        click.echo("\nStopped. Its processes and files are gone.", err=True)
        return 128 + caught[0]
    if problem is not None:
        raise problem
    return code


class _Fallen(Exception):
    """A worker ended although nobody had asked it to."""


class _Play:
    """One run of the demo."""

    def __init__(self, tasks: int, place: Place) -> None:
        self._tasks = tasks
        self._place = place
        self._screen = Screen(Console())
        self._began = time.time()
        self._crew = Crew(place.folder, place.url, place.namespace)
        self._accepted: dict[str, str] = {}  # each task's request, by id
        # REQ-123 of 300: the worker that has Sam's photo is killed in the middle of the night.
        self._sam_number = max(round(tasks * 0.41), 1)
        self._sam = ""
        self._killed: list[tuple[float, str, str]] = []
        self._rescued = 0

    async def show(self, *, keep: bool) -> int:
        """Run from the first photo to the summary, and return the exit code."""
        others = f", as one of {self._tasks} tonight" if self._tasks > 1 else ""
        self._screen.say(f"It is 10 p.m. Sam asks for a new passport{others}.", "bold")
        self._screen.say()
        limit_s = _LIMIT_S + max(self._tasks - _USUAL, 0) * _LIMIT_S_PER_TASK
        try:
            # With a store of its own, as a namespace of the user's shell has no place here.
            store = Store(self._place.url, namespace=self._place.namespace)
            async with store, AsyncOMSClient(store=store) as oms:
                await self._open(oms)
                with anyio.move_on_after(limit_s - self._screen.elapsed) as limit, self._screen:
                    await self._work(oms)
                if limit.cancelled_caught:
                    self._screen.event("the time is over: this is how far it came", "bold red")
                await self._crew.stop()
                records = [record async for record in self._records(oms)]
        except _Fallen as fallen:
            self._screen.say(str(fallen), "bold red")
            return self._failed()
        finally:
            with anyio.CancelScope(shield=True):
                await self._crew.stop()
        found = report.count(self._accepted, journal.read(self._crew.journal), records)
        self._tell(found)
        if keep:
            self._keep()
        return 0 if found.well else self._failed()

    async def _open(self, oms: AsyncOMSClient) -> None:
        """Have a queue, workers, photos, and a task for each of them."""
        place, screen = self._place, self._screen
        name = await to_thread.run_sync(server_name, place.url)
        own = ", for this demo only" if place.server else f", namespace {place.namespace}"
        screen.fact("server", f"{name} at {redact(place.url)}{own}")
        await oms.create_queue(QUEUE, sla=_PROMISE, lease=_LEASE, retry=_RETRY)
        promise = f"promise {_PROMISE}, lease {_LEASE}, up to {_RETRY.max_attempts} attempts"
        screen.fact("queue", f"{QUEUE}: {promise}")
        clerks = [await self._crew.hire() for _ in range(2)]
        uploads = await to_thread.run_sync(self._take_photos)
        screen.fact("photos", _described(uploads))
        sam = await self._enqueue(oms, uploads)
        screen.fact("tasks", f"{len(self._accepted)} accepted; Sam's is {sam}")
        screen.fact("workers", f"{' and '.join(map(_called, clerks))}, {SLOTS} slots each")
        screen.say()

    def _take_photos(self) -> list[Upload]:
        return write_photos(self._place.folder / "photos", self._tasks, sam=self._sam_number)

    async def _enqueue(self, oms: AsyncOMSClient, uploads: Sequence[Upload]) -> str:
        tasks = [
            NewTask({"file": str(one.file), "outages": one.outages}, correlation_id=one.request)
            for one in uploads
        ]
        for upload, enqueued in zip(uploads, await oms.enqueue_many(QUEUE, tasks), strict=True):
            self._accepted[enqueued.id] = upload.request
        self._sam = list(self._accepted)[self._sam_number - 1]
        return self._accepted[self._sam]

    async def _work(self, oms: AsyncOMSClient) -> None:
        """Let them work, kill the one that has Sam's photo, and see it through."""
        held = 0
        while await self._look(oms) < self._tasks:
            if not held and (record := await self._victim(oms)):
                held = await self._kill(oms, record)
            else:
                await anyio.sleep(_TICK_S)
        self._screen.event(f"{self._tasks} of {many(self._tasks, 'task')} ended")

    async def _look(self, oms: AsyncOMSClient) -> int:
        """Show how far it is, and return how many tasks have ended."""
        if fallen := self._crew.fallen():
            raise _Fallen(f"{_called(fallen)} ended, and nobody had asked it to.")
        stats = await oms.stats(QUEUE)
        rescued = stats.totals.get("rescued", 0)
        if rescued > self._rescued:
            number = many(rescued - self._rescued, "task")
            self._screen.event(f"ACT rescues {number} whose lease has run out", "green")
            self._rescued = rescued
        if stats.ended < self._tasks:
            self._screen.progress(stats.ended, self._tasks, _rest(stats))
        return stats.ended

    async def _victim(self, oms: AsyncOMSClient) -> TaskRecord | None:
        """Return Sam's task while somebody has it; when that is over, any that somebody has."""
        sam = await oms.get_task(self._sam)
        if sam.state.ended:
            return next(iter(await self._held(oms)), None)
        return sam if sam.state is TaskState.IN_PROGRESS else None

    async def _kill(self, oms: AsyncOMSClient, record: TaskRecord) -> int:
        """Kill who has a task, start another worker, and return how many the dead one held."""
        victim = self._crew.named(record.worker)
        if victim is None:
            return 0
        photo = "Sam's photo" if record.id == self._sam else self._accepted[record.id]
        self._screen.event(f"{_called(victim)} has {photo} on the desk", "bold")
        await victim.kill()
        self._killed.append((time.time(), victim.name, f"kill -9 {victim.pid}"))
        # Whatever it had settled is settled; what it still holds, it can never let go of.
        held = [record for record in await self._held(oms) if record.worker == victim.name]
        requests = " ".join(sorted(self._accepted[record.id] for record in held))
        self._screen.event(f"kill -9 {victim.pid}", "bold red")
        self._screen.event(f"the store says that it holds {many(len(held), 'task')}: {requests}")
        self._screen.event(f"{_called(await self._crew.hire())} comes in")
        return len(held)

    async def _held(self, oms: AsyncOMSClient) -> list[TaskRecord]:
        page = await oms.list_tasks(QUEUE, TaskState.IN_PROGRESS, limit=_PAGE)
        return [record for record in page.tasks if record.id in self._accepted]

    async def _records(self, oms: AsyncOMSClient) -> AsyncIterator[TaskRecord]:
        for state in TaskState:
            cursor, more = None, True
            while more:
                page = await oms.list_tasks(QUEUE, state, cursor, limit=_PAGE)
                for record in page.tasks:
                    yield record
                cursor, more = page.cursor, page.cursor is not None

    def _tell(self, found: Report) -> None:
        """Tell Sam's story, then everybody's."""
        screen = self._screen
        screen.say()
        screen.say("Sam's photo, in the workers' logs:", "bold")
        logs = [clerk.log for clerk in self._crew.clerks]
        request = self._accepted[self._sam]
        for at, name, line in hints.journey(request, logs, self._killed):
            style = "bold red" if line.startswith("kill") else ""
            screen.event(f"{name}   {line}", style, at=at - self._began)
        screen.say()
        for label, number, remark in found.rows():
            screen.row(label, number, remark, _style(label, number))
        for label, text in found.figures(_PROMISE):
            screen.fact(label, text)
        screen.say()
        if found.well:
            screen.say(f"Nothing was lost, in {screen.elapsed:.1f} s.", "bold green")

    def _keep(self) -> None:
        self._place.keep_files = self._place.keep_server = True
        self._screen.say()
        for label, text in hints.how_to_look(self._place, self._sam):
            self._screen.fact(label, text)

    def _failed(self) -> int:
        """Show what the workers said last, and leave the files for whoever looks into it."""
        self._place.keep_files = True
        for clerk in self._crew.clerks:
            self._screen.say(f"The last lines of {clerk.log}:", "bold")
            for line in clerk.tail():
                self._screen.say(f"  {line}")
        self._screen.say(f"Not all is well. The files stay in {self._place.folder}", "bold red")
        return 1


def _described(uploads: Sequence[Upload]) -> str:
    kinds = Counter[str](upload.kind for upload in uploads)
    parts = ", ".join(f"{kinds[kind]} {words}" for kind, words in _WORDS.items() if kinds[kind])
    return f"{many(len(uploads), 'file')}: {parts}"


def _called(clerk: Clerk) -> str:
    return f"{clerk.name} (pid {clerk.pid})"


def _rest(stats: QueueStats) -> str:
    parts = {
        "waiting": stats.waiting,
        "in progress": stats.in_progress,
        "retrying": stats.retrying,
    }
    return ", ".join(f"{number} {word}" for word, number in parts.items() if number)


def _style(label: str, number: str) -> str:
    if label in {"lost", "unfinished", "disputed"}:
        return "bold green" if number == "0" else "bold red"
    return ""
