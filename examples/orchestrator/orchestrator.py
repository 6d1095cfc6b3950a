"""Starts a workflow for each hand-off of a queue, once for each key: orchestrator.py [--step]"""

import os
import sys
from pathlib import Path

import anyio

from hms_async import AsyncOMSClient, Handoff

QUEUE = "passport.photo"
STARTED = Path("started.txt")


def start(handoff: Handoff) -> None:
    """Start a workflow, unless it was started for this key: a hand-off may be told again."""
    name = f"{handoff.workflow} {handoff.key}"
    if STARTED.exists() and name in STARTED.read_text().splitlines():
        print(f"[Orchestrator] {name}: started before", flush=True)
        return
    with STARTED.open("a") as journal:  # in place of a workflow engine
        journal.write(f"{name}\n")
        journal.flush()
        os.fsync(journal.fileno())
    print(f"[Orchestrator] {name}: started with {handoff.payload}", flush=True)


async def start_from_records(oms: AsyncOMSClient) -> None:
    """Events are kept for an hour, records for longer: what was missed is there."""
    cursor = None
    while True:
        page = await oms.list_tasks(QUEUE, "done", cursor)
        for task in page.tasks:
            if task.handoff is not None:
                start(task.handoff)
        cursor = page.cursor
        if cursor is None:
            return


async def main(*, step: bool) -> None:
    async with AsyncOMSClient() as oms:
        await oms.create_queue(QUEUE, sla="2h")
        async for event in oms.events(
            QUEUE, types=("done",), group="orchestrator", consumer="first", after="0-0"
        ):
            if event.type == "gap":
                await start_from_records(oms)
            if event.handoff is not None:
                start(event.handoff)
            if step:  # the event is acknowledged only when the loop asks for the next one
                await anyio.to_thread.run_sync(sys.stdin.readline)


if __name__ == "__main__":
    anyio.run(lambda: main(step="--step" in sys.argv))
