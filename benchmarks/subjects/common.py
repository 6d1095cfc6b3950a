"""What every subject has in common: adding a peer is one file with one class like these."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from typing import Any, ClassVar

QUEUE = "bench"
NOTE = "s3://uploads/sam.jpg " + "x" * 58  # with the instant beside it about 100 bytes

Work = Callable[[float], Awaitable[None]]


class Subject(ABC):
    """A task queue as its own documentation says that it is fast.

    What is told about it stands in the class, as the runner reads it without the peer installed.

    Attributes:
        requirements: What pip installs for it.
        variants: The names under which it is measured, and what each promises.
        cannot: Scenarios that it has no means for, and why; nothing is said of an empty reason.
        at_once: How many plain enqueue calls it is given at once; None for all of them.
        bulk: What `enqueue_many` uses.
        settings: What was set otherwise than by default, and why, in one sentence.
    """

    requirements: ClassVar[Sequence[str]]
    variants: ClassVar[Mapping[str, "Promise"]]
    cannot: ClassVar[Mapping[str, str]] = {}
    at_once: ClassVar[int | None] = 1_000
    bulk: ClassVar[str] = "plain calls, 1,000 at once"
    settings: ClassVar[str] = "defaults"

    def __init__(self, url: str, variant: str) -> None:
        self.url = url
        self.variant = variant

    @abstractmethod
    def producing(self) -> AbstractAsyncContextManager[None]:
        """Be connected as a producer for the length of a block."""

    @abstractmethod
    async def enqueue(self, sent: float, due: float | None = None) -> None:
        """Enqueue one task.

        Args:
            sent: What the handler is to be given: when it was sent, monotonic seconds.
            due: Not before when, Unix seconds.
        """

    async def enqueue_many(self, sents: Sequence[float]) -> None:
        """Enqueue many tasks by the quickest way that there is."""
        await self.enqueue_group(sents)

    async def enqueue_group(self, sents: Sequence[float], due: float | None = None) -> None:
        """Enqueue many tasks by plain calls, as many at once as the subject can take."""
        size = self.at_once or len(sents)
        for first in range(0, len(sents), size):
            async with asyncio.TaskGroup() as group:
                for sent in sents[first : first + size]:
                    group.create_task(self.enqueue(sent, due))

    @abstractmethod
    def work(self, handle: Work, concurrency: int) -> None:
        """Be a worker that gives each task's instant to `handle`, until the process is ended."""


class Promise:
    """What stands beside a figure.

    Args:
        acks: `late`: a task that a killed worker had is done again; `early`: it is lost.
        results: For how long outcomes are kept; `no` if they are not.
    """

    def __init__(self, acks: str, results: str) -> None:
        self.acks = acks
        self.results = results


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run in an event loop of uvloop where it is installed."""
    try:
        loop: Any = import_module("uvloop")
    except ImportError:
        loop = asyncio
    loop.run(main)


@asynccontextmanager
async def closing(close: Callable[[], Awaitable[object]]) -> AsyncGenerator[None]:
    """Await a call at the end of a block."""
    try:
        yield
    finally:
        await close()
