"""Step 3: reserve a slot on the press, once for each case."""

from datetime import UTC, datetime

import anyio

from desk import hand_on, keep
from hms_async import Task, handler


@handler(queue="passport.print")
async def reserve(task: Task[dict[str, str]]) -> dict[str, str]:
    await anyio.sleep(0.1)
    # A second attempt would choose a later slot: the one that was chosen first is kept.
    slot = keep("slots", task.correlation_id, f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}")
    await hand_on(task, "passport.mail", task.payload | {"slot": slot})
    return {"note": f"to be printed in slot {slot}"}
