import anyio

from hms_async import AsyncWorker, Task


async def validate_photo(task: Task[dict[str, str]]) -> None:
    img = task.payload["file"]  # URL in object storage
    if not img.endswith(".jpg"):
        await task.fail("Not a JPEG")
        return
    await anyio.sleep(1.2)  # pretend we run a face detector ...
    face_found = True
    if not face_found:
        await task.fail("Face missing")
    else:
        await task.complete({"note": "Photo OK"})


if __name__ == "__main__":
    AsyncWorker(queue="passport.photo", concurrency=5, handler=validate_photo).run_forever()
