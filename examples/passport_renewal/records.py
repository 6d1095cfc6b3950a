"""Step 2: which passport does the new one replace? The archive is old: it fails, and it stalls."""

from zlib import crc32

import anyio

from desk import hand_on
from hms_async import Task, handler

STALLS, FAILS = 30, 15  # of a hundred attempts


# At most ten at once, so that a stalled archive leaves slots to the other steps.
@handler(queue="passport.records", concurrency=10)
async def look_up(task: Task[dict[str, str]]) -> dict[str, str]:
    # By the case and the attempt, so that the story goes the same way each time.
    mood = crc32(f"{task.correlation_id} {task.attempt}".encode()) % 100
    if mood < STALLS:
        await anyio.sleep_forever()  # until the queue's run_timeout cuts it off
    if mood < STALLS + FAILS:
        raise ConnectionError("the archive does not answer")
    await anyio.sleep(0.2)
    old = f"P{crc32(task.payload['name'].encode()) % 10**8:08}"
    await hand_on(task, "passport.print", task.payload | {"replaces": old})
    return {"note": f"{task.payload['name']} had passport {old}"}
