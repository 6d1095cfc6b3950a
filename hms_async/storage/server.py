"""A connection to the server: how scripts and commands are sent."""

import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self, cast

from anyio import CancelScope
from redis.exceptions import NoScriptError

from hms_async.errors import QueueNotFound, StoreError
from hms_async.storage import connect
from hms_async.storage.keys import Keys
from hms_async.storage.pool import Pool, Word
from hms_async.storage.scripts import load
from hms_async.storage.traffic import Traffic

_NO_QUEUE = b"no_queue"
_MARK_MS = 60_000

_Send = Callable[..., Awaitable[Any]]


class Server:
    """The keys of one namespace on one server, and the way to them.

    Use it as an async context manager. Errors are those of `hms_async.errors`; nothing is
    repeated here: whoever calls knows what may be repeated (R7, R11).

    Args:
        url: Where the server is; `memory://name` for a store in this process.
        namespace: Goes in front of every key.
        clock: Milliseconds since the Unix epoch, for tests that travel in time; without it
            the server's own clock rules (I9).

    Attributes:
        traffic: What it has carried, for the metrics of the process.

    Raises:
        ConfigInvalid: If the URL or the namespace is not valid.
    """

    def __init__(
        self, url: str, *, namespace: str = "", clock: Callable[[], int] | None = None
    ) -> None:
        self.url = connect.check_url(url)
        self.keys = Keys(namespace)
        self._clock = clock
        self._in_memory = connect.is_memory(self.url)
        self._redis = connect.connect(url)
        self._waiting = connect.connect(url, blocking=True)
        self.traffic = Traffic()
        self._pool = Pool(self._waiting, self.traffic)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; they cannot be used afterwards."""
        # Shielded: in a cancelled scope the first wait would be the last, and leave others open.
        with CancelScope(shield=True):
            await self._pool.aclose()
            await self._redis.aclose()
            await self._waiting.aclose()

    @property
    def waiting(self) -> Any:
        """The client for commands that wait on the server: they have no time limit here."""
        return self._waiting

    async def prepare(self, calls: int) -> None:
        """Have connections for so many scripts at once, so that none waits for its own to be made.

        Raises:
            StoreError: If the server cannot be reached.
        """
        with connect.translated(self.traffic.failed):
            await self._pool.open(calls)

    async def run(self, name: str, queue: str, *args: str | bytes | float) -> Any:
        """Run a script on a queue and return its reply.

        Raises:
            QueueNotFound: If the script says that there is no such queue.
            StoreError: If the server cannot be asked, or refuses.
        """
        began = time.monotonic()
        reply = await self._run(self._pool.call, name, queue, *args)
        self.traffic.answered(name, began)
        return reply

    async def run_on(self, name: str, keys: Sequence[str], *args: str | bytes | float) -> Any:
        """Run a script on keys that are no queue's and return its reply.

        Raises:
            StoreError: If the server cannot be asked, or refuses.
        """
        began = time.monotonic()
        reply = await self._send(self._pool.call, name, (len(keys), *keys, self._now(), *args))
        self.traffic.answered(name, began)
        return reply

    async def run_many(
        self, name: str, queue: str, calls: Sequence[Sequence[str | bytes | float]]
    ) -> list[Any]:
        """Run a script on a queue once for each of some arguments, in one round trip.

        Returns and raises what `run_each` does.
        """
        return await self.run_each([(name, queue, args) for args in calls])

    async def run_each(
        self, calls: Iterable[tuple[str, str, Sequence[str | bytes | float]]]
    ) -> list[Any]:
        """Run scripts on queues, each given as a name, a queue and arguments, in one round trip.

        Returns:
            The replies; for a call that failed its error.

        Raises:
            StoreError: If the server cannot be asked.
        """
        commands = list(self._commands(calls))
        with connect.translated(self.traffic.failed):
            replies = await self._pool.call_each(commands)
        return [
            connect.translate(reply) if isinstance(reply, Exception) else reply for reply in replies
        ]

    async def run_in_turn(
        self,
        name: str,
        queue: str,
        calls: Iterable[Sequence[str | bytes | float]],
        take: Callable[[Any], object],
    ) -> None:
        """Run a script on a queue once for each of some arguments, one after another.

        Each call is sent before the one ahead of it is answered, and none after one has failed.

        Args:
            name: The script.
            queue: The queue.
            calls: The arguments; the next ones are asked for when the last ones were sent.
            take: Is given each reply, in order.

        Raises:
            QueueNotFound: If the script says that there is no such queue.
            StoreError: If the server cannot be asked, or refuses.
        """
        began = deque[float]()

        def commands() -> Iterator[Sequence[Word]]:
            for command in self._commands((name, queue, args) for args in calls):
                began.append(time.monotonic())
                yield command

        def answer(reply: Any) -> None:
            self.traffic.answered(name, began.popleft())
            if reply == _NO_QUEUE:
                raise QueueNotFound(queue)
            take(reply)

        with connect.translated(self.traffic.failed):
            await self._pool.call_in_turn(commands(), answer)

    async def wait(self, *command: Word) -> Any:
        """Send a command that waits on the server, and return its reply; there is no time limit.

        Raises:
            StoreError: If the server cannot be asked, or refuses.
        """
        with connect.translated():
            if self._in_memory:
                return await self.waiting.execute_command(*command)
            return await self._pool.wait(*command)

    async def run_after(
        self, wait: Sequence[Word], name: str, queue: str, *args: str | bytes | float
    ) -> Any:
        """Run a script as soon as a command that waits on the server is over, however it ends.

        Raises:
            QueueNotFound: If the script says that there is no such queue.
            StoreError: If the server cannot be asked, or refuses.
        """

        async def send(*command: Word) -> Any:
            if command[0] == "EVAL":
                return await self._pool.call(*command)  # unknown, so the wait was over already
            if self._in_memory:  # it begins with each command as it comes
                await self.waiting.execute_command(*wait)
                return await self._pool.call(*command)
            return await self._pool.call_after(wait, *command)

        return await self._run(send, name, queue, *args)

    async def run_replicated(
        self, replicas: int, timeout_ms: int, name: str, queue: str, *args: str | bytes | float
    ) -> tuple[Any, int | StoreError]:
        """Run a script, then wait until replicas have what it wrote or found.

        Returns:
            Its reply, and how many replicas have it; the error instead if that cannot be told.

        Raises:
            QueueNotFound: If the script says that there is no such queue.
            StoreError: If the server cannot be asked, or refuses the script.
        """
        told: list[Any] = []

        async def send(*command: str | bytes | float) -> Any:
            async with self._redis.pipeline(transaction=False) as pipe:
                for sent in (
                    command,
                    # A script that only found something leaves nothing to wait for.
                    ("SET", self.keys.part(queue, "mark"), "1", "PX", _MARK_MS),
                    ("WAIT", replicas, timeout_ms),
                ):
                    cast("Any", pipe).execute_command(*sent)
                reply, *told[:] = await pipe.execute(raise_on_error=False)
            if isinstance(reply, Exception):
                raise reply
            return reply

        reply = await self._run(send, name, queue, *args)
        failed = [error for error in told if isinstance(error, Exception)]
        return reply, connect.translate(failed[0]) if failed else told[1]

    async def _run(self, send: _Send, name: str, queue: str, *args: str | bytes | float) -> Any:
        reply = await self._send(send, name, (*self._front(queue), *args))
        if reply == _NO_QUEUE:
            raise QueueNotFound(queue)
        return reply

    def _commands(
        self, calls: Iterable[tuple[str, str, Sequence[str | bytes | float]]]
    ) -> Iterator[Sequence[Word]]:
        """Return the commands of calls that are sent before any of them is answered."""
        left: set[str] = set()
        for name, queue, args in calls:
            script = load(name)
            # The first leaves the script with the server, should it not know it.
            sent = ("EVALSHA", script.sha) if name in left else ("EVAL", script.text)
            left.add(name)
            yield (*sent, *self._front(queue), *args)

    def _front(self, queue: str) -> tuple[Word, ...]:
        """Return the arguments that each script on a queue begins with."""
        return (1, self.keys.queue(queue), self.keys.task_prefix(queue), self._now())

    def _now(self) -> int | str:
        return "" if self._clock is None else self._clock()

    async def _send(self, send: _Send, name: str, sent: Sequence[str | bytes | float]) -> Any:
        script = load(name)
        with connect.translated(self.traffic.failed):
            try:
                return await send("EVALSHA", script.sha, *sent)
            except NoScriptError:
                # A restarted or flushed server; EVAL leaves the script there again.
                return await send("EVAL", script.text, *sent)

    def now_ms(self, time: tuple[int, int]) -> int:
        """Return the time by which scripts go: what `TIME` answered, unless a test says another."""
        seconds, microseconds = time
        return self._clock() if self._clock else int(seconds) * 1_000 + int(microseconds) // 1_000

    async def ask(self, *args: str | bytes | float) -> Any:
        """Send one command and return its reply.

        Raises:
            StoreError: If the server cannot be asked, or refuses.
        """
        with connect.translated(self.traffic.failed):
            if self._in_memory:
                # Who reads from such a connection does not hear that it was closed meanwhile.
                return await cast("Any", self._redis).execute_command(*args)
            reply = await self._pool.call(*args)
        read = self._redis.response_callbacks.get(str(args[0]))
        return read(reply) if read else reply

    @asynccontextmanager
    async def pipeline(self) -> AsyncGenerator[Any]:
        """Collect commands that go out together; their order is kept, nothing more."""
        with connect.translated(self.traffic.failed):
            async with self._redis.pipeline(transaction=False) as pipe:
                yield pipe
