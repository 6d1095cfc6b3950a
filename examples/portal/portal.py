"""Drops a task for a case and follows that case to its end: portal.py REQ-123 s3://sam.jpg"""

import sys

import anyio

from hms_async import AsyncOMSClient, Event, TaskState

QUEUE = "passport.photo"


def say(case: str, text: str) -> None:
    print(f"[Portal] {case}: {text}", flush=True)


async def has_ended(oms: AsyncOMSClient, event: Event, task_id: str) -> bool:
    if event.type == "gap":  # events are gone, and the end may be among them: the record tells
        return (await oms.get_task(task_id)).state.ended
    return event.task_id == task_id and event.type in {*TaskState} and TaskState(event.type).ended


async def main(case: str, photo: str) -> None:
    place = anyio.Path(f"{case}.event")  # the id of the last event seen, while the case is open
    comes_back = await place.exists()
    if not comes_back:
        await place.write_text(
            "0-0"
        )  # before the task is there, so that none of its events is missed
    async with AsyncOMSClient() as oms:
        await oms.create_queue(QUEUE, sla="2h")
        # With the case as its key it stays one task, however often the portal is started.
        task = await oms.enqueue(QUEUE, {"file": photo}, correlation_id=case, idempotency_key=case)
        if not (task.created or comes_back):
            say(case, f"is {(await oms.get_task(task.id)).state}, as was told before")
        else:
            say(case, "received" if task.created else "goes on")
            async for event in oms.events(QUEUE, after=await place.read_text()):
                if event.correlation_id == case:
                    say(case, event.message or event.type)
                    await place.write_text(event.id)
                if await has_ended(oms, event, task.id):
                    break
    await place.unlink()


if __name__ == "__main__":
    chosen, uploaded = sys.argv[1:]
    anyio.run(main, chosen, uploaded)
