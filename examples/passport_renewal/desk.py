"""What the four clerks share: a client, how a case is handed on, and what is done once."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from hms_async import AsyncOMSClient, Task

STEPS = ("passport.form", "passport.records", "passport.print", "passport.mail")


@asynccontextmanager
async def lifespan() -> AsyncGenerator[AsyncOMSClient]:
    async with AsyncOMSClient() as oms:
        yield oms


async def hand_on(task: Task[Any], queue: str, payload: dict[str, str]) -> None:
    """Enqueue the next step; the caller completes its own afterwards.

    Who dies in between leaves both, and does this step again: the key makes that one next step.
    """
    oms: AsyncOMSClient = task.resources
    case = task.correlation_id
    await oms.enqueue(queue, payload, correlation_id=case, idempotency_key=f"{case}:{queue}")


def keep(folder: str, case: str | None, text: str) -> str:
    """Write a case's file unless there is one, and return what it says: the first writer's text.

    It appears whole or not at all, whenever its writer is killed.
    """
    path = Path(folder, f"{case}.txt")
    path.parent.mkdir(exist_ok=True)
    with NamedTemporaryFile("w", dir=folder, prefix=".") as draft, suppress(FileExistsError):
        draft.write(text)
        draft.flush()
        path.hardlink_to(draft.name)
    return path.read_text()
