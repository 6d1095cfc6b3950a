"""Validates photos, and hands each case on that has a good one."""

from hms_async import AsyncWorker, Handoff, Task


async def validate_photo(task: Task[dict[str, str]]) -> None:
    photo = task.payload["file"]
    if not photo.endswith(".jpg"):
        await task.fail("Not a JPEG")
        return
    renewal = Handoff("passport.renewal", key=task.correlation_id or task.id, payload=task.payload)
    await task.complete({"note": "Photo Validated"}, handoff=renewal)


if __name__ == "__main__":
    AsyncWorker(queue="passport.photo", concurrency=5, handler=validate_photo).run_forever()
