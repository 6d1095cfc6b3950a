"""Step 4: tell the citizen the tracking number, once. The outbox is a folder."""

from hashlib import sha256

import anyio

from desk import keep
from hms_async import Task, handler


@handler(queue="passport.mail")
async def send(task: Task[dict[str, str]]) -> dict[str, str]:
    await anyio.sleep(0.1)
    # Made from the case, so that each attempt makes the same one.
    tracking = f"PP-{sha256(str(task.correlation_id).encode()).hexdigest()[:10].upper()}"
    name, slot = task.payload["name"], task.payload["slot"]
    text = f"Dear {name}, your passport is printed in slot {slot}. Tracking number: {tracking}\n"
    keep("outbox", task.correlation_id, text)
    return {"note": f"{name} knows tracking number {tracking}", "tracking": tracking}
