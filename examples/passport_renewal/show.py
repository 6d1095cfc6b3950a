"""Where each renewal is: the last step that it has come to, and how it goes there."""

import anyio

from desk import STEPS
from hms_async import AsyncOMSClient, TaskRecord, TaskState


def line(case: str, task: TaskRecord) -> str:
    step, state = task.queue.removeprefix("passport."), task.state.replace("_", " ")
    what = task.result["tracking"] if task.queue == STEPS[-1] and task.result else task.reason
    tries = f"attempt {task.attempt}" if task.attempt > 1 else ""
    return f"{case:<10} {step:<8} {state:<12} {tries:<11} {what}".rstrip()


async def main() -> None:
    latest: dict[str, TaskRecord] = {}
    async with AsyncOMSClient() as oms:
        for queue in STEPS:  # a later step takes the place of an earlier one
            for state in TaskState:
                page = await oms.list_tasks(queue, state, limit=500)
                latest |= {str(task.correlation_id): task for task in page.tasks}
    for case, task in sorted(latest.items()):
        print(line(case, task))


anyio.run(main)
